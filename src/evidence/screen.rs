//! A look at Zstandard blocks before they are decoded: RFC 8878 allows 128 KiB of output a block, and the decoder
//! does not hold a block to it. A crafted one of a few kilobytes would unpack to gigabytes at once.
//!
//! Lengths of sequences are decoded, and nothing else of them (RFC 8878, §3.1.1.3 and §4.1).

use std::io::{self, Read};

/// Most bytes of a block, packed or unpacked (RFC 8878, §3.1.1.2.4).
const LARGEST_BLOCK: u64 = 128 << 10;

/// A reader of one Zstandard frame that refuses blocks which unpack to more than they may.
pub(super) struct Screen<R> {
    source: R,
    ready: Vec<u8>,
    at: usize,
    next: Next,
    has_checksum: bool,
    tables: Tables,
}

/// What comes next in the frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Block,
    Checksum,
    AfterFrame,
}

impl<R: Read> Screen<R> {
    /// `head` is the whole frame header, as it was read from `source` already.
    pub(super) fn new(head: Vec<u8>, source: R, has_checksum: bool) -> Self {
        Self { source, ready: head, at: 0, next: Next::Block, has_checksum, tables: Tables::default() }
    }

    /// Puts the next part of the frame into `ready`.
    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.at = 0;
        match self.next {
            Next::Block => {
                self.take(3)?;
                let header = u32::from_le_bytes([self.ready[0], self.ready[1], self.ready[2], 0]);
                let (last, kind, size) = (header & 1 == 1, header >> 1 & 3, u64::from(header >> 3));
                if kind == 3 || size > LARGEST_BLOCK {
                    return Err(malformed("a block of an unknown kind, or of more than 128 KiB"));
                }
                self.take(if kind == 1 { 1 } else { size })?;
                if kind == 2
                    && unpacked(&self.ready[3..], &mut self.tables).ok_or_else(|| malformed("a block"))? > LARGEST_BLOCK
                {
                    return Err(malformed("a block that unpacks to more than 128 KiB"));
                }
                self.next = match (last, self.has_checksum) {
                    (false, _) => Next::Block,
                    (true, true) => Next::Checksum,
                    (true, false) => Next::AfterFrame,
                };
            }
            Next::Checksum => {
                self.take(4)?;
                self.next = Next::AfterFrame;
            }
            Next::AfterFrame => {
                self.source.by_ref().take(4096).read_to_end(&mut self.ready)?;
            }
        }
        Ok(())
    }

    /// Reads exactly `length` more bytes.
    fn take(&mut self, length: u64) -> io::Result<()> {
        let found = self.source.by_ref().take(length).read_to_end(&mut self.ready)?;
        if found as u64 == length {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the frame is cut off"))
        }
    }
}

impl<R: Read> Read for Screen<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            self.advance()?;
        }
        let n = buffer.len().min(self.ready.len() - self.at);
        buffer[..n].copy_from_slice(&self.ready[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} in the Zstandard frame is malformed"))
}

/// Bits that follow the code of a literals length.
const LITERAL_BITS: [u32; 36] =
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
/// Bits that follow the code of a match length, from code 32 on, and where the lengths of a code begin.
const MATCH_BITS: [(u64, u32); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];
/// The predefined distributions (RFC 8878, §3.1.1.3.2.2).
const LITERALS: [i32; 36] =
    [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1];
