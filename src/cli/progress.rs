//! Live progress on stderr: a bar on a terminal, plain lines elsewhere.

use super::{duration, style};
use crate::measure::Progress;
use crate::record::{Header, IdlePhase};
use crate::units::Watts;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Shows a run while it goes on. Drawing happens between windows only, so it cannot disturb one.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    last_case: String,
    lines: usize,
}

impl Display {
    /// Announces the run.
    pub(super) fn new(header: &Header, windows: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(windows as u64), ProgressDrawTarget::stderr());
            let template = "{wide_msg}\n[{bar:32}] {pos}/{len} windows · {elapsed} · ETA {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        });
        let display = Self { bar, last_case: String::new(), lines: 0 };
        display.line(&format!(
            "{} · {} cases · profile {} · about {}",
            style::bold(&header.suite.title),
            header.plan.cases.len(),
            header.profile.name,
            duration(header.plan.estimate)
        ));
        for skip in &header.plan.skips {
            display.line(&format!("{} {}: {}", style::warn("skipped"), skip.case.id, skip.reason));
        }
        display
    }

    pub(super) fn show(&mut self, event: &Progress<'_>) {
        match event {
            Progress::Idle { phase, length } => {
                let when = if *phase == IdlePhase::Before { "before" } else { "after" };
                self.step(&format!("idle {when} the cases, {}", duration(*length)));
            }
            Progress::Preparing { case, number, of } => {
                let text = format!("preparing {number}/{of} {case}");
                match &self.bar {
                    Some(bar) => bar.set_message(text),
                    None => self.step(&text),
                }
            }
            Progress::Window { case, repeat, repeats, done, planned, power } => {
                let watts = power.map_or_else(String::new, |w| format!(" · {}", watts(w)));
                if let Some(bar) = &self.bar {
                    bar.set_length(*planned as u64);
                    bar.set_position(*done as u64);
                    bar.set_message(format!("measuring {case} · repeat {repeat}/{repeats}{watts}"));
                } else {
                    self.plain(*done, *planned, &format!("repeat {repeat}/{repeats}{watts}"));
                }
                self.last_case = (*case).to_owned();
            }
            Progress::Discarded { case, flag, again } => {
                let then = if *again { "measuring it again" } else { "no retries left" };
                self.line(&format!("{} {case}: {} ({}); {then}", style::warn("discarded"), flag.detail, flag.code));
            }
            Progress::Void { case, reason } => self.line(&format!("{} {case}: {reason}", style::error("void"))),
            Progress::SensorLost { sensor, reason } => {
                self.line(&format!("{} {sensor}: {reason}", style::warn("sensor lost")));
            }
        }
    }

    /// Without a terminal: one line for every tenth of the windows.
    fn plain(&mut self, done: usize, planned: usize, detail: &str) {
        let tenth = done * 10 / planned.max(1);
        if tenth >= self.lines {
            self.lines = tenth + 1;
            self.line(&format!("{:3} % · window {}/{planned} · {detail}", done * 100 / planned.max(1), done + 1));
        }
    }

    fn step(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.line(text),
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn watts(power: Watts) -> String {
    format!("{:.1} W", power.get())
}
