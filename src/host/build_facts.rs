//! What built the program, as the build script found out.

use crate::record::Compiler;

/// Compiler, target and profile.
#[must_use]
pub fn compiler() -> Compiler {
    Compiler {
        rustc: env!("WATTPROOF_RUSTC").to_owned(),
        target: env!("WATTPROOF_TARGET").to_owned(),
        profile: env!("WATTPROOF_PROFILE").to_owned(),
    }
}

/// Git commit the program was built from, with `+dirty` when files had been changed; `None` when
/// it was built outside its repository.
#[must_use]
pub fn commit() -> Option<&'static str> {
    option_env!("WATTPROOF_COMMIT").filter(|c| !c.is_empty())
}

/// Cargo features the program was built with.
#[must_use]
pub fn features() -> Vec<String> {
    let all = [("pdf", cfg!(feature = "pdf")), ("rapl-energy", cfg!(feature = "rapl-energy"))];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_states_its_compiler() {
        let compiler = compiler();
        assert!(compiler.rustc.starts_with("rustc "), "{compiler:?}");
        assert!(compiler.target.contains('-'), "{compiler:?}");
        assert!(["release", "dist", "debug"].contains(&compiler.profile.as_str()), "{compiler:?}");
        assert!(commit().is_none_or(|c| c.len() >= 40 && c.is_char_boundary(40)));
        assert!(features().iter().all(|f| f == "pdf" || f == "rapl-energy"));
    }
}
