//! Profiles: every number of a measurement, from YAML.
//!
//! The shipped profiles are data (`suites/profiles/`). What makes a profile certifiable is code: a
//! profile, however it calls itself, is certifiable only when no number is laxer than `certify`'s.

use super::problem::{Report, SuiteErrors, quoted};
use super::quantity::{Quantity, whole};
use super::suggest::hint;
use super::tree::{Node, Value};
use super::wire::{self, Fields, Key};
use super::{Profile, read_text};
use crate::units::{Bytes, Hertz, Seconds};
use std::path::Path;

/// The shipped profiles: name and text.
const SHIPPED: &[(&str, &str)] = &[
    ("quick", include_str!("../../suites/profiles/quick.yaml")),
    ("ci", include_str!("../../suites/profiles/ci.yaml")),
    ("certify", include_str!("../../suites/profiles/certify.yaml")),
];

/// In which direction a number makes a measurement laxer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Laxer {
    Below,
    Above,
}

/// One number of a profile.
pub(super) struct Number {
    pub(super) key: &'static str,
    pub(super) meaning: &'static str,
    pub(super) quantity: Quantity,
    laxer: Laxer,
    get: fn(&Profile) -> f64,
    set: fn(&mut Profile, f64),
}

const COUNT: Quantity = Quantity::Count { min: 1, max: 1_000_000 };
const TIME: Quantity = Quantity::Duration { min: 0.0, max: 86_400.0 };
const WINDOW: Quantity = Quantity::Duration { min: 0.001, max: 86_400.0 };
const PART: Quantity = Quantity::Fraction { min: 0.0, max: 1.0 };

macro_rules! number {
    ($field:ident, $quantity:expr, $laxer:ident, $meaning:literal, $get:expr, $set:expr) => {
        Number {
            key: stringify!($field),
            meaning: $meaning,
            quantity: $quantity,
            laxer: Laxer::$laxer,
            get: |p| $get(p.$field),
            set: |p, x| p.$field = $set(x),
        }
    };
}

fn count(x: f64) -> u32 {
    u32::try_from(whole(x)).unwrap_or(u32::MAX)
}
// The quantities below are finite: `Quantity::read` has checked their bounds.
fn seconds(x: f64) -> Seconds {
    Seconds::new(x).unwrap_or_default()
}
fn hertz(x: f64) -> Hertz {
    Hertz::new(x).unwrap_or_default()
}
fn bytes(x: f64) -> Bytes {
    Bytes::new(x).unwrap_or_default()
}
fn same(x: f64) -> f64 {
    x
}

/// Every number, in the order of the shipped files.
#[rustfmt::skip]
pub(super) const NUMBERS: &[Number] = &[
    number!(repeats, Quantity::Count { min: 1, max: 10_000 }, Below, "Timed windows of each case.", f64::from, count),
    number!(window_floor, WINDOW, Below, "Shortest window.", Seconds::get, seconds),
    number!(window_tau_multiple, COUNT, Below, "The window is at least this many update periods of the slowest sensor used.", f64::from, count),
    number!(alignment_limit, PART, Above, "Largest alignment error of a window.", same, same),
    number!(idle, TIME, Below, "Idle measured before the first case and again after the last.", Seconds::get, seconds),
    number!(idle_drift_limit, PART, Above, "Largest relative drift of idle power between the two.", same, same),
    number!(warm_up_min, TIME, Below, "Warm-up goes on at least this long.", Seconds::get, seconds),
    number!(warm_up_max, TIME, Below, "Warm-up stops waiting for stability after this long.", Seconds::get, seconds),
    number!(warm_up_slope, PART, Above, "Relative slope below which the warm-up is over.", same, same),
    number!(sampler, Quantity::Frequency { min: 0.1, max: 1000.0 }, Below, "Rate of the background power trace.", Hertz::get, hertz),
    number!(probe, WINDOW, Below, "Length of each ceiling probe.", Seconds::get, seconds),
    number!(probe_size, Quantity::Size { min: 1 << 20, max: 1 << 40 }, Below, "Buffer of the main-memory bandwidth probe; it must exceed the last-level cache.", Bytes::get, bytes),
    number!(foreign_load_limit, PART, Above, "Largest share of the used CPUs' time taken by other processes.", same, same),
    number!(steal_limit, PART, Above, "Largest share of CPU time stolen by the hypervisor.", same, same),
    number!(retries, Quantity::Count { min: 0, max: 1000 }, Above, "Windows that fail a state check are measured again at most this often per case.", f64::from, count),
    number!(bootstrap_resamples, Quantity::Count { min: 100, max: 1_000_000 }, Below, "Bootstrap resamples of the analysis.", f64::from, count),
    number!(confidence, Quantity::Fraction { min: 0.5, max: 0.999 }, Below, "Confidence of every interval.", same, same),
];

impl Profile {
    /// Names of the shipped profiles.
    pub fn shipped() -> impl Iterator<Item = &'static str> + Clone {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// The shipped profile of this name.
    ///
    /// # Errors
    /// [`SuiteErrors`] when the name is unknown.
    pub fn named(name: &str) -> Result<Self, SuiteErrors> {
        match SHIPPED.iter().find(|(n, _)| *n == name) {
            Some((_, text)) => Self::parse(Path::new(&format!("{name}.yaml")), text),
            None => {
                let help = hint(name, "profiles", Self::shipped());
                Err(SuiteErrors::whole_file(Path::new(name), format!("unknown profile {}", quoted(name)), &help))
            }
        }
    }

