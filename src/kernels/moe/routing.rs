//! Which experts a token goes to, and with what weight.

use crate::kernels::KernelError;
use crate::kernels::random::SplitMix64;
use std::ops::Range;

/// A routing whose every index is in range.
#[derive(Debug, Clone)]
pub(super) struct Routing {
    top: usize,
    /// First slot of each expert, and the number of slots.
    starts: Vec<usize>,
    /// Token of each slot.
    tokens: Vec<usize>,
    /// For each token, its `top` slots.
    slots: Vec<usize>,
    /// For each token, the weights of its slots.
    gates: Vec<f32>,
}

impl Routing {
    /// Takes, for each token, the numbers of its `top` experts and their weights.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when an expert does not exist or is chosen twice by a token, or a weight is missing
    /// or not finite.
    pub(super) fn new(experts: usize, top: usize, choices: &[usize], gates: Vec<f32>) -> Result<Self, KernelError> {
        if top == 0 || !choices.len().is_multiple_of(top) || gates.len() != choices.len() {
            let (choices, gates) = (choices.len(), gates.len());
            return Err(KernelError::Structure(format!("{choices} choices and {gates} gates of {top} a token")));
        }
        for (token, row) in choices.chunks(top).enumerate() {
            let twice = row.iter().enumerate().any(|(i, e)| row[..i].contains(e));
            if twice || row.iter().any(|e| *e >= experts) {
                return Err(KernelError::Structure(format!("token {token} goes to the experts {row:?} of {experts}")));
            }
        }
        if gates.iter().any(|gate| !gate.is_finite()) {
            return Err(KernelError::Structure("a gate that is not finite".to_owned()));
        }
        let mut starts = vec![0; experts + 1];
        for expert in choices {
            starts[expert + 1] += 1;
        }
        for expert in 0..experts {
            starts[expert + 1] += starts[expert];
        }
        let mut next = starts.clone();
        let (mut tokens, mut slots) = (vec![0; choices.len()], vec![0; choices.len()]);
        for (choice, expert) in choices.iter().enumerate() {
            let slot = next[*expert];
            next[*expert] += 1;
            (tokens[slot], slots[choice]) = (choice / top, slot);
        }
        Ok(Self { top, starts, tokens, slots, gates })
    }

    /// Experts and tokens in random order, dealt out in turn, so that loads differ by at most one token. The weights of a
    /// token are positive and add up to one.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(super) fn random(tokens: usize, experts: usize, top: usize, draws: SplitMix64) -> Result<Self, KernelError> {
        let shuffled = |n: usize, first: u64| {
            let mut order: Vec<usize> = (0..n).collect();
            for at in (1..n).rev() {
                let other = draws.below(first + at as u64, at as u64 + 1);
                order.swap(at, usize::try_from(other).unwrap_or(0));
            }
            order
        };
        let of_experts = shuffled(experts, 0);
        let (mut choices, mut gates) = (vec![0; tokens * top], vec![0.0; tokens * top]);
        for (turn, token) in shuffled(tokens, experts as u64).into_iter().enumerate() {
            let raw =
                |j: usize| 1.0 + draws.below((1 << 40) + (token * top + j) as u64, 1 << 20) as f64 / (1 << 20) as f64;
            let total: f64 = (0..top).map(raw).sum();
            for j in 0..top {
                choices[token * top + j] = of_experts[(turn * top + j) % experts];
                #[expect(clippy::cast_possible_truncation, reason = "gates are single precision")]
                let gate = (raw(j) / total) as f32;
                gates[token * top + j] = gate;
            }
        }
        Self::new(experts, top, &choices, gates)
    }

    /// Slots of an expert.
    pub(super) fn of_expert(&self, expert: usize) -> Range<usize> {
        self.starts[expert]..self.starts[expert + 1]
    }

    /// Token of a slot.
    pub(super) fn token(&self, slot: usize) -> usize {
        self.tokens[slot]
    }

    /// Slots and weights of a token.
    pub(super) fn of_token(&self, token: usize) -> impl Iterator<Item = (usize, f32)> {
        let own = token * self.top..(token + 1) * self.top;
        self.slots[own.clone()].iter().copied().zip(self.gates[own].iter().copied())
    }

    /// First slot of each expert and one more, then token and weight of each slot.
    pub(super) fn by_expert(&self) -> (Vec<u32>, Vec<u32>, Vec<f32>) {
        let narrow = |numbers: &[usize]| numbers.iter().map(|n| u32::try_from(*n).unwrap_or(u32::MAX)).collect();
        let mut gates = vec![0.0; self.tokens.len()];
        self.slots.iter().zip(&self.gates).for_each(|(slot, gate)| gates[*slot] = *gate);
        (narrow(&self.starts), narrow(&self.tokens), gates)
    }

    /// Slots there are.
    pub(super) const fn slots(&self) -> usize {
        self.tokens.len()
    }

    /// Most tokens of an expert.
    pub(super) fn largest(&self) -> usize {
        self.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }

    /// The expert that a slot belongs to.
    pub(super) fn expert(&self, slot: usize) -> usize {
        self.starts.partition_point(|start| *start <= slot) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_balanced_and_every_token_finds_its_slots() {
        let routing = Routing::random(53, 7, 3, SplitMix64::new(4, 4)).unwrap();
        let loads: Vec<usize> = (0..7).map(|e| routing.of_expert(e).len()).collect();
        assert_eq!(loads.iter().sum::<usize>(), 53 * 3);
        assert!(loads.iter().all(|load| (22..=23).contains(load)), "{loads:?}");
        assert_eq!(routing.largest(), 23);
        for token in 0..53 {
            let total: f32 = routing.of_token(token).map(|(_, gate)| gate).sum();
            assert!((total - 1.0).abs() < 1e-6);
            for (slot, _) in routing.of_token(token) {
                assert_eq!(routing.token(slot), token);
                assert!(routing.of_expert(routing.expert(slot)).contains(&slot));
            }
        }
    }

    #[test]
    fn a_routing_that_would_be_read_out_of_bounds_is_refused() {
        for (choices, gates, expected) in [
            (vec![0, 2], vec![0.5, 0.5], "token 0 goes to the experts [0, 2] of 2"),
            (vec![1, 1], vec![0.5, 0.5], "token 0 goes to the experts [1, 1] of 2"),
            (vec![0, 1, 0], vec![0.5; 3], "3 choices and 3 gates of 2 a token"),
            (vec![0, 1], vec![0.5], "2 choices and 1 gates of 2 a token"),
            (vec![0, 1], vec![0.5, f32::NAN], "a gate that is not finite"),
        ] {
            let error = Routing::new(2, 2, &choices, gates).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid structure: {expected}"));
        }
    }
}
