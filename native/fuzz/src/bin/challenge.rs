//! `make fuzz` builds this with libFuzzer around it; else it replays the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::target("challenge")(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    std::env::args().skip(1).try_for_each(|file| std::fs::read(file).map(|bytes| fuzz::target("challenge")(&bytes)))
}
