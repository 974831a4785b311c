//! One powercap zone: its id, its name and its counter file.

use crate::sensors::Domain;
use crate::sensors::attribute::Attribute;
use crate::units::MicroJoules;

/// How the kernel reaches the counters of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Control {
    /// `intel-rapl`: model-specific registers or TPMI, on AMD as well.
    Msr,
    /// `intel-rapl-mmio`: the same package through memory-mapped registers.
    Mmio,
}

/// Id of a zone: `intel-rapl:a:1` is control type `intel-rapl`, zone 10, subzone 1. The kernel
/// prints the indices in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ZoneId {
    pub(super) control: Control,
    /// One index a level; empty for the control type itself.
    pub(super) index: Vec<u32>,
}

impl ZoneId {
    /// Parses a folder name; `None` for anything that is no RAPL zone or control type.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (control, rest) = match name.strip_prefix("intel-rapl-mmio") {
            Some(rest) => (Control::Mmio, rest),
            None => (Control::Msr, name.strip_prefix("intel-rapl")?),
        };
        let mut index = Vec::new();
        if !rest.is_empty() {
            for digits in rest.strip_prefix(':')?.split(':') {
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                index.push(u32::from_str_radix(digits, 16).ok()?);
            }
        }
        Some(Self { control, index })
    }

    /// The zone that contains this one; `None` at the top.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, above) = self.index.split_last()?;
        (!above.is_empty()).then(|| Self { control: self.control, index: above.to_vec() })
    }

    /// Whether this zone is directly below its control type.
    pub(super) fn is_top(&self) -> bool {
        self.index.len() == 1
    }
}

impl std::fmt::Display for ZoneId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.control {
            Control::Msr => "intel-rapl",
            Control::Mmio => "intel-rapl-mmio",
        })?;
        self.index.iter().try_for_each(|i| write!(f, ":{i:x}"))
    }
}

/// A zone whose counter was opened and read once.
#[derive(Debug)]
#[cfg_attr(not(feature = "rapl-energy"), expect(dead_code, reason = "id and name find it again in rapl-energy's tree"))]
pub(super) struct Zone {
    pub(super) id: ZoneId,
    /// The kernel's name of it: `package-0`, `core`, `dram`, `psys`.
    pub(super) name: String,
    pub(super) domain: Domain,
    pub(super) range: Option<MicroJoules>,
    pub(super) counter: Attribute,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zone_ids_are_hexadecimal_and_nest() {
        let id = ZoneId::parse("intel-rapl:a:1").unwrap();
        assert_eq!((id.control, id.index.as_slice()), (Control::Msr, &[10, 1][..]));
        assert_eq!(id.parent().unwrap().to_string(), "intel-rapl:a");
        assert_eq!(id.parent().unwrap().parent(), None);
        assert_eq!(ZoneId::parse("intel-rapl-mmio:0").unwrap().control, Control::Mmio);
        assert!(ZoneId::parse("intel-rapl").unwrap().index.is_empty());
        for bad in ["", "dtpm", "intel-rapl:", "intel-rapl:g", "intel-rapl:0:", "intel-rapl-x:0", "intel-rapl:+1"] {
            assert_eq!(ZoneId::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn zone_ids_round_trip(mmio in any::<bool>(), index in proptest::collection::vec(0u32..400, 0..4)) {
            let id = ZoneId { control: if mmio { Control::Mmio } else { Control::Msr }, index };
            prop_assert_eq!(ZoneId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn any_folder_name_is_safe(name in ".*") {
            let _ = ZoneId::parse(&name);
            let prefixed = format!("intel-rapl{name}");
            if let Some(id) = ZoneId::parse(&prefixed) {
                prop_assert!(prefixed.starts_with("intel-rapl") && id.index.len() <= prefixed.len());
            }
        }
    }
}
