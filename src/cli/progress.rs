//! Live progress on stderr: a bar on a terminal, plain lines elsewhere.

use super::{duration, style};
use crate::clock::{Clock, Moment};
use crate::measure::Progress;
use crate::record::{Header, IdlePhase};
use crate::units::{Seconds, Watts};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Shows a run while it goes on. Drawing happens between windows only, so it cannot disturb one.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    clock: Clock,
    /// The plan's estimate: all there is to go by until the first window is done.
    estimate: Seconds,
    idle_after: Seconds,
    first_window: Option<Moment>,
    lines: usize,
}

impl Display {
    /// Announces the run.
    pub(super) fn new(header: &Header, windows: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(windows as u64), ProgressDrawTarget::stderr());
            let template = "{wide_msg}\n[{bar:32}] {pos}/{len} windows · {elapsed} · {prefix}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        });
        let display = Self {
            bar,
            clock: Clock::start(),
            estimate: header.plan.estimate,
            idle_after: header.profile.idle,
            first_window: None,
            lines: 0,
        };
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
            Progress::Pulse { length } => {
                self.step(&format!("pulse of load to align the wall meter, {}", duration(*length)));
            }
            Progress::Preparing { case, number, of } => {
                let text = format!("preparing {number}/{of} {case}");
                self.step(&text);
            }
            Progress::Window { case, repeat, repeats, done, planned, power } => {
                let watts = power.map_or_else(String::new, |w| format!(" · {}", watts(w)));
                let eta = self.eta(*done, *planned);
                if let Some(bar) = &self.bar {
                    bar.set_length(*planned as u64);
                    bar.set_position(*done as u64);
                    bar.set_prefix(eta);
                    bar.set_message(format!("measuring {case} · repeat {repeat}/{repeats}{watts}"));
                } else {
                    self.plain(*done, *planned, &format!("repeat {repeat}/{repeats}{watts} · {eta}"));
                }
            }
            Progress::Discarded { case, flag, again } => {
                let then = if *again { "measuring it again" } else { "no retries left" };
                self.line(&format!("{} {case}: {} ({}); {then}", style::warn("discarded"), flag.detail, flag.code));
            }
            Progress::CoolingDown { case, longest } => {
                self.step(&format!("{case}: its card cools down, {} at most", duration(*longest)));
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

    /// Time left: windows take as long as those done so far; before that, what the plan said.
    fn eta(&mut self, done: usize, planned: usize) -> String {
        let now = self.clock.now();
        let first = *self.first_window.get_or_insert(now);
        let left = if done == 0 {
            self.estimate - now.seconds()
        } else {
            now.since(first) * (planned.saturating_sub(done) as f64 / done as f64) + self.idle_after
        };
        format!("{} left", whole_seconds(left))
    }

    fn step(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                let left = self.estimate - self.clock.now().seconds();
                if self.first_window.is_none() && left > Seconds::ZERO {
                    bar.set_prefix(format!("about {} left", whole_seconds(left)));
                }
                bar.set_message(text.to_owned());
            }
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

/// Rounded up: a guess has no decimals.
fn whole_seconds(time: Seconds) -> String {
    Seconds::new(time.get().ceil().max(0.0)).map_or_else(|_| "?".to_owned(), duration)
}

fn watts(power: Watts) -> String {
    format!("{:.1} W", power.get())
}
