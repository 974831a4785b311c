//! Devices as suites and records name them: `cpu`, `cuda:0`, `wgpu:*`.

use super::problem::{Report, quoted};
use super::suggest::hint;
use super::tree::{Node, Value};
use crate::kernels::Api;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Most devices of one family that a suite can tell apart.
const MAX_INDEX: u32 = 63;

/// What a list of devices may hold, for help texts.
pub(super) const WORDS: [&str; 6] = ["cpu", "cuda:*", "cuda:0", "wgpu:*", "wgpu:0", "wgpu:software"];

/// A device as a pattern of JSON Schema.
pub(super) const PATTERN: &str = r"^(cpu|cuda:(\*|[0-9]{1,2})|wgpu:(\*|software|[0-9]{1,2}))$";

/// Which device a case runs on: `cpu`, `cuda:0`, `wgpu:software`.
///
/// In a suite the number may be `*`, which stands for every device of the family; a plan names each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub String);

impl Default for DeviceId {
    fn default() -> Self {
        Self::cpu()
    }
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl DeviceId {
    /// The processor.
    #[must_use]
    pub fn cpu() -> Self {
        Self("cpu".to_owned())
    }

    /// The device of this family with this number.
    #[must_use]
    pub fn numbered(family: &str, index: usize) -> Self {
        Self(format!("{family}:{index}"))
    }

    /// Whether it is the processor.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.0 == "cpu"
    }

    /// `cuda` of `cuda:1`.
    #[must_use]
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// What programs for it are written in; `None` for the processor and for what no build knows.
    #[must_use]
    pub fn api(&self) -> Option<Api> {
        Api::ALL.iter().copied().find(|api| api.family() == self.family())
    }

    /// Whether it stands for every device of its family.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.ends_with(":*")
    }

    /// How ids of cases end: `cuda0`, `wgpu-software`, and `cuda` for every device of the family.
    #[must_use]
    pub fn word(&self) -> String {
        match self.0.split_once(':') {
            Some((family, "*")) => family.to_owned(),
            Some((family, number)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("{family}{number}"),
            Some((family, name)) => format!("{family}-{name}"),
            None => self.0.clone(),
        }
    }

    /// Whether `device` is what a suite means with this.
    #[must_use]
    pub fn means(&self, device: &Self) -> bool {
        self == device || (self.is_any() && self.family() == device.family())
    }

    /// Parses what a suite may write.
    fn parse(text: &str) -> Option<Self> {
        let known = match text.split_once(':') {
            None => text == "cpu",
            Some((family, which)) => {
                let number = || which.parse::<u32>().is_ok_and(|n| n <= MAX_INDEX && which == n.to_string());
                Api::ALL.iter().any(|api| api.family() == family)
                    && (which == "*" || number() || (family == Api::Wgsl.family() && which == "software"))
            }
        };
        known.then(|| Self(text.to_owned()))
    }
}

/// Reads a list of devices, or one. `None` after a report.
pub(super) fn read(report: &mut Report, node: &Node) -> Option<Vec<DeviceId>> {
    let before = report.count();
    let items = node.one_or_many();
    if items.is_empty() {
        report.at(node, "the list of devices is empty", "write at least one device, or remove the key");
    }
    let (mut found, mut seen): (Vec<DeviceId>, HashMap<&str, &Node>) = (Vec::new(), HashMap::new());
    for item in items {
        let Some((text, device)) = item.text().and_then(|text| Some((text, DeviceId::parse(text)?))) else {
            let text = item.text().unwrap_or_default();
            let help = match text.split_once(':') {
                Some((family @ ("cuda" | "wgpu"), _)) => {
                    format!("write `{family}:*` for all of them, or a number from 0 to {MAX_INDEX}: `{family}:0`")
                }
                _ if matches!(item.value, Value::Text(_)) => hint(text, "devices", WORDS),
                _ => "write `cpu`, `cuda:*` or `wgpu:0`".to_owned(),
            };
            report.at(item, format!("{} is no device", item.describe()), help);
            continue;
        };
        if let Some(earlier) = seen.insert(text, item) {
            let message = format!("device {} is repeated", quoted(text));
            report.at_both(item, message, "remove one", (earlier, "first written here"));
        } else {
            found.push(device);
        }
    }
    (report.count() == before).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_suites_become_devices() {
        for (text, word) in [
            ("cpu", "cpu"),
            ("cuda:*", "cuda"),
            ("cuda:0", "cuda0"),
            ("wgpu:63", "wgpu63"),
            ("wgpu:software", "wgpu-software"),
        ] {
            assert_eq!(DeviceId::parse(text).map(|d| d.word()).as_deref(), Some(word), "{text}");
        }
        for bad in
            ["", "gpu", "cpu:0", "cuda", "cuda:", "cuda:01", "cuda:64", "cuda:-1", "cuda:software", "wgpu:*:*", "tpu:0"]
        {
            assert_eq!(DeviceId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_star_means_its_own_family_only() {
        let id = |text: &str| DeviceId(text.to_owned());
        assert!(id("wgpu:*").means(&id("wgpu:software")) && id("wgpu:*").means(&id("wgpu:3")));
        assert!(!id("wgpu:*").means(&id("cuda:0")) && !id("wgpu:1").means(&id("wgpu:0")));
        assert!(id("cpu").means(&DeviceId::cpu()) && !id("cuda:*").means(&DeviceId::cpu()));
        assert_eq!((id("cuda:1").api(), id("wgpu:0").api(), id("cpu").api()), (Some(Api::Cuda), Some(Api::Wgsl), None));
    }
}
