//! "Did you mean": the nearest of a set of words.

/// Edit distance with insertions, deletions, substitutions and swaps of neighbours
/// (optimal string alignment, Damerau 1964).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitution = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitution.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

/// The candidate that `word` most likely meant, `None` when nothing is near.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Nobody mistypes 64 characters; a longer word is no typing error and would only cost time.
    if word.len() > 64 {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().replace('_', "-").chars().collect();
    let scored = candidates.into_iter().filter_map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().replace('_', "-").chars().collect();
        let d = distance(&word, &letters);
        let begins = word.len() >= 3 && letters.starts_with(&word);
        let limit = (letters.len().max(word.len()) / 3).max(1);
        (d < letters.len() && (d <= limit || begins)).then_some((d, candidate))
    });
    scored.min_by_key(|(d, _)| *d).map(|(_, candidate)| candidate)
}

/// `did you mean X?`, or the whole list when nothing is near.
pub(crate) fn hint<'c>(word: &str, what: &str, candidates: impl IntoIterator<Item = &'c str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let all: Vec<String> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
            if all.is_empty() { format!("there are no {what}") } else { format!("the {what} are {}", all.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["kernel", "label", "with", "matrix", "exclude"];

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("matrx", KEYS), Some("matrix"));
        assert_eq!(nearest("martix", KEYS), Some("matrix"));
        assert_eq!(nearest("Kernel", KEYS), Some("kernel"));
        assert_eq!(nearest("wiht", KEYS), Some("with"));
        assert_eq!(nearest("spmm", ["gemm", "spmm-csr"]), Some("spmm-csr"));
        assert_eq!(nearest("banana", KEYS), None);
        assert_eq!(nearest("q", ["m", "n", "k"]), None);
    }

    #[test]
    fn the_hint_lists_everything_when_nothing_is_near() {
        assert_eq!(hint("matrx", "keys", KEYS), "did you mean `matrix`?");
        assert_eq!(hint("zzz", "types", ["f32", "f64"]), "the types are `f32`, `f64`");
    }
}
