//! The ceiling probes that a set of cases needs: what the machine could do at best.

use super::{Capacity, Planned, Skip, devices, judge, resolved};
use crate::kernels::{Dtype, KernelInfo, ParamKind, ParamValue, Params, Role};
use crate::suite::{CacheState, Case, Catalog, DeviceId, Profile, Threads, identity};
use std::collections::BTreeMap;

/// Most in-cache sizes whose bandwidth is probed.
const IN_CACHE_SIZES: usize = 4;

/// Smallest probe: below it the probe's own loop would be measured.
const SMALLEST: u64 = 16 << 10;
const PAGE: u64 = 4096;
/// The read and the copy probe of a card have at least so many times the size of its cache, of which the rest of the last turn is then
/// an eighth at most.
const PAST_CACHE: f64 = 8.0;

/// Arithmetic peak for each type and thread count in use; read bandwidth for each thread count, of
/// main memory and at the footprints of the cases that fit the last-level cache.
pub(super) fn probes(
    planned: &[Planned],
    profile: &Profile,
    capacity: &Capacity,
    catalog: &Catalog,
    skips: &mut Vec<Skip>,
) -> Vec<Case> {
    let mut wanted = Vec::new();
    // The first word used for a thread count names the probe; counts keep the order of the suite.
    let mut counts: Vec<(u32, Threads)> = Vec::new();
    let on_cpu = || planned.iter().filter(|p| p.case.device.is_cpu());
    for p in on_cpu() {
        let Threads::Count(n) = p.case.threads else { continue };
        if !counts.iter().any(|(m, _)| *m == n) {
            counts.push((n, p.asked));
        }
    }
    for info in catalog.infos(Role::ComputeCeiling) {
        for &dtype in info.dtypes {
            for &(n, asked) in &counts {
                let used = |p: &Planned| p.case.params.dtype == dtype && p.case.threads == Threads::Count(n);
                if let Some(first) = on_cpu().find(|p| used(p)) {
                    let params = Params { dtype, values: defaults(info) };
                    wanted.push(probe(info, params, asked, &DeviceId::cpu(), first.case.line));
                }
            }
        }
    }
    for info in catalog.infos(Role::MemoryCeiling) {
        let Some(&dtype) = info.dtypes.first() else { continue };
        let Some((name, min, max)) = size_parameter(info) else { continue };
        for &(n, asked) in &counts {
            let own = || on_cpu().filter(move |p| p.case.threads == Threads::Count(n));
            let Some(first) = own().next() else { continue };
            let mut sizes = in_cache(own(), capacity);
            sizes.push(bytes(profile.probe_size.get()));
            for size in sizes {
                let mut values = defaults(info);
                values.insert(name.to_owned(), ParamValue::Integer(size.clamp(min, max)));
                wanted.push(probe(info, Params { dtype, values }, asked, &DeviceId::cpu(), first.case.line));
            }
        }
    }
    wanted.dedup_by(|a, b| a.id == b.id);
    let mut probes = Vec::new();
    for case in wanted {
        let threads = capacity.threads(case.threads);
        match judge(&case, threads, capacity, catalog) {
            Ok(_) => probes.push(resolved(&case, threads)),
            Err(reason) => skips.push(Skip { case, reason }),
        }
    }
    probes.extend(on_devices(planned, profile, capacity, catalog));
    probes
}

/// The probes of each device in use, as far as it has programs for them: arithmetic for each type in use, and read and
/// copy bandwidth of its memory, far beyond its cache. One that does not fit is left out: shares of it are then unknown. A
/// device that the processor computes for has none: what it reaches says nothing of a card.
fn on_devices(planned: &[Planned], profile: &Profile, capacity: &Capacity, catalog: &Catalog) -> Vec<Case> {
    let mut probes = Vec::new();
    for device in capacity.devices.found.iter().filter(|d| !d.emulated) {
        let own = || planned.iter().filter(|p| p.case.device == device.id);
        let Some(line) = own().next().map(|p| p.case.line) else { continue };
        let arithmetic = catalog.infos(Role::ComputeCeiling).flat_map(|info| {
            let used = |dtype: &&Dtype| own().any(|p| p.case.params.dtype == **dtype);
            info.dtypes.iter().filter(used).map(move |dtype| (info, Params { dtype: *dtype, values: defaults(info) }))
        });
        let of_memory = catalog.infos(Role::MemoryCeiling).chain(catalog.infos(Role::CopyCeiling));
        let memory = of_memory.filter_map(|info| {
            let (name, min, max) = size_parameter(info)?;
            let mut values = defaults(info);
            let past_cache = device.cache.map_or(0.0, |cache| PAST_CACHE * cache.get());
            let size = bytes(profile.probe_size.get().max(past_cache));
            let size = size.min(device.target.limits.buffer_bytes / PAGE * PAGE).clamp(min, max);
            values.insert(name.to_owned(), ParamValue::Integer(size));
            Some((info, Params { dtype: *info.dtypes.first()?, values }))
        });
        let all = arithmetic.chain(memory);
        let all = all.map(|(info, params)| probe(info, params, Threads::Count(1), &device.id, line));
        probes.extend(all.filter(|case| devices::fits(case, device, capacity, catalog).is_ok()));
    }
    probes
}

fn probe(info: &KernelInfo, params: Params, threads: Threads, device: &DeviceId, line: u32) -> Case {
    let cache = CacheState::Warm;
    let id = identity(info, &params, cache, threads, device);
    Case { id, kernel: info.id.to_owned(), params, threads, device: device.clone(), cache, line }
}

fn defaults(info: &KernelInfo) -> BTreeMap<String, ParamValue> {
    info.params.iter().filter_map(|p| Some((p.name.to_owned(), p.default?.into()))).collect()
}

fn size_parameter(info: &KernelInfo) -> Option<(&'static str, u64, u64)> {
    info.params.iter().find_map(|p| match p.kind {
        ParamKind::Size { min, max } => Some((p.name, min, max)),
        _ => None,
    })
}

/// Compulsory footprints of warm cases that fit the last-level cache, rounded up to powers of two, smallest
/// first; when there are more than [`IN_CACHE_SIZES`], evenly chosen ones with both ends.
fn in_cache<'p>(cases: impl Iterator<Item = &'p Planned>, capacity: &Capacity) -> Vec<u64> {
    let Some(cache) = capacity.last_level_cache else { return Vec::new() };
    let fits = |b: &f64| *b > 0.0 && *b <= cache.get();
    // A power of two beyond the cache would measure main memory: there the footprint itself serves.
    let rounded = |b: f64| {
        let up = bytes(b).next_power_of_two();
        if up as f64 > cache.get() { bytes(b).next_multiple_of(PAGE) } else { up }
    };
    let mut sizes: Vec<u64> = cases
        .filter(|p| p.case.cache.is_warm())
        .map(|p| p.work.bytes.get())
        .filter(fits)
        .map(|b| rounded(b).max(SMALLEST))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.len() > IN_CACHE_SIZES {
        let last = sizes.len() - 1;
        sizes = (0..IN_CACHE_SIZES).map(|i| sizes[i * last / (IN_CACHE_SIZES - 1)]).collect();
    }
    sizes
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are positive and below 2^53")]
fn bytes(value: f64) -> u64 {
    value.ceil() as u64
}
