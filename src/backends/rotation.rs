//! Whose turn it is among the copies of a case. One copy of a warm case; of a cold one so many that what an iteration
//! reads was last touched before more than any cache holds went by.

use crate::clock::Clock;
use crate::kernels::{Correctness, Work};
use crate::suite::CacheState;

/// Longest time spent on judging the copies of a cold case after a window; the copy that ran last is judged whatever it
/// takes, and so are all others while time is left.
const JUDGING_NANOS: u64 = 2_000_000_000;

/// The order in which copies take turns, and which of them ran since a window began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotation {
    copies: usize,
    next: usize,
    /// Copies that ran since [`begin`](Self::begin).
    ran: usize,
}

impl Rotation {
    /// For so many copies as `cache` says.
    ///
    /// # Errors
    /// A sentence, where a cold case has no plan: it would run warm under another name.
    pub(super) fn of(cache: CacheState) -> Result<Self, String> {
        let planned = cache.copies().filter(|n| *n > u32::from(cache.is_cold()));
        let copies = planned.and_then(|n| usize::try_from(n).ok());
        let copies = copies.ok_or("a cold case needs a plan that says how many copies of it take turns")?;
        Ok(Self { copies, next: 0, ran: 0 })
    }

    /// Copies there are.
    pub(super) const fn copies(&self) -> usize {
        self.copies
    }

    /// A window begins: the turn stays where it is, at the copy that was used the longest time ago.
    pub(super) const fn begin(&mut self) {
        self.ran = 0;
    }

    /// The copy for the next iteration.
    pub(super) const fn advance(&mut self) -> usize {
        let now = self.next;
        self.next = if now + 1 == self.copies { 0 } else { now + 1 };
        if self.ran < self.copies {
            self.ran += 1;
        }
        now
    }

    /// The copy that ran last, of several windows.
    pub(super) const fn last(&self) -> usize {
        if self.next == 0 { self.copies - 1 } else { self.next - 1 }
    }

    /// The copies that ran since the window began: the last one, then the others from the oldest on. Where none ran, the
    /// last one all the same, so that something is judged.
    pub(super) fn ran(&self) -> impl Iterator<Item = usize> + use<> {
        let (last, copies) = (self.last(), self.copies);
        let others = self.ran.saturating_sub(1);
        std::iter::once(last).chain((0..others).map(move |i| (last + copies - others + i) % copies))
    }

    /// Judges the copies that ran, see [`JUDGING_NANOS`], and hands out the worst verdict.
    pub(super) fn judge(&self, mut check: impl FnMut(usize) -> Correctness) -> Correctness {
        let clock = Clock::start();
        let mut order = self.ran();
        let first = check(order.next().unwrap_or_default());
        order
            .take_while(|_| clock.now().nanos() < JUDGING_NANOS)
            .map(check)
            .fold(first, |worst, next| if excess(&next) > excess(&worst) { next } else { worst })
    }

    /// What the record says of a cold case; nothing of a warm one.
    pub(super) fn facts(&self, work: &Work) -> Vec<(String, String)> {
        if self.copies < 2 {
            return Vec::new();
        }
        let bytes = work.touched().get() * self.copies as f64;
        [
            ("cache", CacheState::WORDS[1].to_owned()),
            ("copies", self.copies.to_string()),
            ("rotated-bytes", bytes.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// How far an answer is beyond its limit: above 1 where it is wrong.
fn excess(found: &Correctness) -> f64 {
    match found.error {
        Some(error) if found.limit > 0.0 => error / found.limit,
        Some(_) if found.passed() => 0.0,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Coverage;

    fn cold(copies: u32) -> Rotation {
        Rotation::of(CacheState::Cold { copies: Some(copies) }).unwrap()
    }

    #[test]
    fn copies_take_turns_and_go_on_where_the_last_window_ended() {
        let mut rotation = cold(3);
        let turns: Vec<usize> = (0..7).map(|_| rotation.advance()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
        rotation.begin();
        assert_eq!(rotation.advance(), 1, "the copy that was used the longest time ago");
        let mut warm = Rotation::of(CacheState::Warm).unwrap();
        assert_eq!([warm.advance(), warm.advance(), warm.last()], [0, 0, 0]);
        assert_eq!(warm.ran().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn the_last_copy_is_judged_first_and_one_that_did_not_run_is_not() {
        let mut rotation = cold(5);
        assert_eq!(rotation.ran().collect::<Vec<_>>(), [4], "nothing ran: poison is judged");
        for _ in 0..3 {
            rotation.advance();
        }
        assert_eq!(rotation.ran().collect::<Vec<_>>(), [2, 0, 1]);
        rotation.begin();
        for _ in 0..4 {
            rotation.advance();
        }
        assert_eq!(rotation.ran().collect::<Vec<_>>(), [1, 3, 4, 0]);
        for _ in 0..40 {
            rotation.advance();
        }
        assert_eq!(rotation.ran().collect::<Vec<_>>(), [1, 2, 3, 4, 0]);
    }

    #[test]
    fn a_cold_case_without_copies_is_no_warm_one() {
        for copies in [None, Some(0), Some(1)] {
            let error = Rotation::of(CacheState::Cold { copies }).unwrap_err();
            assert!(error.contains("needs a plan"), "{error}");
        }
        assert_eq!(cold(2).copies(), 2);
    }

    #[test]
    fn the_worst_answer_of_all_copies_counts() {
        let mut rotation = cold(3);
        for _ in 0..3 {
            rotation.advance();
        }
        let answer = |error| Correctness { error, limit: 1.0, coverage: Coverage::Full };
        let judged = |errors: [Option<f64>; 3]| rotation.judge(|copy| answer(errors[copy])).error;
        assert_eq!(judged([Some(0.1), Some(0.9), Some(0.2)]), Some(0.9));
        assert_eq!(judged([Some(0.1), None, Some(7.0)]), None);
        assert_eq!(judged([Some(0.0); 3]), Some(0.0));
        let exact = |error| Correctness { error: Some(error), limit: 0.0, coverage: Coverage::Full };
        assert_eq!(rotation.judge(|copy| exact(if copy == 1 { 1.0 } else { 0.0 })).error, Some(1.0));
    }
}