const MATCHES: [i32; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSETS: [i32; 29] = [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];

/// The tables in force; a block may repeat those of the one before.
#[derive(Default)]
struct Tables {
    literals: Option<Table>,
    offsets: Option<Table>,
    matches: Option<Table>,
}

/// A decoding table of finite state entropy.
#[derive(Clone)]
struct Table {
    accuracy: u32,
    /// Symbol, bits to read, and what to add to them for the next state.
    states: Vec<(usize, u32, usize)>,
}

impl Table {
    /// From probabilities, −1 meaning "less than one" (RFC 8878, §4.1.1).
    fn of(probabilities: &[i32], accuracy: u32) -> Option<Self> {
        let size = 1usize << accuracy;
        let mut symbols = vec![0; size];
        let mut next: Vec<usize> = probabilities.iter().map(|p| usize::try_from(p.abs()).unwrap_or(0)).collect();
        let mut high = size;
        for (symbol, _) in probabilities.iter().enumerate().filter(|(_, p)| **p == -1) {
            high = high.checked_sub(1)?;
            symbols[high] = symbol;
        }
        let mut position = 0;
        for (symbol, probability) in probabilities.iter().enumerate().filter(|(_, p)| **p > 0) {
            for _ in 0..*probability {
                if high == 0 {
                    return None;
                }
                symbols[position] = symbol;
                loop {
                    position = (position + (size >> 1) + (size >> 3) + 3) & (size - 1);
                    if position < high {
                        break;
                    }
                }
            }
        }
        let state = |symbol: usize| {
            let x = next[symbol];
            next[symbol] += 1;
            let bits = accuracy.checked_sub(x.checked_ilog2()?)?;
            Some((symbol, bits, (x << bits).checked_sub(size)?))
        };
        let states = symbols.into_iter().map(state).collect::<Option<_>>()?;
        Some(Self { accuracy, states })
    }

    /// The table that `mode` asks for, and the bytes of its description.
    fn read(
        mode: u8,
        bytes: &[u8],
        most: u32,
        (predefined, accuracy): (&[i32], u32),
        before: Option<Self>,
    ) -> Option<(Self, usize)> {
        match mode {
            0 => Some((Self::of(predefined, accuracy)?, 0)),
            1 => Some((Self { accuracy: 0, states: vec![(usize::from(*bytes.first()?), 0, 0)] }, 1)),
            2 => Self::described(bytes, most, predefined.len().max(32)),
            _ => Some((before?, 0)),
        }
    }

    /// Reads a description of probabilities (RFC 8878, §4.1.1).
    fn described(bytes: &[u8], most: u32, symbols: usize) -> Option<(Self, usize)> {
        let mut at = 0;
        let mut bits = |count: u32| -> Option<u32> {
            let value = (0..count).try_fold(0, |value, i| {
                let bit = at + i as usize;
                Some(value | u32::from(*bytes.get(bit / 8)? >> (bit % 8) & 1) << i)
            });
            at += count as usize;
            value
        };
        let accuracy = bits(4)? + 5;
        if accuracy > most {
            return None;
        }
        let mut left = 1u32 << accuracy;
        let mut probabilities = Vec::new();
        while left > 0 {
            // A value takes one bit less where it is small.
            let width = (left + 1).ilog2() + 1;
            let low = bits(width - 1)?;
            let threshold = (1 << width) - 1 - (left + 1);
            let value = if low < threshold {
                low
            } else {
                let value = low | bits(1)? << (width - 1);
                if value >= 1 << (width - 1) { value - threshold } else { value }
            };
            let probability = i32::try_from(value).ok()? - 1;
            left = left.checked_sub(probability.unsigned_abs())?;
            probabilities.push(probability);
            // After a zero: how many more follow, two bits at a time while all three are set.
            let mut zeros = if probability == 0 { 3 } else { 0 };
            while zeros == 3 && probabilities.len() <= symbols {
                zeros = bits(2)?;
                probabilities.extend((0..zeros).map(|_| 0));
            }
            if probabilities.len() > symbols {
                return None;
            }
        }
        Some((Self::of(&probabilities, accuracy)?, at.div_ceil(8)))
    }
}

/// Bits read from the end of the bytes backwards, after the mark (RFC 8878, §4.1.2).
struct Backwards<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Backwards<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mark = bytes.last()?.checked_ilog2()?;
        Some(Self { bytes, left: (bytes.len() - 1) * 8 + mark as usize })
    }

    fn read(&mut self, count: u32) -> Option<u64> {
        self.left = self.left.checked_sub(count as usize)?;
        let (first, shift) = (self.left / 8, self.left % 8);
        let mut word = [0; 8];
        let taken = self.bytes.len().min(first + 8) - first;
        word[..taken].copy_from_slice(&self.bytes[first..first + taken]);
        // At most 31 bits and a shift of 7.
        Some(u64::from_le_bytes(word) >> shift & ((1 << count) - 1))
    }
}

