//! Corpora as text: one input a line, in hexadecimal, so that a change of them can be read.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The file of a target's corpus.
#[must_use]
pub fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora").join(target).with_extension("hex")
}

/// Every input of a corpus.
pub fn read(file: &Path) -> io::Result<Vec<Vec<u8>>> {
    fs::read_to_string(file)?.lines().map(unhex).collect()
}

fn unhex(line: &str) -> io::Result<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = line.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no hexadecimal: {line}")))
}
