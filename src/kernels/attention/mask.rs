//! Which keys a query sees.

use crate::kernels::KernelError;
use crate::kernels::random::SplitMix64;
use std::ops::Range;

/// A mask over the keys of each head.
#[derive(Debug, Clone)]
pub(super) enum Mask {
    /// Every query sees every key.
    Dense,
    /// A query sees itself and the past.
    Causal,
    /// A query sees itself and the keys before it, this many in all.
    Window(usize),
    /// A block of queries sees some blocks of keys.
    Blocks(BlockMask),
}

/// The blocks of keys that each block of queries sees, as many for each: its own one and others.
#[derive(Debug, Clone)]
pub(super) struct BlockMask {
    side: usize,
    per_head: usize,
    visible: usize,
    /// For each head and block of queries, the `visible` blocks of keys in ascending order.
    columns: Vec<u32>,
}

impl BlockMask {
    /// Takes a structure: `columns` holds `visible` blocks for each of the `per_head` blocks of queries of
    /// each head.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when a list has another length, is not strictly ascending, leaves the head
    /// or lacks the block of the diagonal.
    pub(super) fn new(side: usize, per_head: usize, visible: usize, columns: Vec<u32>) -> Result<Self, KernelError> {
        let wrong = |what: String| Err(KernelError::Structure(what));
        if side == 0 || visible == 0 || !columns.len().is_multiple_of(per_head * visible) {
            return wrong(format!("{} blocks of keys for {per_head} lists of {visible} a head", columns.len()));
        }
        for (index, row) in columns.chunks(visible).enumerate() {
            let own = index % per_head;
            if row.iter().any(|c| *c as usize >= per_head) || row.windows(2).any(|w| w[0] >= w[1]) {
                return wrong(format!("block {own} of queries sees the blocks of keys {row:?} of {per_head}"));
            }
            if row.binary_search_by_key(&own, |c| *c as usize).is_err() {
                return wrong(format!("block {own} of queries does not see its own block of keys"));
            }
        }
        Ok(Self { side, per_head, visible, columns })
    }

    /// Random blocks besides the diagonal, all choices equally likely, for each head anew.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when the sizes do not fit together.
    pub(super) fn random(
        side: usize,
        (heads, per_head): (usize, usize),
        visible: usize,
        generator: SplitMix64,
    ) -> Result<Self, KernelError> {
        let mut columns = Vec::new();
        let mut draw = 0;
        for row in 0..heads * per_head {
            let own = row % per_head;
            // A partial shuffle of the other blocks.
            let mut others: Vec<u32> = (0..).take(per_head).filter(|c| *c as usize != own).collect();
            let wanted = visible.saturating_sub(1).min(others.len());
            for at in 0..wanted {
                let left = (others.len() - at) as u64;
                others.swap(at, at + usize::try_from(generator.below(draw, left)).unwrap_or(0));
                draw += 1;
            }
            others.truncate(wanted);
            others.extend(u32::try_from(own));
            others.sort_unstable();
            columns.append(&mut others);
        }
        Self::new(side, per_head, visible, columns)
    }

    /// For each head and block of queries, the blocks of keys that it sees.
    pub(super) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Queries, or keys, of a block.
    pub(super) const fn side(&self) -> usize {
        self.side
    }

    /// Blocks of keys that a block of queries sees.
    pub(super) fn row(&self, head: usize, block: usize) -> &[u32] {
        let first = (head * self.per_head + block) * self.visible;
        &self.columns[first..first + self.visible]
    }
}

impl Mask {
    /// The keys, of `seq`, that some of these neighbouring queries see, as one range. For blocks: all.
    pub(super) fn hull(&self, queries: &Range<usize>, seq: usize) -> Range<usize> {
        let end = queries.end.min(seq);
        match self {
            Self::Dense | Self::Blocks(_) => 0..seq,
            Self::Causal => 0..end,
            Self::Window(width) => (queries.start + 1).saturating_sub(*width)..end,
        }
    }

    /// Ranges of keys that these queries go through, by `index`: one, except for blocks. The queries must
    /// lie in one block.
    pub(super) fn span(&self, head: usize, queries: &Range<usize>, seq: usize, index: usize) -> Option<Range<usize>> {
        if let Self::Blocks(blocks) = self {
            let column = *blocks.row(head, queries.start / blocks.side).get(index)? as usize;
            return Some(column * blocks.side..(column + 1) * blocks.side);
        }
        (index == 0).then(|| self.hull(queries, seq))
    }

    /// The keys that one query sees, in ascending order.
    pub(super) fn keys(&self, head: usize, query: usize, seq: usize) -> impl Iterator<Item = usize> {
        (0..).map_while(move |index| self.span(head, &(query..query + 1), seq, index)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mask_shows_the_keys_of_its_definition() {
        let keys = |mask: &Mask, query| mask.keys(0, query, 10).collect::<Vec<_>>();
        assert_eq!(keys(&Mask::Dense, 3), (0..10).collect::<Vec<_>>());
        assert_eq!(keys(&Mask::Causal, 3), [0, 1, 2, 3]);
        assert_eq!(keys(&Mask::Window(3), 5), [3, 4, 5]);
        assert_eq!(keys(&Mask::Window(3), 1), [0, 1]);
        let blocks = BlockMask::new(2, 5, 2, vec![0, 3, 1, 2, 0, 2, 3, 4, 1, 4]).unwrap();
        assert_eq!(keys(&Mask::Blocks(blocks), 5), [0, 1, 4, 5]);
        assert_eq!(Mask::Window(3).hull(&(4..8), 7), 2..7);
    }

    #[test]
    fn random_blocks_are_valid_and_differ_between_heads_and_rows() {
        let blocks = BlockMask::random(16, (3, 40), 7, SplitMix64::new(5, 4)).unwrap();
        assert_eq!(blocks.columns.len(), 3 * 40 * 7);
        assert_ne!(blocks.row(0, 3), blocks.row(1, 3));
        let reached = (0..40).filter(|block| blocks.columns.contains(block)).count();
        assert_eq!(reached, 40);
        let full = BlockMask::random(16, (1, 4), 4, SplitMix64::new(5, 4)).unwrap();
        assert_eq!(full.row(0, 2), [0, 1, 2, 3]);
    }

    #[test]
    fn structures_that_would_be_read_out_of_bounds_are_refused() {
        for (columns, expected) in [
            (vec![0, 2, 0, 1], "block 0 of queries sees the blocks of keys [0, 2] of 2"),
            (vec![1, 0, 0, 1], "block 0 of queries sees the blocks of keys [1, 0] of 2"),
            (vec![0, 0, 0, 1], "block 0 of queries sees the blocks of keys [0, 0] of 2"),
            (vec![0, 1, 0], "3 blocks of keys for 2 lists of 2 a head"),
        ] {
            let error = BlockMask::new(4, 2, 2, columns).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid structure: {expected}"));
        }
        let error = BlockMask::new(4, 2, 1, vec![1, 1]).unwrap_err();
        assert_eq!(error.to_string(), "invalid structure: block 0 of queries does not see its own block of keys");
        assert!(BlockMask::random(16, (1, 4), 5, SplitMix64::new(5, 4)).is_err());
    }
}
