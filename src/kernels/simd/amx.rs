//! Tiles of AMX: whether this process may use them, and their configuration on a thread.
//!
//! Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18 (tiles, CPUID,
//! XCR0), and the Linux kernel's Documentation/arch/x86/xstate.rst (permission for dynamically enabled
//! state). The compiler has no tile types; it never touches tile registers by itself, so what one `asm!`
//! leaves in them is there for the next.

#![expect(unsafe_code, reason = "tile registers, CPUID and a system call")]

use std::arch::asm;
use std::sync::OnceLock;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Bytes in a row of a tile.
pub(crate) const ROW_BYTES: usize = 64;
/// Bytes in a tile.
pub(crate) const TILE_BYTES: usize = ROWS * ROW_BYTES;

/// Which tile multiplications there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    /// `tdpbf16ps`.
    pub(crate) bf16: bool,
    /// `tdpbssd`.
    pub(crate) int8: bool,
}

impl Tiles {
    const NONE: Self = Self { bf16: false, int8: false };
}

/// What this processor has, the operating system saves, and the kernel permits this process to use. Asked
/// once: a permission holds for all threads of a process, also for those that run already.
pub(crate) fn tiles() -> Tiles {
    static TILES: OnceLock<Tiles> = OnceLock::new();
    *TILES.get_or_init(|| if saved() && permitted() { multiplications() } else { Tiles::NONE })
}

/// CPUID leaf 7: AMX-TILE, AMX-BF16, AMX-INT8; leaf 1Dh: palette 1 has eight tiles of 16 rows of 64 bytes.
fn multiplications() -> Tiles {
    use std::arch::x86_64::__cpuid_count;
    let highest = __cpuid_count(0, 0).eax;
    if highest < 0x1D {
        return Tiles::NONE;
    }
    let (features, palette) = (__cpuid_count(7, 0).edx, __cpuid_count(0x1D, 1));
    let bit = |bit: u32| features >> bit & 1 == 1;
    let usual = palette.ebx >> 16 == 8 && palette.ebx & 0xFFFF == 64 && palette.ecx & 0xFFFF == 16;
    let tiles = bit(24) && usual;
    Tiles { bf16: tiles && bit(22), int8: tiles && bit(25) }
}

/// Whether the operating system saves tile configuration and data (bits 17 and 18 of XCR0).
fn saved() -> bool {
    use std::arch::x86_64::{__cpuid, _xgetbv};
    #[target_feature(enable = "xsave")]
    unsafe fn xcr0() -> u64 {
        // SAFETY: the caller saw OSXSAVE, which is what `xgetbv` needs.
        unsafe { _xgetbv(0) }
    }
    let osxsave = __cpuid(1).ecx >> 27 & 1 == 1;
    // SAFETY: OSXSAVE says that the instruction exists and that the system enabled it.
    osxsave && unsafe { xcr0() } >> 17 & 0b11 == 0b11
}

/// Asks Linux for permission to use tile data.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and changes nothing but what this process may use.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Other systems have calls of their own, which nobody wrote and tested yet: no tiles.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// `LDTILECFG`'s operand: palette 1 with all eight tiles of full size.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static FULL: Configuration = {
    let mut bytes = [0_u8; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = ROW_BYTES as u8;
        bytes[48 + tile] = ROWS as u8;
        tile += 1;
    }
    Configuration(bytes)
};

/// Eight tiles of full size, configured on this thread until dropped. They are released then, because tiles
/// in use keep a core from its deep idle states and make every switch of threads dearer.
pub(crate) struct Configured {
    /// Tiles belong to a thread: the value must not leave it.
    thread: std::marker::PhantomData<*const ()>,
}

impl Configured {
    /// Configures the tiles of this thread; `None` where there are none.
    pub(crate) fn full() -> Option<Self> {
        if tiles() == Tiles::NONE {
            return None;
        }
        // SAFETY: the processor has tiles and this process may use them; the operand is a valid
        // configuration of palette 1, whose limits were checked.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const FULL.0, options(nostack)) };
        Some(Self { thread: std::marker::PhantomData })
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: this value exists only where tiles do, and on the thread that configured them.
        unsafe { asm!("tilerelease", options(nostack)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_agrees_with_the_kernel_s_list_of_features() {
        let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else { return };
        let Some(flags) = text.lines().find(|line| line.starts_with("flags")) else { return };
        let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
        // The flags say what there is; a container may still refuse the permission.
        let tiles = tiles();
        assert!(!tiles.bf16 || has("amx_bf16"));
        assert!(!tiles.int8 || has("amx_int8"));
        assert_eq!(tiles != Tiles::NONE, has("amx_tile") && permitted() && (has("amx_bf16") || has("amx_int8")));
    }

    #[test]
    fn a_configured_thread_has_zero_tiles_that_store_and_load() {
        let Some(_configured) = Configured::full() else { return };
        let from: Vec<u32> = (0..256).collect();
        let mut to = vec![u32::MAX; 2 * 256];
        // SAFETY: tiles are configured; both arrays hold what a tile of stride 64 reads and writes.
        unsafe {
            asm!(
                "tileloadd tmm3, [{from} + {stride}*1]",
                "tilezero tmm5",
                "tilestored [{to} + {stride}*1], tmm3",
                "tilestored [{to} + {stride}*1 + 1024], tmm5",
                from = in(reg) from.as_ptr(), to = in(reg) to.as_mut_ptr(), stride = in(reg) ROW_BYTES,
                out("tmm3") _, out("tmm5") _, options(nostack),
            );
        }
        assert_eq!(to[..256], from);
        assert!(to[256..].iter().all(|word| *word == 0));
    }
}