    /// A profile from the text of its file.
    ///
    /// # Errors
    /// [`SuiteErrors`] with every problem of the file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SuiteErrors> {
        let (mut report, root) = Report::open(path, text)?;
        let profile = read(&mut report, &root);
        report.finish()?;
        profile.ok_or_else(|| SuiteErrors::whole_file(path, "the profile cannot be read".to_owned(), "see the format"))
    }

    /// The first number that is laxer than the same number of `other`, by its key.
    #[must_use]
    pub fn laxer_than(&self, other: &Self) -> Option<&'static str> {
        let laxer = |n: &&Number| match n.laxer {
            Laxer::Below => (n.get)(self) < (n.get)(other),
            Laxer::Above => (n.get)(self) > (n.get)(other),
        };
        NUMBERS.iter().find(laxer).map(|n| n.key)
    }

    /// Keys of all numbers that are not the same in `other`, in the order of the shipped files.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> Vec<&'static str> {
        let differs = |n: &&Number| (n.get)(self).to_bits() != (n.get)(other).to_bits();
        NUMBERS.iter().filter(differs).map(|n| n.key).collect()
    }

    fn blank(name: &str, certifiable: bool) -> Self {
        let (name, zero) = (name.to_owned(), Seconds::ZERO);
        Self {
            name,
            certifiable,
            repeats: 0,
            window_floor: zero,
            window_tau_multiple: 0,
            alignment_limit: 0.0,
            idle: zero,
            idle_drift_limit: 0.0,
            warm_up_min: zero,
            warm_up_max: zero,
            warm_up_slope: 0.0,
            sampler: Hertz::ZERO,
            probe: zero,
            probe_size: Bytes::ZERO,
            foreign_load_limit: 0.0,
            steal_limit: 0.0,
            retries: 0,
            bootstrap_resamples: 0,
            confidence: 0.0,
        }
    }
}

/// The keys of a profile file or, without the head, of `settings`.
fn keys(head: &[Key], required: bool) -> Vec<Key> {
    let head = head.iter().map(|k| Key { name: k.name, meaning: k.meaning, required: k.required });
    head.chain(NUMBERS.iter().map(|n| Key { name: n.key, meaning: n.meaning, required })).collect()
}

fn read(report: &mut Report, root: &Node) -> Option<Profile> {
    let fields = Fields::read(report, root, "a profile", &keys(wire::PROFILE, true));
    wire::check_version(report, fields.get("version"));
    let name = wire::identifier(report, fields.get("profile")?, "name of a profile", 32)?;
    let certifiable = match fields.get("certifiable").map(|n| (n, &n.value)) {
        Some((_, Value::Bool(b))) => *b,
        Some((node, _)) => {
            report.at(node, format!("{} is no truth value", node.describe()), "write `true` or `false`");
            return None;
        }
        None => return None,
    };
    let mut profile = Profile::blank(name, certifiable);
    apply(report, &mut profile, &fields, root);
    Some(profile)
}

fn apply(report: &mut Report, profile: &mut Profile, fields: &Fields<'_>, whole_map: &Node) {
    let before = report.count();
    for number in NUMBERS {
        let Some(node) = fields.get(number.key) else { continue };
        match number.quantity.read(node) {
            Ok(value) => (number.set)(profile, value),
            Err(fault) => report.at(node, format!("`{}`: {}", number.key, fault.message), fault.help),
        }
    }
    if report.count() == before && profile.warm_up_min > profile.warm_up_max {
        let node = fields.get("warm_up_min").or(fields.get("warm_up_max")).unwrap_or(whole_map);
        report.at(node, "`warm_up_min` is longer than `warm_up_max`", "lower one or raise the other");
    }
}

/// The profile of a suite: the one it names, with the suite's own settings, certifiable only when
/// that is still as strict as `certify`.
pub(super) fn resolve(
    report: &mut Report,
    suite: &Path,
    name: Option<&Node>,
    settings: Option<&Node>,
) -> Option<Profile> {
    let mut profile = match name {
        None => Profile::named("quick").ok(),
        Some(node) => choose(report, suite, node),
    };
    if let Some(node) = settings {
        let fields = Fields::read(report, node, "the settings", &keys(&[], false));
        let mut unknown = Profile::blank("", false);
        // With an unknown profile the numbers are still checked, so all errors show at once.
        unknown.warm_up_max = seconds(86_400.0);
        apply(report, profile.as_mut().unwrap_or(&mut unknown), &fields, node);
    }
    let certify = Profile::named("certify").ok()?;
    let mut profile = profile?;
    profile.certifiable &= profile.laxer_than(&certify).is_none();
    Some(profile)
}

fn choose(report: &mut Report, suite: &Path, node: &Node) -> Option<Profile> {
    let Some(name) = node.text() else {
        report.at(
            node,
            format!("{} is no profile", node.describe()),
            "write `quick`, `ci`, `certify` or `./path.yaml`",
        );
        return None;
    };
    let is_path = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml");
    if !is_path {
        return Profile::named(name)
            .map_err(|_| {
                let help =
                    format!("{} (a file of your own is `./mine.yaml`)", hint(name, "profiles", Profile::shipped()));
                report.at(node, format!("unknown profile {}", quoted(name)), help);
            })
            .ok();
    }
    let path = suite.parent().unwrap_or(Path::new("")).join(name);
    let text = match read_text(&path) {
        Ok(text) => text,
        Err((message, help)) => {
            report.at(node, format!("the profile {} cannot be read: {message}", quoted(name)), help);
            return None;
        }
    };
    Profile::parse(&path, &text).map_err(|errors| report.append(errors)).ok()
}
