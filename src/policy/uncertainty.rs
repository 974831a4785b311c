//! Bounds of systematic error and the rule for the coverage factor: data, from `suites/policies/uncertainty.yaml`.

use crate::record::EnergyMethod;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The policy this program ships.
const SHIPPED: &str = include_str!("../../suites/policies/uncertainty.yaml");

/// Every bound a budget may need that no record can know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    /// Its name.
    pub policy: String,
    /// SHA-256 of its text, lower-case hex.
    pub sha256: String,
    /// The file, byte for byte.
    #[serde(skip)]
    pub text: String,
    /// When k is taken from Student's t and when it is fixed.
    pub coverage: Coverage,
    /// Rate error of the clock.
    pub clock: ClockBound,
    /// Bounds by sensor, the first that fits.
    pub sensors: Vec<SensorBound>,
}

/// The rule for the coverage factor k.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Probability that y ± U covers the true value, e.g. 0.95.
    pub confidence: f64,
    /// Effective degrees of freedom from which `normal_factor` is used.
    pub normal_from: u32,
    /// k for many degrees of freedom.
    pub normal_factor: f64,
}

/// Rate error of the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockBound {
    /// Largest relative error of a length of time.
    pub bound: f64,
    /// Where that comes from.
    pub source: String,
}

/// Bounds of one kind of sensor, as fractions of the reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensorBound {
    /// Family id, or `any`.
    pub sensor: String,
    /// Counter or integrated power.
    pub method: EnergyMethod,
    /// Largest error of the gain.
    pub gain: f64,
    /// Non-linearity over the loads.
    pub linearity: Linearity,
    /// What polling cannot see; absent for counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aliasing: Option<f64>,
    /// Where the numbers come from.
    pub source: String,
    /// Whether the owner of the sensor declares it for his own, so that no policy states it.
    #[serde(skip)]
    pub declared: bool,
}

/// Deviation from proportionality between loads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Linearity {
    /// A bound of its own, as a fraction of the reading.
    Bound(f64),
    /// The source stated the gain bound for all loads, so it holds this deviation too.
    Word(WithinGain),
}

/// `within-gain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithinGain {
    /// `within-gain`.
    #[serde(rename = "within-gain")]
    WithinGain,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    policy: String,
    coverage: Coverage,
    clock: ClockBound,
    sensors: Vec<SensorBound>,
}

