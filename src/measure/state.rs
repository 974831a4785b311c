//! Was the machine left alone during a window? Observed state against the profile's limits.

use crate::clock::Clock;
use crate::host::Host;
use crate::host::activity::{Glimpse, Watcher};
use crate::record::{Flag, State};
use crate::suite::Profile;

/// Steps of the wall clock below this are slewing by a time service, not jumps.
const JUMP_S: f64 = 0.05;

/// Watches the machine over one window after the other.
pub(super) struct Watch {
    watcher: Watcher,
    limits: Limits,
    before: Option<Glimpse>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    foreign_load: f64,
    steal: f64,
}

impl Watch {
    /// Watches `cpus`, those that the measured threads are pinned to; all of them when empty.
    pub(super) fn new(host: &Host, profile: &Profile, cpus: &[u32]) -> Self {
        let limits = Limits { foreign_load: profile.foreign_load_limit, steal: profile.steal_limit };
        Self { watcher: Watcher::new(host, cpus), limits, before: None }
    }

    pub(super) fn begin(&mut self, clock: &Clock) {
        self.before = Some(self.watcher.look(clock));
    }

    /// State over the window and every limit it broke.
    pub(super) fn end(&mut self, clock: &Clock) -> (State, Vec<Flag>) {
        let state = self.before.take().map_or_else(State::default, |before| before.until(&self.watcher.look(clock)));
        let flags = self.limits.broken_by(&state);
        (state, flags)
    }
}

impl Limits {
    fn broken_by(self, state: &State) -> Vec<Flag> {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let mut flags = Vec::new();
        let mut flag = |code: &str, detail: String| flags.push(Flag { code: code.into(), detail });
        if let Some(load) = state.foreign_load.filter(|load| *load > self.foreign_load) {
            let limit = percent(self.foreign_load);
            flag("foreign-load", format!("other processes used {} of the CPUs, limit {limit}", percent(load)));
        }
        if let Some(steal) = state.steal.filter(|steal| *steal > self.steal) {
            let limit = percent(self.steal);
            flag("steal", format!("the hypervisor took {} of the CPU time, limit {limit}", percent(steal)));
        }
        if let Some(events) = state.throttle_events.filter(|events| *events > 0) {
            flag("throttled", format!("the CPU counted {events} thermal throttle events"));
        }
        if let Some(jump) = state.clock_jump.filter(|jump| jump.get().abs() > JUMP_S) {
            flag("clock-jump", format!("the wall clock was stepped by {:.3} s", jump.get()));
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Seconds;

    const LIMITS: Limits = Limits { foreign_load: 0.05, steal: 0.02 };

    fn codes(state: &State) -> Vec<String> {
        LIMITS.broken_by(state).into_iter().map(|f| f.code).collect()
    }

    #[test]
    fn every_limit_has_its_flag() {
        let calm = State { foreign_load: Some(0.05), steal: Some(0.02), throttle_events: Some(0), ..State::default() };
        assert_eq!(codes(&calm), Vec::<String>::new());
        assert_eq!(codes(&State { foreign_load: Some(0.051), ..calm.clone() }), ["foreign-load"]);
        assert_eq!(codes(&State { steal: Some(0.021), ..calm.clone() }), ["steal"]);
        assert_eq!(codes(&State { throttle_events: Some(1), ..calm.clone() }), ["throttled"]);
        assert_eq!(codes(&State { clock_jump: Seconds::new(-0.06).ok(), ..calm }), ["clock-jump"]);
    }

    #[test]
    fn an_unknown_state_breaks_no_limit() {
        assert_eq!(codes(&State::default()), Vec::<String>::new());
    }
}
