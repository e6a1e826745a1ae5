//! Fuzz targets. Each is a function of any bytes that panics when something is not as it must be: `make fuzz` looks
//! for such bytes, and `cargo test` feeds each target what has been found interesting so far (fuzz/corpora).

mod comparison;
pub mod corpus;
mod course;
mod input;
mod model;
mod plain;
mod requests;
mod targets;

pub use targets::{TARGETS, Target, target};
