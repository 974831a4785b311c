//! How quantised weights lie in memory: chunks of 128 weights of a row, ordered so that a vector unpacks them
//! with the fewest instructions.
//!
//! Eight bits: in order. Four bits, plus 8: a chunk is 16 words of 32 bits whose eight nibbles, low ones first,
//! are weights l, l + 16, …, l + 112 of word l. So a shift and a table of 16 give a whole vector of neighbours.

/// Weights in a chunk.
pub(super) const CHUNK: usize = 128;

/// Type of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// −127 to 127.
    Int8,
    /// −7 to 7.
    Int4,
}

impl Width {
    /// Bits of a weight.
    pub(super) const fn bits(self) -> u64 {
        match self {
            Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }

    /// Bytes of a chunk.
    pub(super) const fn chunk_bytes(self) -> usize {
        match self {
            Self::Int8 => CHUNK,
            Self::Int4 => CHUNK / 2,
        }
    }

    /// Words of a chunk as CUDA programs take it.
    pub(super) const fn device_words(self) -> usize {
        self.chunk_bytes() / 4
    }

    /// Packs a chunk into [`device_words`](Self::device_words) words. Eight bits: in order. Four bits, plus 8: nibbles i and
    /// i + 4 of a word are weights 2i and 2i + 1 of its eight, so that a shift and a mask give a pair in two halves.
    pub(super) fn device_pack(self, weight: impl Fn(usize) -> i8, to: &mut Vec<u32>) {
        let per_word = CHUNK / self.device_words();
        for word in 0..self.device_words() {
            let element = |index: usize| {
                let weight = weight(word * per_word + index);
                match self {
                    Self::Int8 => u32::from(weight.cast_unsigned()) << (8 * index),
                    Self::Int4 => (u32::from((weight + 8).cast_unsigned()) & 15) << (4 * (index / 2 + 4 * (index % 2))),
                }
            };
            to.push((0..per_word).map(element).fold(0, |all, one| all | one));
        }
    }

    /// The largest weight.
    pub(super) const fn largest(self) -> f32 {
        match self {
            Self::Int8 => 127.0,
            Self::Int4 => 7.0,
        }
    }

    /// A weight of 8 bits in this type, not zero.
    pub(super) fn quantised(self, weight: i8) -> i8 {
        match self {
            Self::Int8 => weight,
            Self::Int4 => match weight / 16 {
                0 if weight < 0 => -1,
                0 => 1,
                small => small,
            },
        }
    }

    /// Writes a chunk.
    pub(super) fn pack(self, weight: impl Fn(usize) -> i8, to: &mut [u8]) {
        match self {
            Self::Int8 => (0..CHUNK).zip(to).for_each(|(index, byte)| *byte = weight(index).cast_unsigned()),
            Self::Int4 => {
                to[..CHUNK / 2].fill(0);
                for index in 0..CHUNK {
                    let (lane, nibble) = (index % 16, index / 16);
                    let code = (weight(index) + 8).cast_unsigned() & 15;
                    to[lane * 4 + nibble / 2] |= code << (4 * (nibble % 2));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bits_are_never_zero_and_reach_both_ends() {
        let all: Vec<i8> = (-127..=127).filter(|w| *w != 0).map(|w| Width::Int4.quantised(w)).collect();
        assert!(all.iter().all(|w| *w != 0 && (-7..=7).contains(w)));
        assert!(all.contains(&7) && all.contains(&-7));
    }

    #[test]
    fn nibbles_lie_where_the_layout_says() {
        let weight = |index: usize| if index == 18 { -7 } else { 1 };
        let mut chunk = [0_u8; 64];
        Width::Int4.pack(weight, &mut chunk);
        // Weight 18: word 2, second nibble, which is the high half of its first byte.
        assert_eq!(chunk[8], 0x19);
        assert!(chunk.iter().enumerate().all(|(at, byte)| at == 8 || *byte == 0x99));
        let mut bytes = [0_u8; 128];
        Width::Int8.pack(|index| -(i8::try_from(index / 2).unwrap()), &mut bytes);
        assert_eq!((bytes[0], bytes[2], bytes[127]), (0, 255, (-63_i8).cast_unsigned()));
    }
}
