#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dkm_fuzz_targets::run("elevation_record", input));
