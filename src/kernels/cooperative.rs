//! What WGSL programs with cooperative matrices share: the text before them, and how many threads they take.
//!
//! A cooperative matrix lies in the registers of a whole subgroup and is multiplied by one instruction (tensor cores, matrix
//! cores, `simdgroup_matrix`): `VK_KHR_cooperative_matrix`, and `enable wgpu_cooperative_matrix` of naga, which knows square
//! ones of 8 and 16 rows. No thread knows which elements it holds, so they come from shared memory and go back there.

use super::Limits;

/// The text before a program: the type of its operands, the matrices and the functions of `cooperative.wgsl`. Both set how
/// deep a slice of the operands in shared memory is: 64 bytes, and 16 more so that rows begin in different banks and
/// stay aligned, as Vulkan demands of what is loaded.
macro_rules! header {
    (f16, $side:literal) => {
        crate::kernels::cooperative::header!("enable f16;\n", "f16", "32", "8", $side)
    };
    (f32, $side:literal) => {
        crate::kernels::cooperative::header!("", "f32", "16", "4", $side)
    };
    ($enable:literal, $element:literal, $depth:literal, $pad:literal, $side:literal) => {
        concat!(
            $enable,
            "enable wgpu_cooperative_matrix;\nalias E = ",
            $element,
            ";\nconst SIDE: u32 = ",
            $side,
            "u;\nconst DEPTH: u32 = ",
            $depth,
            "u;\nconst PAD: u32 = ",
            $pad,
            "u;\nalias Left = coop_mat",
            $side,
            "x",
            $side,
            "<",
            $element,
            ", A>;\nalias Right = coop_mat",
            $side,
            "x",
            $side,
            "<",
            $element,
            ", B>;\nalias Sums = coop_mat",
            $side,
            "x",
            $side,
            "<f32, C>;\n",
            include_str!("../cooperative.wgsl")
        )
    };
}
pub(super) use header;

/// Threads of a group that shares its work among `parts` subgroups: enough for all of them where subgroups are smallest, and
/// whole subgroups where they are largest. `None` where the device tells nothing of its subgroups.
pub(super) fn threads(parts: u32, limits: &Limits) -> Option<u32> {
    let (least, most) = limits.subgroup.filter(|(least, most)| (1..=*most).contains(least))?;
    parts.checked_mul(least)?.checked_next_multiple_of(most)
}

/// `source` with functions in place of cooperative matrices, so that any device with subgroups of eight threads runs it.
#[cfg(all(test, feature = "wgpu"))]
pub(crate) fn emulated(source: &str) -> String {
    const REAL: &str = include_str!("cooperative.wgsl");
    assert!(source.contains(REAL), "no cooperative matrices in the program");
    const LANE: &str = "subgroup_invocation_id) lane: u32,\n) {\n";
    assert!(source.contains(LANE), "the program does not know its place in the subgroup");
    let kept = source.replace(REAL, include_str!("emulated.wgsl")).replace(LANE, &format!("{LANE}    me = lane;\n"));
    let real = |line: &&str| line.starts_with("enable wgpu_cooperative_matrix") || line.contains("= coop_mat");
    kept.lines().filter(|line| !real(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Cooperative;

    #[test]
    fn groups_hold_whole_subgroups_of_every_size_that_a_driver_may_choose() {
        let of = |subgroup| {
            let limits = Limits {
                shared_bytes: 0,
                block_threads: 1,
                grid: [1; 3],
                buffer_bytes: 1,
                buffers: 1,
                subgroup,
                half: true,
                cooperative: Cooperative::default(),
                capability: None,
                multiprocessors: None,
            };
            threads(4, &limits)
        };
        assert_eq!([of(Some((32, 32))), of(Some((8, 8)))], [Some(128), Some(32)]);
        assert_eq!([of(Some((32, 64))), of(Some((8, 32))), of(Some((4, 64)))], [Some(128), Some(32), Some(64)]);
        assert_eq!([of(None), of(Some((0, 32))), of(Some((64, 32)))], [None; 3]);
    }
}
