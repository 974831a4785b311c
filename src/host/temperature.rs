//! CPU temperature from hwmon or, failing that, the thermal zones.

use super::{Host, read_text};
use crate::units::Celsius;
use std::path::PathBuf;

/// hwmon drivers that report CPU temperatures.
const DRIVERS: [&str; 5] = ["coretemp", "k10temp", "zenpower", "cpu_thermal", "scpi_sensors"];
/// Thermal zones that are a CPU.
const ZONES: [&str; 4] = ["x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal"];

/// Files that give a CPU temperature, found once and then read at every window.
#[derive(Debug, Clone, Default)]
pub(super) struct TemperatureFiles(Vec<PathBuf>);

impl TemperatureFiles {
    pub(super) fn find(host: &Host) -> Self {
        let mut files = Vec::new();
        for chip in host.list("sys/class/hwmon") {
            let folder = format!("sys/class/hwmon/{chip}");
            if host.read(&format!("{folder}/name")).is_some_and(|name| DRIVERS.contains(&name.as_str())) {
                let inputs = host.list(&folder).into_iter().filter(|f| f.starts_with("temp") && f.ends_with("_input"));
                files.extend(inputs.map(|f| host.path(&format!("{folder}/{f}"))));
            }
        }
        if files.is_empty() {
            for zone in host.list("sys/class/thermal") {
                let folder = format!("sys/class/thermal/{zone}");
                if host.read(&format!("{folder}/type")).is_some_and(|kind| ZONES.contains(&kind.as_str())) {
                    files.push(host.path(&format!("{folder}/temp")));
                }
            }
        }
        Self(files)
    }

    /// The highest temperature now.
    pub(super) fn hottest(&self) -> Option<Celsius> {
        self.0.iter().filter_map(|file| celsius(&read_text(file)?)).reduce(|a, b| if b > a { b } else { a })
    }
}

/// Thousandths of a degree, as hwmon and the thermal zones print them. Values no running CPU has
/// come from sensors that are not connected.
fn celsius(text: &str) -> Option<Celsius> {
    let millidegrees: i32 = text.trim().parse().ok()?;
    (-40_000..=150_000).contains(&millidegrees).then(|| Celsius::new(f64::from(millidegrees) / 1e3).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    #[test]
    fn the_hottest_core_counts_and_other_chips_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(TemperatureFiles::find(&host).hottest(), None);
        write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
        write("sys/class/thermal/thermal_zone0/temp", "51000\n");
        write("sys/class/thermal/thermal_zone1/type", "acpitz\n");
        write("sys/class/thermal/thermal_zone1/temp", "99000\n");
        assert_eq!(TemperatureFiles::find(&host).hottest(), Celsius::new(51.0).ok());
        write("sys/class/hwmon/hwmon0/name", "nvme\n");
        write("sys/class/hwmon/hwmon0/temp1_input", "90000\n");
        write("sys/class/hwmon/hwmon1/name", "coretemp\n");
        write("sys/class/hwmon/hwmon1/temp1_input", "48000\n");
        write("sys/class/hwmon/hwmon1/temp2_input", "62500\n");
        write("sys/class/hwmon/hwmon1/temp3_input", "");
        write("sys/class/hwmon/hwmon1/temp4_input", "255000\n");
        assert_eq!(TemperatureFiles::find(&host).hottest(), Celsius::new(62.5).ok());
    }

    #[test]
    fn nonsense_is_unknown() {
        assert_eq!(celsius("-5000"), Celsius::new(-5.0).ok());
        for bad in ["", "x", "1e3", "99999999999", "-100000", "1 2"] {
            assert_eq!(celsius(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(?s).{0,60}", number in any::<i64>()) {
            for text in [text, number.to_string()] {
                if let Some(value) = celsius(&text) {
                    prop_assert!((-40.0..=150.0).contains(&value.get()));
                }
            }
        }
    }
}
