//! Suites: what to measure and how, from YAML to a validated [`Suite`].
//!
//! Wire types (what serde sees) stay inside this folder; everything past it sees only validated
//! values, and every value remembers the line it came from. Policies and reference tables are read with
//! the same tree, problems and quantities.

mod axes;
mod cache;
mod catalog;
mod device;
mod expand;
pub(crate) mod problem;
mod profile;
pub(crate) mod quantity;
#[cfg(test)]
pub(crate) mod sample;
mod schema;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod wire;

pub use cache::CacheState;
pub use catalog::Catalog;
pub use device::DeviceId;
pub(crate) use expand::identity;
pub use problem::{Problem, SuiteErrors};
pub use quantity::duration;
pub use schema::schema;

use crate::kernels::Params;
use crate::units::{Bytes, Hertz, Seconds};
use problem::Report;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use wire::WireSuite;

/// A validated suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its id: lower-case words joined by `-`.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// SHA-256 of the suite's text, lower-case hex.
    pub digest: String,
    /// The text itself: the record carries it, so a reader needs no other file.
    pub text: String,
    /// Where it was read from, as the user named it.
    pub path: String,
    /// The profile after the suite's own overrides.
    pub profile: Profile,
    /// Every case after matrix expansion, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case: a kernel with every parameter fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Unique within the suite: `gemm-f32-m1024-n1024-k1024-t2`.
    pub id: String,
    /// Kernel id.
    pub kernel: String,
    /// Its parameters, defaults filled in.
    pub params: Params,
    /// Threads to run on; on another device than the processor the one thread that submits.
    pub threads: Threads,
    /// The device to run on: in a suite possibly every one of a family, in a plan one.
    #[serde(default, skip_serializing_if = "DeviceId::is_cpu")]
    pub device: DeviceId,
    /// Whether its operands are in a cache when an iteration begins.
    #[serde(default, skip_serializing_if = "CacheState::is_warm")]
    pub cache: CacheState,
    /// Line of the suite it came from, counted from 1.
    pub line: u32,
}

impl Case {
    /// The same case on one device of those that its own device stands for.
    #[must_use]
    pub fn on(&self, device: &DeviceId) -> Self {
        let bare = self.id.strip_suffix(&self.device.word()).unwrap_or(&self.id);
        let id = if self.device.is_cpu() { self.id.clone() } else { format!("{bare}{}", device.word()) };
        Self { id, device: device.clone(), ..self.clone() }
    }

    /// Whether `planned` is this case of a suite, on a device that it stands for.
    #[must_use]
    pub fn plans_to(&self, planned: &Self) -> bool {
        self.device.means(&planned.device) && self.on(&planned.device).id == planned.id
    }
}

/// How many threads a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threads {
    /// This many.
    Count(u32),
    /// One on every physical core this process may use.
    Cores,
    /// One on every logical CPU this process may use.
    All,
}

/// How a run measures: every number of docs/measurement.md, from YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// `quick`, `ci`, `certify` or a name of the user's.
    pub name: String,
    /// Whether a record made with it may ever be certified.
    pub certifiable: bool,
    /// Timed windows of each case.
    pub repeats: u32,
    /// Shortest window.
    #[serde(rename = "window_floor_s")]
    pub window_floor: Seconds,
    /// The window is also at least this many update periods τ of the slowest sensor used.
    pub window_tau_multiple: u32,
    /// Largest alignment error u_align = τ/(T·√6) allowed, as a fraction.
    pub alignment_limit: f64,
    /// Idle measured before the first case, and again after the last.
    #[serde(rename = "idle_s")]
    pub idle: Seconds,
    /// Largest relative drift of idle power between the two.
    pub idle_drift_limit: f64,
    /// Warm-up goes on at least this long.
    #[serde(rename = "warm_up_min_s")]
    pub warm_up_min: Seconds,
    /// Warm-up gives up waiting for stability after this long (and says so).
    #[serde(rename = "warm_up_max_s")]
    pub warm_up_max: Seconds,
    /// Warm-up is over when the relative slope of time per iteration (and of power, where
    /// measured) over the last windows is below this.
    pub warm_up_slope: f64,
    /// Rate of the background power trace.
    #[serde(rename = "sampler_hz")]
    pub sampler: Hertz,
    /// Length of each ceiling probe.
    #[serde(rename = "probe_s")]
    pub probe: Seconds,
    /// Buffer of the main-memory bandwidth probe; it must exceed the last-level cache.
    #[serde(rename = "probe_bytes")]
    pub probe_size: Bytes,
    /// Largest fraction of the used CPUs' time taken by other processes in a window.
    pub foreign_load_limit: f64,
    /// Largest fraction of CPU time stolen by the hypervisor in a window.
    pub steal_limit: f64,
    /// Windows that fail a state check are measured again at most this often per case.
    pub retries: u32,
    /// Bootstrap resamples of the analysis.
    pub bootstrap_resamples: u32,
    /// Confidence of every interval, e.g. 0.95.
    pub confidence: f64,
}

