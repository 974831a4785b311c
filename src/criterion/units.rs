//! Joules and work per joule as criterion prints them.

use ::criterion::Throughput;
use ::criterion::measurement::ValueFormatter;

/// Scales joules from nJ to kJ, and throughputs to elements or bytes a joule.
#[derive(Debug)]
pub(super) struct JouleFormatter;

/// The first unit whose scaled value stays below the next one.
const JOULES: [(f64, &str); 6] = [(1e-12, "pJ"), (1e-9, "nJ"), (1e-6, "µJ"), (1e-3, "mJ"), (1.0, "J"), (1e3, "kJ")];
const ELEMENTS: [(f64, &str); 4] = [(1.0, "elem/J"), (1e3, "Kelem/J"), (1e6, "Melem/J"), (1e9, "Gelem/J")];
const BITS: [(f64, &str); 4] = [(1.0, "b/J"), (1e3, "Kb/J"), (1e6, "Mb/J"), (1e9, "Gb/J")];
const DECIMAL: [(f64, &str); 4] = [(1.0, "B/J"), (1e3, "KB/J"), (1e6, "MB/J"), (1e9, "GB/J")];
/// As criterion prints bytes a second.
const BINARY: [(f64, &str); 4] = [(1.0, "B/J"), (1024.0, "KiB/J"), (1_048_576.0, "MiB/J"), (1_073_741_824.0, "GiB/J")];

fn choose(units: &[(f64, &'static str)], typical: f64) -> (f64, &'static str) {
    let fits = units.iter().rev().find(|(size, _)| typical.abs() >= *size);
    *fits.unwrap_or(&units[0])
}

impl ValueFormatter for JouleFormatter {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (size, unit) = choose(&JOULES, typical);
        values.iter_mut().for_each(|value| *value /= size);
        unit
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (amount, units) = match *throughput {
            Throughput::Bits(n) => (n, &BITS),
            Throughput::Bytes(n) => (n, &BINARY),
            Throughput::BytesDecimal(n) => (n, &DECIMAL),
            Throughput::Elements(n) | Throughput::ElementsAndBytes { elements: n, .. } => (n, &ELEMENTS),
        };
        let amount = amount as f64;
        let (size, unit) = choose(units, amount / typical);
        values.iter_mut().for_each(|value| *value = amount / *value / size);
        unit
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "J"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energies_are_scaled_from_picojoules_to_kilojoules() {
        let cases = [
            (0.5e-12, "0.5000 pJ"),
            (3.25e-9, "3.2500 nJ"),
            (999e-9, "999.00 nJ"),
            (1e-6, "1.0000 µJ"),
            (0.0421, "42.100 mJ"),
            (65.0, "65.000 J"),
            (65_000.0, "65.000 kJ"),
        ];
        for (joules, text) in cases {
            assert_eq!(JouleFormatter.format_value(joules).trim_start(), text);
        }
        let mut values = [0.5, 0.001];
        assert_eq!((JouleFormatter.scale_for_machines(&mut values), values), ("J", [0.5, 0.001]));
    }

    #[test]
    fn throughputs_are_work_per_joule() {
        let cases = [
            (Throughput::Elements(10_000), 0.002, "5.0000 Melem/J"),
            (Throughput::ElementsAndBytes { elements: 30, bytes: 9 }, 2.0, "15.000 elem/J"),
            (Throughput::Bytes(1_048_576), 0.5, "2.0000 MiB/J"),
            (Throughput::BytesDecimal(1_000_000), 0.5, "2.0000 MB/J"),
            (Throughput::Bits(8_000), 1.0, "8.0000 Kb/J"),
        ];
        for (throughput, joules, text) in cases {
            assert_eq!(JouleFormatter.format_throughput(&throughput, joules).trim_start(), text);
        }
    }
}
