#![no_main]

#[allow(dead_code)] // a binary has one target of them all
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    targets::gate(input);
});
