//! Token buckets that threads share without a lock: fairlead.buckets, in nanoseconds.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::hash::Keyed;

/// Half a token of slack, lest rounding eat the last one.
const SLACK: f64 = 0.5;
const SECOND: f64 = 1e9;

/// `per_second` tokens flow in, at most `burst` are kept; 0 per second is no limit at all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

impl Rate {
    /// Whether it limits anything.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.per_second > 0.0
    }
}

/// One bucket, full at first: the moment at which it will be full again.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes so many tokens, or none and returns false. `now` is in nanoseconds of one monotonic clock.
    pub fn take(&self, tokens: u32, rate: Rate, now: u64) -> bool {
        if !rate.is_limit() {
            return true;
        }
        let drawn = self.0.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now);
            let missing = (full_at - now) as f64 / SECOND * rate.per_second;
            let fits = missing + f64::from(tokens) <= rate.burst + SLACK;
            fits.then(|| full_at.saturating_add((f64::from(tokens) / rate.per_second * SECOND) as u64))
        });
        drawn.is_ok()
    }
}

/// Buckets for sources, which strangers choose, in a table that never grows. Sources share one when their keyed hashes
/// meet.
#[derive(Debug)]
pub struct BucketTable {
    buckets: Box<[Bucket]>,
    keyed: Keyed,
}

impl BucketTable {
    /// All full; at least one.
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        BucketTable { buckets: (0..buckets.max(1)).map(|_| Bucket::default()).collect(), keyed: Keyed::default() }
    }

    /// Takes a token of a source.
    pub fn take(&self, source: IpAddr, rate: Rate, now: u64) -> bool {
        let place = self.keyed.hash_one(source_prefix(source)) % self.buckets.len() as u64;
        self.buckets[place as usize].take(1, rate, now)
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address; as fairlead.sources.
fn source_prefix(source: IpAddr) -> (bool, u64) {
    match source.to_canonical() {
        IpAddr::V4(host) => (true, u64::from(host.to_bits())),
        IpAddr::V6(host) => (false, (host.to_bits() >> 64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10.0, burst: 3.0 };

    #[test]
    fn a_burst_and_then_the_rate() {
        let bucket = Bucket::default();
        for moment in [0, 1_000_000_000_000] {
            let taken: Vec<bool> = (0..5).map(|_| bucket.take(1, RATE, moment)).collect();
            assert_eq!(taken, [true, true, true, false, false]);
            assert!(!bucket.take(1, RATE, moment + 49_000_000));
            assert!(bucket.take(1, RATE, moment + 100_000_000));
            assert!(!bucket.take(1, RATE, moment + 100_000_000));
        }
    }

    #[test]
    fn many_tokens_fit_or_stay() {
        let (bucket, rate) = (Bucket::default(), Rate { per_second: 1000.0, burst: 2000.0 });
        assert!(bucket.take(1500, rate, 0));
        assert!(!bucket.take(501, rate, 0));
        assert!(bucket.take(500, rate, 0));
        assert!(!bucket.take(1500, rate, 1_400_000_000));
        assert!(bucket.take(1500, rate, 1_500_000_000));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let bucket = Bucket::default();
        assert!((0..1000).all(|_| bucket.take(u32::MAX, Rate::default(), 0)));
    }

    #[test]
    fn a_source_is_an_address_or_a_prefix() {
        let table = BucketTable::new(1 << 16);
        let take = |host: &str| table.take(host.parse().unwrap(), Rate { per_second: 1e-3, burst: 1.0 }, 0);
        assert!(take("192.0.2.1") && !take("192.0.2.1") && !take("::ffff:192.0.2.1") && take("192.0.2.2"));
        assert!(take("2001:db8::1") && !take("2001:db8::2") && take("2001:db8:0:1::1"));
    }

    #[test]
    fn threads_share_what_there_is() {
        let bucket = Bucket::default();
        let rate = Rate { per_second: 1e-3, burst: 1000.0 };
        let take = || (0..500).filter(|_| bucket.take(1, rate, 0)).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }
}
