//! What the threads count, in plain memory that others may read at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use routes::{METHODS, Reason};

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

/// The totals of all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// what was relayed
    pub relayed: Tally,
    /// Binding requests that were answered: over IPv4, with a FINGERPRINT, over IPv6, with a FINGERPRINT
    pub bindings: [u64; 4],
    /// requests without integrity that were challenged, by the place of their method
    pub challenges: [u64; METHODS.len()],
    /// challenges that their source had too many of: to requests without integrity, and to those of strangers
    pub withheld: [u64; 2],
    /// what was dropped, by the number of its reason
    pub dropped: Vec<u64>,
    /// how often a thread panicked and went on
    pub panics: u64,
    /// packets that came in at one thread and were forwarded by another
    pub handed_over: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            relayed: Tally::default(),
            bindings: [0; 4],
            challenges: [0; METHODS.len()],
            withheld: [0; 2],
            dropped: vec![0; Reason::ALL.len()],
            panics: 0,
            handed_over: 0,
        }
    }
}

/// The running totals of one thread. Only that thread writes, so that no addition is lost.
#[derive(Default)]
pub struct Books {
    packets: [AtomicU64; 4],
    bytes: [AtomicU64; 4],
    bindings: [AtomicU64; 4],
    challenges: [AtomicU64; METHODS.len()],
    withheld: [AtomicU64; 2],
    dropped: [AtomicU64; Reason::ALL.len()],
    panics: AtomicU64,
    handed_over: AtomicU64,
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

    /// A Binding request was answered.
    pub fn answered(&self, ipv6: bool, signed: bool) {
        add(&self.bindings[usize::from(ipv6) * 2 + usize::from(signed)], 1);
    }

    /// A request without integrity was challenged.
    pub fn challenged(&self, method: usize) {
        add(&self.challenges[method], 1);
    }

    /// A challenge was withheld, from a request with integrity or from one without.
    pub fn withheld(&self, signed: bool) {
        add(&self.withheld[usize::from(signed)], 1);
    }

    /// A packet was dropped. Threads and callers may both drop, so that this one adds atomically.
    pub fn dropped(&self, reason: Reason) {
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }

    /// The thread panicked and goes on.
    pub fn panicked(&self) {
        add(&self.panics, 1);
    }

    /// A packet came in here, and another thread forwards it.
    pub fn handed_over(&self) {
        add(&self.handed_over, 1);
    }

    /// Adds all to the totals.
    pub fn add_to(&self, totals: &mut Totals) {
        let add = |sums: &mut [u64], counters: &[AtomicU64]| {
            sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.load(Relaxed));
        };
        add(&mut totals.relayed.packets, &self.packets);
        add(&mut totals.relayed.bytes, &self.bytes);
        add(&mut totals.bindings, &self.bindings);
        add(&mut totals.challenges, &self.challenges);
        add(&mut totals.withheld, &self.withheld);
        add(&mut totals.dropped, &self.dropped);
        totals.panics += self.panics.load(Relaxed);
        totals.handed_over += self.handed_over.load(Relaxed);
    }
}
