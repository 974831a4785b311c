//! The energy boundary: which domains are added up, which were read beside them, what nobody saw.

use super::model::{Boundary, BoundaryDomain};
use crate::certificate::Dossier;
use crate::record::{Channel, Domain, Quantity, SensorStatus};
use crate::report::model::plain::{domain_name, plain, sentence, shorten};
use crate::report::si;

/// The drawing's contents.
pub(super) fn of(dossier: &Dossier) -> Boundary {
    let certificate = &dossier.certificate;
    let rated = &certificate.boundary.domains;
    let mut read: Vec<&Domain> = Vec::new();
    let in_windows = certificate.results.iter().flat_map(|c| &c.domains).map(|d| &d.domain);
    for domain in in_windows.chain(certificate.idle.iter().map(|i| &i.domain)).chain(rated) {
        if !read.contains(&domain) {
            read.push(domain);
        }
    }
    read.sort();
    let named = |domain: &Domain| BoundaryDomain {
        name: shorten(&domain_name(domain), 60),
        detail: detail(dossier, domain),
        parts: Vec::new(),
    };
    let inside = rated.iter().map(|outer| BoundaryDomain {
        parts: read.iter().filter(|d| outer.contains(d)).map(|d| named(d)).collect(),
        ..named(outer)
    });
    let covered = |domain: &Domain| rated.iter().any(|outer| outer == domain || outer.contains(domain));
    Boundary {
        text: sentence(&certificate.boundary.text),
        inside: inside.collect(),
        apart: read.iter().filter(|d| !covered(d)).map(|d| named(d)).collect(),
        unseen: unseen(rated, &read),
    }
}

/// Sensor, update period and power at rest of a domain, as far as they are known.
fn detail(dossier: &Dossier, domain: &Domain) -> String {
    let mut parts = Vec::new();
    if let Some((sensor, channel)) = channel(&dossier.certificate.sensors, domain) {
        parts.push(format!("{} {}", shorten(sensor, 40), kind(&channel.quantity)));
        parts.push(match channel.update_period {
            Some(period) => format!("τ {}", si::quantity(period.get(), "s")),
            None => "τ unknown".to_owned(),
        });
    }
    if let Some(idle) = dossier.certificate.idle.iter().find(|i| i.domain == *domain) {
        parts.push(format!("{} at rest", si::quantity(idle.mean, "W")));
    }
    if parts.is_empty() { "how it was read is not recorded".to_owned() } else { plain(&parts.join(", ")) }
}

/// The first energy or power channel of a domain, and the family it belongs to.
fn channel<'a>(sensors: &'a [SensorStatus], domain: &Domain) -> Option<(&'a str, &'a Channel)> {
    let ready = sensors.iter().filter_map(|status| match status {
        SensorStatus::Ready(info) => Some(info),
        SensorStatus::Absent { .. } | SensorStatus::Denied { .. } => None,
    });
    let all = ready.flat_map(|info| info.channels.iter().map(move |c| (info.id.as_str(), c)));
    all.filter(|(_, c)| c.domain == *domain).find(|(_, c)| kind(&c.quantity) != "other")
}

const fn kind(quantity: &Quantity) -> &'static str {
    match quantity {
        Quantity::Energy { .. } => "counter",
        Quantity::InstantPower => "instantaneous power",
        Quantity::AveragePower { .. } => "averaged power",
        _ => "other",
    }
}

/// What the domains leave out, apart from what was `read` beside them. Parts that a machine may not have are
/// named as such.
fn unseen(rated: &[Domain], read: &[&Domain]) -> String {
    let gpu = |d: &Domain| matches!(d, Domain::Gpu { .. } | Domain::GpuModule { .. });
    let has = |test: fn(&Domain) -> bool| rated.iter().any(test);
    if rated.is_empty() {
        return "Nothing was rated, so nothing is inside.".to_owned();
    }
    if has(|d| matches!(d, Domain::Wall)) {
        return "Cooling and distribution outside the machine.".to_owned();
    }
    if has(|d| matches!(d, Domain::Node)) {
        return "Losses between the node's own meter and the wall socket.".to_owned();
    }
    if has(|d| matches!(d, Domain::Psys)) {
        return "Losses of the power supply, and whatever is not fed through the platform's regulator.".to_owned();
    }
    let mut parts = Vec::new();
    if !has(|d| matches!(d, Domain::Dram { .. } | Domain::DramOfDie { .. })) {
        parts.push("memory");
    }
    if !rated.iter().chain(read.iter().copied()).any(gpu) {
        parts.push("GPUs");
    }
    parts.extend(["drives", "network", "fans", "voltage regulators and board", "losses of the power supply"]);
    let text = parts.join(", ");
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}: as far as the machine has them.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_follows_the_boundary() {
        let of = |names: &[&str]| {
            let rated: Vec<Domain> = names.iter().map(|n| n.parse().unwrap()).collect();
            unseen(&rated, &[])
        };
        assert!(of(&["package-0"]).starts_with("Memory, GPUs, drives"));
        assert!(of(&["package-0", "dram-0"]).starts_with("GPUs, drives"));
        assert!(of(&["psys"]).contains("power supply") && !of(&["psys"]).contains("Memory"));
        let package: Domain = "package-0".parse().unwrap();
        let gpu: Domain = "gpu-GPU-5c3a".parse().unwrap();
        assert!(!unseen(std::slice::from_ref(&package), &[&package, &gpu]).contains("GPU"), "it was read");
        assert_eq!(of(&["wall"]), "Cooling and distribution outside the machine.");
    }
}
