//! Differences of wrapping counters: wraps and resets are told apart here and nowhere else.
