//! What a CUBIN says of its kernels: registers, stack, static shared memory.
//!
//! A CUBIN is an ELF file. Section `.nv.info` holds attributes of four bytes (format, kind, value), of which those of format 4 are
//! followed by `value` bytes: kind 0x2f is (symbol, registers of a thread), kind 0x11 (symbol, bytes of a thread's stack frame). A
//! frame that our kernels do not ask for is what spills of registers take. Static shared memory is the size of `.nv.shared.NAME`.
//! The kinds are those that `cuobjdump --dump-elf` of CUDA 13 names EIATTR_REGCOUNT and EIATTR_FRAME_SIZE.

/// What one kernel takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// The kernel's name.
    pub entry: String,
    /// Registers of 32 bits of each thread.
    pub registers: u32,
    /// Bytes of stack of each thread.
    pub stack: u32,
    /// Bytes of static shared memory of each block, as the section says; from compute capability 10 on the driver's own 1,024 are
    /// among them.
    pub shared: u64,
}

/// A file that is no CUBIN, or a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a CUBIN: {0}")]
pub struct NotCubin(pub &'static str);

const REGISTERS: u8 = 0x2f;
const FRAME: u8 = 0x11;
const SECTION: usize = 64;
const SYMBOL: usize = 24;

/// Reads fields of a file, within its bounds.
struct File<'a>(&'a [u8]);

impl<'a> File<'a> {
    fn bytes(&self, at: u64, len: u64) -> Option<&'a [u8]> {
        let (first, end) = (usize::try_from(at).ok()?, usize::try_from(at.checked_add(len)?).ok()?);
        self.0.get(first..end)
    }

    fn u16(&self, at: u64) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(at, 2)?.try_into().ok()?))
    }

    fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(at, 4)?.try_into().ok()?))
    }

    fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(at, 8)?.try_into().ok()?))
    }

    fn text(&self, at: u64) -> Option<&'a str> {
        let rest = self.0.get(usize::try_from(at).ok()?..)?;
        std::str::from_utf8(&rest[..rest.iter().position(|b| *b == 0)?]).ok()
    }
}

/// A section: its name, place, size, and the section it refers to.
struct Section<'a> {
    name: &'a str,
    kind: u32,
    at: u64,
    size: u64,
    link: u32,
}

/// The kernels of a CUBIN, in the order of its symbols.
///
/// # Errors
/// [`NotCubin`] when a part of the file is missing or lies outside of it.
pub fn resources(cubin: &[u8]) -> Result<Vec<Resources>, NotCubin> {
    let file = File(cubin);
    // ELF, 64 bits, little endian, machine 190: NVIDIA CUDA.
    if !cubin.starts_with(b"\x7fELF\x02\x01") || file.u16(18) != Some(190) {
        return Err(NotCubin("its head is another one"));
    }
    let sections = sections(&file).ok_or(NotCubin("a section lies outside of the file"))?;
    let symbols = sections.iter().find(|s| s.kind == 2).ok_or(NotCubin("it has no symbols"))?;
    let name_of = |symbol: u32| {
        let names = sections.get(symbols.link as usize)?;
        let at = u64::from(symbol).checked_mul(SYMBOL as u64).filter(|at| *at < symbols.size)?;
        file.text(names.at.checked_add(u64::from(file.u32(symbols.at.checked_add(at)?)?))?)
    };
    let info = sections.iter().find(|s| s.name == ".nv.info").ok_or(NotCubin("it has no attributes"))?;
    let (mut found, mut frames) = (Vec::new(), Vec::new());
    let mut at = info.at;
    while at + 4 <= info.at + info.size {
        let damaged = NotCubin("an attribute lies outside of the file");
        let head = file.bytes(at, 4).ok_or(damaged)?;
        let size = if head[0] == 4 { u64::from(u16::from_le_bytes([head[2], head[3]])) } else { 0 };
        if size == 8 && (head[1] == REGISTERS || head[1] == FRAME) {
            let (symbol, value) = (file.u32(at + 4).ok_or(damaged)?, file.u32(at + 8).ok_or(damaged)?);
            let name = name_of(symbol).ok_or(NotCubin("an attribute of no symbol"))?;
            if head[1] == FRAME {
                frames.push((name, value));
            } else {
                let section = format!(".nv.shared.{name}");
                let shared = sections.iter().find(|s| s.name == section).map_or(0, |s| s.size);
                found.push(Resources { entry: name.to_owned(), registers: value, stack: 0, shared });
            }
        }
        at += 4 + size;
    }
    for kernel in &mut found {
        kernel.stack = frames.iter().find(|(name, _)| *name == kernel.entry).map_or(0, |(_, bytes)| *bytes);
    }
    found.sort_by(|a, b| a.entry.cmp(&b.entry));
    Ok(found)
}

fn sections<'a>(file: &File<'a>) -> Option<Vec<Section<'a>>> {
    let (table, count, names) = (file.u64(40)?, file.u16(60)?, file.u16(62)?);
    let head = |index: u16| table.checked_add(u64::from(index) * SECTION as u64);
    let names = file.u64(head(names)?.checked_add(24)?)?;
    (0..count)
        .map(|index| {
            let head = head(index)?;
            let (at, size) = (file.u64(head.checked_add(24)?)?, file.u64(head.checked_add(32)?)?);
            let kind = file.u32(head + 4)?;
            // Sections without contents (SHT_NOBITS: shared memory) take no place in the file.
            if kind != 8 {
                file.bytes(at, size)?;
            }
            let name = file.text(names.checked_add(u64::from(file.u32(head)?))?)?;
            Some(Section { name, kind, at, size, link: file.u32(head + 40)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cubin_is_refused() {
        assert!(resources(b"").is_err() && resources(b"\x7fELF\x02\x01").is_err());
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(resources(&own), Err(NotCubin("its head is another one")));
    }

    #[test]
    fn every_truncation_of_a_head_is_refused() {
        let mut head = [0_u8; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 190;
        // A table of sections far outside, and one that overflows.
        for table in [1 << 40, u64::MAX - 8] {
            head[40..48].copy_from_slice(&table.to_le_bytes());
            head[60] = 3;
            for len in 0..=64 {
                assert!(resources(&head[..len]).is_err());
            }
        }
    }
}
