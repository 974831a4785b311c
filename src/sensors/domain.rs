//! Parts of a machine that energy is counted for, and which of them contain which.

use serde::{Deserialize, Serialize};

/// A part of the machine. Written to JSON as a word: `package-0`, `gpu-GPU-5c3a…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Domain {
    /// A CPU package, or one die of it: RAPL `package-0`, `package-0-die-1`.
    Package {
        /// Socket number.
        socket: u32,
        /// Die within the socket where the machine counts dies apart.
        die: Option<u32>,
    },
    /// All cores of a package (RAPL PP0).
    Cores {
        /// Socket number.
        socket: u32,
    },
    /// The integrated GPU or other uncore part of a package (RAPL PP1).
    Uncore {
        /// Socket number.
        socket: u32,
    },
    /// Memory attached to a package; NOT inside the package.
    Dram {
        /// Socket number.
        socket: u32,
    },
    /// Memory attached to one die, on machines that count dies apart; NOT inside the package.
    DramOfDie {
        /// Socket number.
        socket: u32,
        /// Die within the socket.
        die: u32,
    },
    /// The whole platform as the board's regulator sees it.
    Psys,
    /// One GPU board.
    Gpu {
        /// Public id derived from the driver's UUID (see [`crate::sensors::nvml::public_id`]).
        uuid: String,
    },
    /// A GPU module that includes a CPU (Grace Hopper).
    GpuModule {
        /// Public id of the GPU on it.
        uuid: String,
    },
    /// The node as its management controller or battery sees it.
    Node,
    /// The wall socket.
    Wall,
    /// Something with a power meter of which nobody can say what part of the machine it is: a rail
    /// of a board, a chip whose firmware does not name its load. It is shown and never added, rated
    /// or taken for a part of anything.
    Other {
        /// Lower-case letters, digits, `.` and `-`: `ina226-hwmon3-power1`.
        name: String,
    },
}

impl Domain {
    /// A domain nobody can place, with a name made of `words`.
    #[must_use]
    pub fn other(words: &str) -> Self {
        let kept =
            words.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' });
        let name: String = kept.collect();
        let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
        Self::Other { name: parts.join("-") }
    }

    /// Whether it is known what part of the machine this is, so that it may enter sums and ratings.
    #[must_use]
    pub const fn is_placed(&self) -> bool {
        !matches!(self, Self::Other { .. })
    }

    /// Whether `self` includes all energy of `other`, so that the two must never be added.
    /// A domain does not contain itself, and one that is not placed contains nothing and lies in
    /// nothing that anyone could name.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        use Domain::{Cores, Dram, DramOfDie, Gpu, GpuModule, Node, Package, Psys, Uncore, Wall};
        match (self, other) {
            (a, b) if a == b || !a.is_placed() || !b.is_placed() => false,
            (Wall, _) => true,
            (Node, b) => *b != Wall,
            (Psys, Package { .. } | Cores { .. } | Uncore { .. } | Dram { .. } | DramOfDie { .. }) => true,
            (Dram { socket: a }, DramOfDie { socket: b, .. }) => a == b,
            (Package { socket: a, die: None }, Package { socket: b, die: Some(_) }) => a == b,
            (Package { socket: a, .. }, Cores { socket: b } | Uncore { socket: b }) => a == b,
            (GpuModule { uuid: a }, Gpu { uuid: b }) => a == b,
            _ => false,
        }
    }

    /// Whether adding the two would, or might, count some energy twice.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.is_placed() || !other.is_placed() || self == other || self.contains(other) || other.contains(self)
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Package { socket, die: None } => write!(f, "package-{socket}"),
            Self::Package { socket, die: Some(die) } => write!(f, "package-{socket}-die-{die}"),
            Self::Cores { socket } => write!(f, "cores-{socket}"),
            Self::Uncore { socket } => write!(f, "uncore-{socket}"),
            Self::Dram { socket } => write!(f, "dram-{socket}"),
            Self::DramOfDie { socket, die } => write!(f, "dram-{socket}-die-{die}"),
            Self::Psys => f.write_str("psys"),
            Self::Gpu { uuid } => write!(f, "gpu-{uuid}"),
            Self::GpuModule { uuid } => write!(f, "gpu-module-{uuid}"),
            Self::Node => f.write_str("node"),
            Self::Wall => f.write_str("wall"),
            Self::Other { name } => write!(f, "other-{name}"),
        }
    }
}

