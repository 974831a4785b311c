//! How many copies of a cold case have to take turns.

use super::human;
use crate::kernels::Work;
use crate::suite::{CacheState, Case};
use crate::units::Bytes;

/// Other data that goes by between two uses of a copy, in multiples of what the caches hold: their replacement is not
/// strictly the oldest first, and once through is not enough to throw everything out.
const TIMES: f64 = 2.0;

/// Most copies of a case.
const MOST: f64 = 4096.0;

/// What the last-level cache of a card is taken to hold where nobody tells: as much as the largest that is known, the
/// Infinity Cache of AMD's Instinct MI300X (CDNA 3 white paper, AMD 2023).
pub(super) const OF_ANY_CARD: f64 = (256_u64 << 20) as f64;

/// `case` with its number of copies: itself, and others that touch [`TIMES`] what the caches hold.
///
/// # Errors
/// Why there cannot be as many, with numbers.
pub(super) fn planned(case: &Case, work: &Work, held: Bytes) -> Result<Case, String> {
    let touched = work.touched();
    let others = (held.get() * TIMES / touched.get().max(1.0)).ceil().max(1.0);
    if others + 1.0 > MOST {
        return Err(format!(
            "an iteration touches {}, so {} copies would have to take turns until {TIMES} times the {} of the caches went by, \
             more than {MOST}: use a larger shape, or `cache: warm`",
            human(touched),
            others + 1.0,
            human(held)
        ));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    let copies = Some(others as u32 + 1);
    Ok(Case { cache: CacheState::Cold { copies }, ..case.clone() })
}

/// Why copies that take `needed` do not fit where `free` is.
pub(super) fn beyond(case: &Case, needed: Bytes, free: Bytes, share: f64, place: &str) -> Option<String> {
    let copies = case.cache.copies().unwrap_or(1);
    (copies > 1 && needed.get() > free.get() * share).then(|| {
        format!(
            "its {copies} copies need {}{place}, more than {} % of the {} free there: use a smaller shape, or `cache: warm`",
            human(needed),
            share * 100.0,
            human(free)
        )
    })
}
