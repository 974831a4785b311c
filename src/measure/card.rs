//! Was the card left alone during a window, and was it well? Its own state against the limits of the profile.

use super::UsedDevice;
use crate::clock::{Clock, Utc};
use crate::meter::bank::{Edge, SharedBank};
use crate::record::{CardState, CoolDown, Flag, State};
use crate::sensors::Domain;
use crate::sensors::nvml::BoardWatch;
use crate::suite::DeviceId;
use crate::units::Seconds;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two looks at a card that cools down.
const LOOK: Duration = Duration::from_millis(100);

/// Code of the flag of a card that slowed itself down.
pub(super) const THROTTLED: &str = "throttled";

/// The card that a case runs on.
pub(super) struct Card<'a> {
    device: &'a DeviceId,
    domain: &'a Domain,
    watch: Option<&'a BoardWatch>,
    foreign_load: f64,
}

impl<'a> Card<'a> {
    /// The card of a device; `None` where no sensor reads it. `foreign_load` is the largest share of it that others may have.
    pub(super) fn of(device: &'a UsedDevice, foreign_load: f64) -> Option<Self> {
        let domain = device.domain.as_ref()?;
        Some(Self { device: &device.planned.id, domain, watch: device.watch.as_ref(), foreign_load })
    }

    /// Before everything else of a window.
    pub(super) fn begin(&self) {
        if let Some(watch) = self.watch {
            watch.begin(micros());
        }
    }

    /// The first reading of a window; from here on the state of the card is kept.
    pub(super) fn first(&self, clock: &Clock, bank: &SharedBank) -> Edge {
        bank.lock().unwrap_or_else(PoisonError::into_inner).first_of_card(clock, self.domain)
    }

    /// The last reading of a window, and the state of the card from the first on.
    pub(super) fn last(clock: &Clock, bank: &SharedBank) -> (Edge, Option<CardState>) {
        bank.lock().unwrap_or_else(PoisonError::into_inner).last_of_card(clock)
    }

    /// After everything else: adds what `gauges` say of the card and what happened on it, and every limit that was broken.
    pub(super) fn end(
        &self,
        gauges: Option<CardState>,
        (first, last): (&Edge, &Edge),
        state: &mut State,
        flags: &mut Vec<Flag>,
    ) {
        let events = self.watch.map(|watch| watch.end(micros())).unwrap_or_default();
        let slowdowns = Edge::throttled(first, last, self.domain);
        // That the card kept its clock says nothing of a host nobody watched.
        if let Some((events, _)) = slowdowns
            && (events > 0 || state.throttle_events.is_some())
        {
            state.throttle_events = Some(state.throttle_events.unwrap_or(0) + events);
        }
        state.card = gauges.map(|gauges| CardState {
            throttle_events: slowdowns.as_ref().map(|(events, _)| *events),
            ecc_corrected: events.ecc_corrected,
            ecc_uncorrected: events.ecc_uncorrected,
            pcie_replays: events.pcie_replays,
            xids: events.xids,
            others: events.others,
            foreign_load: events.foreign_load,
            ..gauges
        });
        let reasons = slowdowns.map(|(_, reasons)| reasons).unwrap_or_default();
        flags.extend(state.card.iter().flat_map(|card| self.broken_by(card, &reasons)));
    }

    /// Leaves the card alone until it gives no reason for a slowdown any more, `longest` at most. `None` where it gives none
    /// just now, or where nobody says.
    pub(super) fn cool_down(
        &self,
        clock: &Clock,
        bank: &SharedBank,
        longest: Seconds,
        stop: &AtomicBool,
    ) -> Option<CoolDown> {
        let slowdowns = || bank.lock().unwrap_or_else(PoisonError::into_inner).slowdowns(clock, self.domain);
        let reasons = slowdowns().filter(|reasons| !reasons.is_empty())?;
        let (begin, mut over) = (clock.now(), false);
        while !over && !stop.load(Ordering::Relaxed) {
            let left = longest - clock.now().since(begin);
            if left <= Seconds::ZERO {
                break;
            }
            std::thread::sleep(left.to_duration().min(LOOK));
            over = slowdowns().is_some_and(|reasons| reasons.is_empty());
        }
        Some(CoolDown { wall: clock.now().since(begin), reasons, over })
    }

