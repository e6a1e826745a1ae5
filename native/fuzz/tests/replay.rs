//! Each target does what it must with every input of its corpus.

use fuzz::{TARGETS, corpus};

#[test]
fn every_corpus_is_replayed() {
    for (name, target) in TARGETS {
        let inputs = corpus::read(&corpus::path(name)).unwrap();
        assert!(inputs.len() > 50, "{name} has a corpus of {}", inputs.len());
        for input in inputs {
            let line: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(std::panic::catch_unwind(|| target(&input)).is_ok(), "{name} fails on {line}");
        }
    }
}