impl Policy {
    /// The policy that this program ships.
    #[must_use]
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).expect("the shipped policy is read by a test")
    }

    /// A policy from the text of its file.
    ///
    /// # Errors
    /// What is wrong, in words, with line and column where YAML or a type is at fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wire: Wire = serde_yaml::from_str(text).map_err(|e| format!("the uncertainty policy is malformed: {e}"))?;
        if wire.version != 1 {
            return Err(format!("the uncertainty policy has version {}, this program reads version 1", wire.version));
        }
        let Coverage { confidence, normal_from, normal_factor } = wire.coverage;
        if !(0.5..=0.999).contains(&confidence) || normal_from == 0 || !(1.0..=10.0).contains(&normal_factor) {
            return Err(
                "`coverage` of the uncertainty policy: confidence lies in 0.5 … 0.999, normal_from is at least \
                        1, normal_factor lies in 1 … 10"
                    .to_owned(),
            );
        }
        let fraction = |what: &str, bound: f64| {
            let inside = (0.0..1.0).contains(&bound);
            if inside { Ok(()) } else { Err(format!("{what} of the uncertainty policy is {bound}: give 0 to below 1")) }
        };
        fraction("`clock`", wire.clock.bound)?;
        for row in &wire.sensors {
            let what = |key: &str| format!("`{key}` of the sensor `{}`", row.sensor);
            fraction(&what("gain"), row.gain)?;
            fraction(&what("aliasing"), row.aliasing.unwrap_or_default())?;
            if let Linearity::Bound(bound) = row.linearity {
                fraction(&what("linearity"), bound)?;
            }
            if row.source.trim().is_empty() {
                return Err(format!("{} is empty: say where the bounds come from", what("source")));
            }
        }
        let sha256 = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let Wire { policy, coverage, clock, sensors, .. } = wire;
        Ok(Self { policy, sha256, text: text.to_owned(), coverage, clock, sensors })
    }

    /// Bound of the systematic relative error of a sensor: gain, non-linearity and, for polled
    /// power, aliasing, joined as the root of their squares. `None` where neither it nor `any` has
    /// a row.
    #[must_use]
    pub fn systematic_bound(&self, sensor: &str, method: EnergyMethod) -> Option<f64> {
        let row = self.bound(sensor, method)?;
        let linearity = match row.linearity {
            Linearity::Bound(bound) => bound,
            Linearity::Word(_) => 0.0,
        };
        Some(libm::hypot(libm::hypot(row.gain, linearity), row.aliasing.unwrap_or(0.0)))
    }

    /// With the bound that the owner of `sensor` declares for all loads, before those of the policy.
    /// What polling cannot see is no matter of accuracy: that stays the policy's.
    #[must_use]
    pub fn with_declared(mut self, sensor: &str, declared: Option<(f64, &str)>) -> Self {
        let Some((bound, source)) = declared else { return self };
        let row = |method, aliasing| SensorBound {
            sensor: sensor.to_owned(),
            method,
            gain: bound,
            linearity: Linearity::Word(WithinGain::WithinGain),
            aliasing,
            source: source.to_owned(),
            declared: true,
        };
        let aliasing = self.bound(sensor, EnergyMethod::Integrated).and_then(|b| b.aliasing);
        let rows = [row(EnergyMethod::Counter, None), row(EnergyMethod::Integrated, aliasing)];
        self.sensors.splice(0..0, rows);
        self
    }

    /// The bounds of a sensor; `None` where neither it nor `any` has a row.
    #[must_use]
    pub fn bound(&self, sensor: &str, method: EnergyMethod) -> Option<&SensorBound> {
        self.sensors.iter().find(|b| (b.sensor == sensor || b.sensor == "any") && b.method == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_holds_the_published_defaults() {
        let policy = Policy::shipped();
        let gain = |sensor, method| policy.bound(sensor, method).unwrap().gain;
        for (sensor, method, expected) in [
            ("rapl", EnergyMethod::Counter, 0.05),
            ("nvml", EnergyMethod::Counter, 0.05),
            ("nvml", EnergyMethod::Integrated, 0.10),
            ("rapl", EnergyMethod::Integrated, 0.10),
            ("hwmon", EnergyMethod::Counter, 0.10),
        ] {
            assert!((gain(sensor, method) - expected).abs() < 1e-12, "{sensor} {method:?}");
        }
        assert_eq!(policy.coverage, Coverage { confidence: 0.95, normal_from: 30, normal_factor: 2.0 });
        assert_eq!(policy.sha256.len(), 64);
        assert_ne!(Policy::parse(&format!("{SHIPPED}# another text\n")).unwrap().sha256, policy.sha256);
    }

    #[test]
    fn polled_power_always_has_an_aliasing_bound_and_counters_never() {
        for row in Policy::shipped().sensors {
            assert_eq!(row.aliasing.is_some(), row.method == EnergyMethod::Integrated, "{}", row.sensor);
        }
    }

    #[test]
    fn broken_policies_are_refused_with_what_to_do() {
        for (from, to, expected) in [
            ("gain: 0.05", "gain: 5", "give 0 to below 1"),
            ("gain: 0.05", "gains: 0.05", "unknown field `gains`"),
            ("gain: 0.05", "gain: .nan", "give 0 to below 1"),
            ("version: 1", "version: 2", "reads version 1"),
            ("confidence: 0.95", "confidence: 95", "lies in 0.5"),
            ("linearity: within-gain\n", "linearity: within-reason\n", "malformed"),
            ("method: counter", "method: guess", "malformed"),
            ("bound: 0.0005", "bound: -1", "`clock`"),
        ] {
            let error = Policy::parse(&SHIPPED.replacen(from, to, 1)).unwrap_err();
            let changed = SHIPPED.replacen(from, to, 1) != SHIPPED;
            assert!(changed && error.contains(expected), "{from} → {to}: {error}");
        }
    }
}
