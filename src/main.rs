//! The `wattproof` program.

fn main() -> std::process::ExitCode {
    wattproof::cli::main()
}