    fn broken_by(&self, card: &CardState, slowdowns: &[String]) -> Vec<Flag> {
        let mut flags = Vec::new();
        let mut flag = |code: &str, detail: String| flags.push(Flag { code: code.into(), detail });
        if card.throttle_events.is_some_and(|events| events > 0) {
            flag(THROTTLED, format!("{} slowed itself down: {}", self.device, slowdowns.join("; ")));
        }
        if let Some(load) = card.foreign_load.filter(|load| *load > self.foreign_load) {
            let percent = |share: f64| format!("{:.1} %", share * 100.0);
            let (load, limit) = (percent(load), percent(self.foreign_load));
            flag("foreign-load", format!("other processes used {load} of {}, limit {limit}", self.device));
        }
        let uncorrected = CardState::rise(card.ecc_uncorrected).filter(|errors| *errors > 0);
        if let Some(errors) = uncorrected {
            flag("card-error", format!("{errors} memory errors of {} could not be corrected (ECC)", self.device));
        }
        if let Some(xids) = card.xids.as_ref().filter(|xids| !xids.is_empty()) {
            let numbers: Vec<String> = xids.iter().map(u64::to_string).collect();
            flag("card-error", format!("the driver reported Xid {} of {}", numbers.join(", "), self.device));
        }
        flags
    }
}

/// Microseconds since 1970, as the driver counts.
fn micros() -> u64 {
    u64::try_from(Utc::now().date_time().unix_timestamp_nanos() / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Others;

    #[test]
    fn every_trouble_of_a_card_has_its_flag_and_settings_have_none() {
        let (device, domain) = (DeviceId("cuda:0".into()), "gpu-GPU-1".parse::<Domain>().unwrap());
        let card = Card { device: &device, domain: &domain, watch: None, foreign_load: 0.05 };
        let calm = CardState {
            domain: domain.clone(),
            sensor: "nvml".into(),
            readings: 2,
            sm_clock: None,
            memory_clock: None,
            temperature: None,
            power_limit: None,
            throttle: Some(vec!["power-cap".into()]),
            throttle_events: Some(0),
            ecc_corrected: Some((3, 5)),
            ecc_uncorrected: Some((1, 1)),
            pcie_replays: Some((0, 4)),
            xids: Some(Vec::new()),
            others: Some(Others { count: 3, own_seen: true }),
            foreign_load: Some(0.05),
            cool_down: None,
        };
        let flags = |state: CardState| {
            let flags = card.broken_by(&state, &["gpu-GPU-1 thermal".to_owned()]);
            flags.into_iter().map(|f| (f.code, f.detail)).collect::<Vec<_>>()
        };
        assert_eq!(flags(calm.clone()), []);
        let said = |state: CardState, code: &str, word: &str| {
            let found = flags(state);
            assert!(found.len() == 1 && found[0].0 == code && found[0].1.contains(word), "{found:?}");
        };
        said(CardState { throttle_events: Some(2), ..calm.clone() }, "throttled", "thermal");
        said(CardState { foreign_load: Some(0.0501), ..calm.clone() }, "foreign-load", "5.0 % of cuda:0");
        said(CardState { ecc_uncorrected: Some((1, 3)), ..calm.clone() }, "card-error", "2 memory errors of cuda:0");
        said(CardState { xids: Some(vec![79, 48]), ..calm.clone() }, "card-error", "Xid 79, 48");
        // A counter that was set back, by a driver that was loaded anew, says nothing.
        assert_eq!(flags(CardState { ecc_uncorrected: Some((9, 0)), xids: None, foreign_load: None, ..calm }), []);
    }
}
