//! What the threads count, in plain memory that others may read at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use routes::Reason;

/// Packets and bytes of application data of the four ways: to peer by channel, to peer by indication, to client by
/// channel, to client by indication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// packets of each way
    pub packets: [u64; 4],
    /// bytes of each way
    pub bytes: [u64; 4],
}

/// The place of a way in a tally.
#[must_use]
pub fn way(to_peer: bool, by_channel: bool) -> usize {
    usize::from(!to_peer) * 2 + usize::from(!by_channel)
}

/// The running totals of one thread. Only that thread writes, so that no addition is lost.
#[derive(Default)]
pub struct Books {
    packets: [AtomicU64; 4],
    bytes: [AtomicU64; 4],
    dropped: [AtomicU64; Reason::ALL.len()],
    panics: AtomicU64,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed) + amount, Relaxed);
}

impl Books {
    /// A packet was relayed.
    pub fn relayed(&self, way: usize, bytes: u64) {
        add(&self.packets[way], 1);
        add(&self.bytes[way], bytes);
    }

    /// A packet was dropped. Threads and callers may both drop, so that this one adds atomically.
    pub fn dropped(&self, reason: Reason) {
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }

    /// The thread panicked and goes on.
    pub fn panicked(&self) {
        add(&self.panics, 1);
    }

    /// All totals: relayed, dropped by reason, panics.
    #[must_use]
    pub fn read(&self) -> (Tally, Vec<u64>, u64) {
        let tally = Tally {
            packets: std::array::from_fn(|index| self.packets[index].load(Relaxed)),
            bytes: std::array::from_fn(|index| self.bytes[index].load(Relaxed)),
        };
        (tally, self.dropped.iter().map(|counter| counter.load(Relaxed)).collect(), self.panics.load(Relaxed))
    }
}
