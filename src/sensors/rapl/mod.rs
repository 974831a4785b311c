//! RAPL: the energy counters of CPU packages, cores, memory and platform, through the kernel's
//! powercap interface (Intel and AMD).
//!
//! Domains overlap (psys ⊃ package ⊃ cores; memory is outside the package), so no sum is formed
//! here: [`Domain::contains`](super::Domain::contains) decides what may be added.

#[cfg(feature = "rapl-energy")]
mod guarded;
mod layout;
mod powercap;
mod zone;

use super::{Channel, Probe, Quantity, ReaderRole, SensorFamily, SensorInfo};
use crate::host::Host;
use crate::units::MicroJoules;
use layout::{Layout, NoZone};
use powercap::PowercapReader;
use zone::Zone;

const ID: &str = "rapl";
const TITLE: &str = "RAPL (CPU energy counters)";

/// RAPL in the registry.
pub const FAMILY: SensorFamily = SensorFamily { id: ID, title: TITLE, probe };

/// How to let one group read the counters. The files are root-only since CVE-2020-8694, because
/// energy readings can leak secrets of other users' programs: so a group, not everybody.
pub(super) const REMEDY: &str = "let one group read the counters: `sudo groupadd --system energy; sudo usermod -aG energy $USER; \
     sudo cp ci/99-wattproof-rapl.rules /etc/udev/rules.d/; sudo udevadm control --reload; \
     sudo udevadm trigger --action=add --subsystem-match=powercap`, then log in again. Until the next boot only: \
     `sudo chgrp energy /sys/class/powercap/*/energy_uj; sudo chmod g+r /sys/class/powercap/*/energy_uj`. \
     `setcap cap_dac_read_search` on the program would work too, but lets it read every file of the machine";

/// Looks for RAPL zones on `host`.
#[must_use]
pub fn probe(host: &Host) -> Probe {
    match Layout::discover(host) {
        Ok(layout) => open(host, layout),
        Err(NoZone::Absent(reason)) => Probe::Absent { reason: reason + &hint(host) },
        Err(NoZone::Denied(path)) => Probe::Denied {
            reason: format!("{path} may be read by root only (the kernel's default since CVE-2020-8694)"),
            remedy: REMEDY.to_owned(),
        },
    }
}

/// What usually is behind a missing interface.
fn hint(host: &Host) -> String {
    if crate::host::is_virtual(host) {
        "; this is a virtual machine, and hypervisors do not pass RAPL on".to_owned()
    } else if crate::host::container(host).is_some() {
        "; this is a container, and runtimes mask the powercap interface: run on the host, or mount \
         /sys/class/powercap and /sys/devices/virtual/powercap read-only"
            .to_owned()
    } else {
        "; on bare metal try `sudo modprobe intel_rapl_msr`".to_owned()
    }
}

#[cfg(feature = "rapl-energy")]
fn open(host: &Host, layout: Layout) -> Probe {
    let root = layout.root.display().to_string();
    let opened = if host.is_redirected() {
        Err("its path is fixed and this root is redirected".to_owned())
    } else {
        guarded::open(&layout.zones)
    };
    match opened {
        Ok((rapl, places)) => {
            let info = info(host, &layout, format!("rapl-energy {}, {root}", env!("WATTPROOF_RAPL_ENERGY")));
            let direct = PowercapReader::new(info, layout.zones);
            Probe::Ready(Box::new(guarded::Guarded::new(rapl, places, direct)))
        }
        Err(why) => direct(host, layout, &format!("rapl-energy does not serve: {why}")),
    }
}

#[cfg(not(feature = "rapl-energy"))]
fn open(host: &Host, layout: Layout) -> Probe {
    direct(host, layout, "built without the feature rapl-energy")
}

fn direct(host: &Host, layout: Layout, why: &str) -> Probe {
    let source = format!("direct reader, {} ({why})", layout.root.display());
    let info = info(host, &layout, source);
    Probe::Ready(Box::new(PowercapReader::new(info, layout.zones)))
}

fn info(host: &Host, layout: &Layout, source: String) -> SensorInfo {
    SensorInfo {
        id: ID.to_owned(),
        title: TITLE.to_owned(),
        source,
        channels: layout.zones.iter().map(channel).collect(),
        notes: layout.notes.clone(),
        simulated: host.is_redirected(),
        accuracy: None,
    }
}

fn channel(zone: &Zone) -> Channel {
    let quantity = Quantity::Energy { resolution: resolution(zone.range), range: zone.range, max_power: None };
    Channel {
        name: zone.domain.to_string(),
        domain: zone.domain.clone(),
        quantity,
        role: ReaderRole::default(),
        update_period: None,
    }
}

/// The energy status register has 32 bits (Intel SDM 17.15; AMD uses the same layout), so the
/// stated range divided by 2³²−1 is its unit; never finer than the file's microjoule.
fn resolution(range: Option<MicroJoules>) -> Option<MicroJoules> {
    range.map(|r| MicroJoules::new(r.get().div_ceil(u64::from(u32::MAX)).max(1)))
}

#[cfg(test)]
mod tests;
