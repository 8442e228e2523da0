#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| automagik_spark::fuzz::adapter_files(data));
