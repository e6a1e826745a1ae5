//! What the engine did, held against what the model says that it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use engine::sys::played::Departure;
use engine::{Door, Up};

use crate::model::Outcome;

/// What was handed up is what was expected, in its order.
pub fn compare_up(expected: &Outcome, up: &[Up]) {
    assert_eq!(up.len(), expected.up.iter().map(Vec::len).sum::<usize>());
    for (up, expected) in up.iter().zip(expected.up.iter().flatten()) {
        match up {
            Up::Datagram { listener, five_tuple, data, .. } => {
                assert_eq!(
                    (*listener, *five_tuple, &data[..]),
                    (expected.listener, expected.five_tuple, &expected.data.of(data)[..])
                );
            }
            Up::Stream { listener, path, data } => {
                assert_eq!((*listener, *path), (expected.listener, 5));
                assert_eq!(&data[..], &expected.data.of(data)[..]);
            }
        }
    }
}

/// What went to one destination went in order and unaltered, and nothing went anywhere else; returns how much of what
/// was to leave did not.
pub fn compare_departures(expected: &Outcome, departures: Vec<(Door, Departure)>) -> u64 {
    let mut left: BTreeMap<(Door, SocketAddr, Option<IpAddr>), Vec<Vec<u8>>> = BTreeMap::new();
    let mut transactions = BTreeSet::new();
    for (door, departure) in departures {
        if departure.bytes.starts_with(&[0, 0x17]) && matches!(door, Door::Listener(_)) {
            assert!(transactions.insert(departure.bytes[8..20].to_vec()), "a transaction id comes twice");
        }
        left.entry((door, departure.to, departure.from)).or_default().push(departure.bytes);
    }
    let mut missing = 0;
    for (way, frames) in &expected.departures {
        let mut rest = left.remove(way).unwrap_or_default().into_iter().peekable();
        for frame in frames {
            match rest.peek() {
                Some(bytes) if frame.of(bytes) == *bytes => drop(rest.next()),
                _ => missing += 1,
            }
        }
        assert_eq!(rest.next(), None, "nobody expects this at {way:?}, but {frames:?}");
    }
    assert!(left.is_empty(), "nobody expects these: {left:?}");
    missing
}