/// A word that names no domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no energy domain")]
pub struct DomainParseError(String);

impl std::str::FromStr for Domain {
    type Err = DomainParseError;

    fn from_str(text: &str) -> Result<Self, DomainParseError> {
        let error = || DomainParseError(text.to_owned());
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| error());
        match text {
            "psys" => return Ok(Self::Psys),
            "node" => return Ok(Self::Node),
            "wall" => return Ok(Self::Wall),
            _ => {}
        }
        if let Some(uuid) = text.strip_prefix("gpu-module-") {
            return Ok(Self::GpuModule { uuid: uuid.to_owned() });
        }
        let (kind, rest) = text.split_once('-').ok_or_else(error)?;
        match kind {
            "package" => match rest.split_once("-die-") {
                Some((socket, die)) => Ok(Self::Package { socket: number(socket)?, die: Some(number(die)?) }),
                None => Ok(Self::Package { socket: number(rest)?, die: None }),
            },
            "cores" => Ok(Self::Cores { socket: number(rest)? }),
            "uncore" => Ok(Self::Uncore { socket: number(rest)? }),
            "dram" => match rest.split_once("-die-") {
                Some((socket, die)) => Ok(Self::DramOfDie { socket: number(socket)?, die: number(die)? }),
                None => Ok(Self::Dram { socket: number(rest)? }),
            },
            "gpu" => Ok(Self::Gpu { uuid: rest.to_owned() }),
            "other" => Ok(Self::Other { name: rest.to_owned() }),
            _ => Err(error()),
        }
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> String {
        domain.to_string()
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainParseError;
    fn try_from(text: String) -> Result<Self, DomainParseError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 13] = [
        "package-0",
        "package-0-die-1",
        "package-1",
        "cores-0",
        "uncore-0",
        "dram-0",
        "dram-0-die-1",
        "psys",
        "gpu-GPU-5c3a",
        "gpu-module-GPU-5c3a",
        "node",
        "wall",
        "other-ina226-hwmon3-power1",
    ];

    #[test]
    fn names_round_trip() {
        for name in ALL {
            assert_eq!(name.parse::<Domain>().unwrap().to_string(), name);
        }
        assert!("package-x".parse::<Domain>().is_err());
        assert!("".parse::<Domain>().is_err());
    }

    #[test]
    fn containment_is_a_strict_order() {
        let all: Vec<Domain> = ALL.iter().map(|n| n.parse().unwrap()).collect();
        for a in &all {
            assert!(!a.contains(a), "{a} contains itself");
            for b in &all {
                assert!(!(a.contains(b) && b.contains(a)), "{a} and {b} contain each other");
                for c in &all {
                    assert!(!(a.contains(b) && b.contains(c)) || a.contains(c), "{a} ⊃ {b} ⊃ {c}");
                }
            }
        }
    }

    #[test]
    fn what_nobody_can_place_is_in_nothing_and_must_not_be_added_to_anything() {
        let rail = Domain::other("INA226 hwmon3/power1: VDD_CPU");
        assert_eq!(rail.to_string(), "other-ina226-hwmon3-power1-vdd-cpu");
        for name in ALL {
            let domain: Domain = name.parse().unwrap();
            assert!(!rail.contains(&domain) && !domain.contains(&rail), "{name}");
            assert!(rail.overlaps(&domain) && domain.overlaps(&rail), "{name}");
        }
        assert!(!rail.is_placed() && Domain::Wall.is_placed());
    }

    #[test]
    fn dram_is_outside_the_package_and_cores_are_inside() {
        let d = |n: &str| n.parse::<Domain>().unwrap();
        assert!(!d("package-0").overlaps(&d("dram-0")));
        assert!(d("package-0").contains(&d("cores-0")));
        assert!(!d("package-1").overlaps(&d("cores-0")));
        assert!(d("psys").contains(&d("dram-0")));
        assert!(!d("psys").overlaps(&d("gpu-GPU-5c3a")));
    }
}