/// Bytes that a compressed block unpacks to; `None` where it is malformed.
fn unpacked(block: &[u8], tables: &mut Tables) -> Option<u64> {
    let byte = |i: usize| block.get(i).map(|b| u64::from(*b));
    let first = byte(0)?;
    let format = first >> 2 & 3;
    let (header, literals, packed) = if first & 3 < 2 {
        let (header, literals) = match format {
            0 | 2 => (1, first >> 3),
            1 => (2, first >> 4 | byte(1)? << 4),
            _ => (3, first >> 4 | byte(1)? << 4 | byte(2)? << 12),
        };
        (header, literals, if first & 3 == 0 { literals } else { 1 })
    } else {
        let (header, width) = [(3, 10), (3, 10), (4, 14), (5, 18)][usize::try_from(format).ok()?];
        let sizes = (0..header).try_fold(0, |sum, i| Some(sum | byte(i)? << (8 * i)))? >> 4;
        let mask = (1 << width) - 1;
        (header, sizes & mask, sizes >> width & mask)
    };
    let rest = block.get(header + usize::try_from(packed).ok()?..)?;
    let sequences = u64::from(*rest.first()?);
    let (count, length) = match sequences {
        0 => return Some(literals),
        1..128 => (sequences, 1),
        128..255 => ((sequences - 128) << 8 | u64::from(*rest.get(1)?), 2),
        _ => ((u64::from(*rest.get(1)?) | u64::from(*rest.get(2)?) << 8) + 0x7f00, 3),
    };
    let modes = *rest.get(length)?;
    let mut at = length + 1;
    let mut table = |shift: u8, most: u32, predefined: (&[i32], u32), before: Option<Table>| {
        let (table, used) = Table::read(modes >> shift & 3, rest.get(at..)?, most, predefined, before)?;
        at += used;
        Some(table)
    };
    let for_literals = table(6, 9, (&LITERALS, 6), tables.literals.take())?;
    let for_offsets = table(4, 8, (&OFFSETS, 5), tables.offsets.take())?;
    let for_matches = table(2, 9, (&MATCHES, 6), tables.matches.take())?;
    let total = matched(rest.get(at..)?, count, &for_literals, &for_offsets, &for_matches)?;
    *tables = Tables { literals: Some(for_literals), offsets: Some(for_offsets), matches: Some(for_matches) };
    literals.checked_add(total)
}

/// Sum of the match lengths of `count` sequences.
fn matched(bytes: &[u8], count: u64, literals: &Table, offsets: &Table, matches: &Table) -> Option<u64> {
    let mut bits = Backwards::new(bytes)?;
    let mut start = |table: &Table| usize::try_from(bits.read(table.accuracy)?).ok();
    let (mut l, mut o, mut m) = (start(literals)?, start(offsets)?, start(matches)?);
    let mut total = 0u64;
    for index in 0..count {
        let (literal, offset, length) = (literals.states.get(l)?, offsets.states.get(o)?, matches.states.get(m)?);
        let offset_bits = u32::try_from(offset.0).ok().filter(|bits| *bits <= 31)?;
        bits.read(offset_bits)?;
        total += match length.0.checked_sub(32) {
            None => length.0 as u64 + 3,
            Some(code) => {
                let (base, extra) = *MATCH_BITS.get(code)?;
                base + bits.read(extra)?
            }
        };
        bits.read(*LITERAL_BITS.get(literal.0)?)?;
        if index + 1 < count {
            let mut next = |state: &(usize, u32, usize)| Some(state.2 + usize::try_from(bits.read(state.1)?).ok()?);
            (l, m, o) = (next(literal)?, next(length)?, next(offset)?);
        }
    }
    Some(total)
}