/// The suites that come with the product: id and text.
pub const SHIPPED: &[(&str, &str)] = &[
    ("attention", include_str!("../../suites/attention.yaml")),
    ("certify-cpu", include_str!("../../suites/certify-cpu.yaml")),
    ("quantization", include_str!("../../suites/quantization.yaml")),
    ("quick", include_str!("../../suites/quick.yaml")),
    ("quick-gpu", include_str!("../../suites/quick-gpu.yaml")),
    ("reference-cpu", include_str!("../../suites/reference-cpu.yaml")),
    ("reference-gpu", include_str!("../../suites/reference-gpu.yaml")),
    ("sparsity", include_str!("../../suites/sparsity.yaml")),
];

impl Suite {
    /// Reads and validates a suite file.
    ///
    /// # Errors
    /// [`SuiteErrors`] when the file cannot be read, or with every problem found in it.
    pub fn load(path: &Path, catalog: &Catalog) -> Result<Self, SuiteErrors> {
        Self::parse(path, &read_file(path, "suite")?, catalog)
    }

    /// Validates the text of a suite. `path` is where it came from: it stands in the errors, and
    /// the path of a profile file is relative to its folder.
    ///
    /// # Errors
    /// [`SuiteErrors`] with every problem of the text, up to a limit.
    pub fn parse(path: &Path, text: &str, catalog: &Catalog) -> Result<Self, SuiteErrors> {
        let (mut report, root) = Report::open(path, text)?;
        let wire = WireSuite::read(&mut report, &root, &|name| axes::is_parameter(catalog, name));
        wire::check_version(&mut report, wire.version);
        let id = wire.id.and_then(|node| wire::identifier(&mut report, node, "suite id", 64)).unwrap_or_default();
        let title = wire::prose(&mut report, wire.title, 200);
        let description = wire::prose(&mut report, wire.description, 2000);
        let profile = profile::resolve(&mut report, path, wire.profile, wire.settings);
        let cases = expand::expand(&mut report, &wire, catalog);
        report.finish()?;
        let Some(profile) = profile else {
            return Err(SuiteErrors::whole_file(
                path,
                "the suite has no profile".to_owned(),
                "name one with `profile:`",
            ));
        };
        Ok(Self {
            id: id.to_owned(),
            title: if title.is_empty() { id.to_owned() } else { title },
            description,
            digest: hex(&Sha256::digest(text.as_bytes())),
            text: text.to_owned(),
            path: path.display().to_string(),
            profile,
            cases,
        })
    }

    /// The cases that a suite's text gives: what [`parse`](Self::parse) reads of it, without its profile, which may be a
    /// file of its own. It touches no file, so a text from elsewhere can be read.
    ///
    /// # Errors
    /// [`SuiteErrors`] with every problem of the text but those of its profile, up to a limit.
    pub fn cases_of(text: &str, catalog: &Catalog) -> Result<Vec<Case>, SuiteErrors> {
        let (mut report, root) = Report::open(Path::new("suite.yaml"), text)?;
        let wire = WireSuite::read(&mut report, &root, &|name| axes::is_parameter(catalog, name));
        wire::check_version(&mut report, wire.version);
        let cases = expand::expand(&mut report, &wire, catalog);
        report.finish()?;
        Ok(cases)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The text of a file of the kind `what`.
pub(crate) fn read_file(path: &Path, what: &str) -> Result<String, SuiteErrors> {
    read_text(path).map_err(|(message, help)| {
        SuiteErrors::whole_file(path, format!("the {what} cannot be read: {message}"), &help)
    })
}

/// The text of a regular file of bounded size; otherwise what is wrong and what to do.
fn read_text(path: &Path) -> Result<String, (String, String)> {
    let fault = |message: String, help: &str| (message, help.to_owned());
    let io = |e: std::io::Error| {
        fault(problem::escaped(&e.to_string()).to_lowercase(), "check the path and its permissions")
    };
    // Opening a pipe or a device could block or never end.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(fault("it is not a regular file".to_owned(), "name a YAML file"));
    }
    let mut bytes = Vec::new();
    let limit = tree::MAX_BYTES as u64 + 1;
    std::fs::File::open(path).and_then(|f| f.take(limit).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() > tree::MAX_BYTES {
        let message = format!("it has more than {} bytes", tree::MAX_BYTES);
        return Err(fault(message, "split it into several files"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        let column =
            String::from_utf8_lossy(good.rsplit(|b| *b == b'\n').next().unwrap_or_default()).chars().count() + 1;
        fault(format!("line {line}, column {column} is not UTF-8"), "save the file as UTF-8")
    })
}
