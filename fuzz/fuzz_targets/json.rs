//! Holds the law of the same name.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| selvedge_core::fuzzing::json(input));
