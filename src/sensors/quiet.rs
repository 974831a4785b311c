//! Panics of third-party readers become errors, without a message on the user's terminal.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `f`; a panic in it is returned as its message and printed nowhere.
///
/// The panic hook is process-wide, so it is replaced once, by one that asks a thread-local flag:
/// a panic of another thread at the same time is still reported as ever.
///
/// # Errors
/// The panic's message.
pub(super) fn catch_quietly<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SILENT.try_with(Cell::get).unwrap_or(false) {
                previous(info);
            }
        }));
    });
    let before = SILENT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    SILENT.set(before);
    result.map_err(|payload| {
        payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "it panicked without a message".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_the_flag_is_restored() {
        assert_eq!(catch_quietly(|| 7), Ok(7));
        assert_eq!(catch_quietly(|| -> u8 { panic!("could not parse {}", "") }), Err("could not parse ".to_owned()));
        assert_eq!(catch_quietly(|| -> u8 { panic!("plain") }), Err("plain".to_owned()));
        assert!(!SILENT.get());
        let nested = catch_quietly(|| {
            let inner = catch_quietly(|| -> u8 { panic!("inner") });
            (inner, SILENT.get())
        });
        assert_eq!(nested, Ok((Err("inner".to_owned()), true)));
    }
}
