//! `record.json`: everything about a run except its samples.

use super::{Device, Environment};
use crate::clock::Utc;
use crate::plan::Plan;
use crate::sensors::SensorInfo;
use crate::suite::{Profile, Suite};
use crate::units::Watts;
use serde::{Deserialize, Serialize};

/// Schema of record and samples. A reader refuses a higher number and reads every lower one.
pub const SCHEMA: u32 = 1;

/// The contents of `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Unique id: time, suite and random part; also the folder's name.
    pub id: String,
    /// The program that measured.
    pub tool: Tool,
    /// When the run began.
    pub started_at: Utc,
    /// When it ended; `None` while it runs or after it was killed.
    pub finished_at: Option<Utc>,
    /// How far it got.
    pub state: RunState,
    /// Seed of inputs, order and dither.
    pub seed: u64,
    /// Why this record can never be certified as a measurement of real hardware; empty for a real
    /// one. Redirected root, fake device, injected fault, replay.
    pub simulated: Vec<String>,
    /// The suite, text included.
    pub suite: SuiteSource,
    /// The profile in force.
    pub profile: Profile,
    /// The machine.
    pub environment: Environment,
    /// Every sensor family and what its probe answered.
    pub sensors: Vec<SensorStatus>,
    /// Devices besides the processor that cases were planned for; none in records before there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The policy of uncertainty that was in force; `None` in records before it was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty_policy: Option<PolicyDigest>,
    /// A power model the user asked for. Its figures are estimates and never mix with measured ones.
    pub estimate: Option<TdpModel>,
    /// What was planned.
    pub plan: Plan,
    /// Digest of `samples.jsonl`, written when the run ends; `None` while it runs or after a kill.
    pub samples: Option<SamplesDigest>,
}

/// Names a policy file exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDigest {
    /// Its name.
    pub policy: String,
    /// SHA-256 of its text, lower-case hex.
    pub sha256: String,
}

/// What `samples.jsonl` was when the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplesDigest {
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// The program that made the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `wattproof`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Git commit it was built from, where known.
    pub commit: Option<String>,
    /// Cargo features it was built with.
    pub features: Vec<String>,
}

/// How far a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It runs, or it was killed.
    Running,
    /// Ended by the user before its end.
    Interrupted,
    /// Every planned case came to an outcome.
    Complete,
}

/// The suite a record was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteSource {
    /// Suite id.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// As the user named it.
    pub path: String,
    /// SHA-256 of `text`, lower-case hex.
    pub digest: String,
    /// The YAML.
    pub text: String,
}

impl SuiteSource {
    /// The source of a validated suite.
    #[must_use]
    pub fn of(suite: &Suite) -> Self {
        Self {
            id: suite.id.clone(),
            title: suite.title.clone(),
            path: suite.path.clone(),
            digest: suite.digest.clone(),
            text: suite.text.clone(),
        }
    }
}

/// What the probe of a sensor family answered, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SensorStatus {
    /// It was used.
    Ready(SensorInfo),
    /// It is not on this machine.
    Absent {
        /// Family id.
        id: String,
        /// Name for people.
        title: String,
        /// Why.
        reason: String,
    },
    /// It is there, but this user may not read it.
    Denied {
        /// Family id.
        id: String,
        /// Name for people.
        title: String,
        /// What was refused.
        reason: String,
        /// How to allow it.
        remedy: String,
    },
}

/// `--estimate tdp=95W`: constant power while a case runs. A model, not a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TdpModel {
    /// The power assumed for the whole CPU.
    #[serde(rename = "tdp_w")]
    pub tdp: Watts,
}
