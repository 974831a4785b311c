//! Colours, when the terminal and the user want them.

use super::ColorChoice;
use std::io::IsTerminal;
use std::sync::OnceLock;

static COLOR: OnceLock<bool> = OnceLock::new();

/// Decides once, at start.
pub(super) fn choose(choice: ColorChoice) {
    let wanted = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
                && std::io::stderr().is_terminal()
                && std::io::stdout().is_terminal()
        }
    };
    let _ = COLOR.set(wanted);
}

/// Whether colours are on.
pub(super) fn colored() -> bool {
    COLOR.get().copied().unwrap_or(false)
}

fn paint(code: &str, text: &str) -> String {
    if colored() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub(super) fn error(text: &str) -> String {
    paint("1;31", text)
}

pub(super) fn warn(text: &str) -> String {
    paint("33", text)
}

pub(super) fn good(text: &str) -> String {
    paint("32", text)
}

pub(super) fn dim(text: &str) -> String {
    paint("2", text)
}

pub(super) fn bold(text: &str) -> String {
    paint("1", text)
}
