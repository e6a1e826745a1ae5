//! How many bytes may pass a relay socket: a bucket of its own, and one that all of its user's share. And how often a
//! source may ask.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use routes::{Bucket, BucketTable, Rate, Reason};

/// What each source has left, for all threads.
#[derive(Debug)]
pub struct Sources {
    /// Binding requests
    pub bindings: BucketTable,
    /// challenges
    pub challenges: BucketTable,
    /// requests that go before those of strangers, since their sender was challenged
    pub introductions: BucketTable,
    /// what strangers say that is no request of theirs: it must not use up their challenges
    pub babble: BucketTable,
}

impl Sources {
    /// All that there may be; more sources than `buckets` share them.
    pub fn new(buckets: usize) -> Self {
        let table = || BucketTable::new(buckets);
        Sources { bindings: table(), challenges: table(), introductions: table(), babble: table() }
    }
}

/// The two limits of a relay socket.
#[derive(Clone, Debug)]
pub struct Limits {
    own: (Arc<Bucket>, Rate),
    shared: (Arc<Bucket>, Rate),
    born: Instant,
}

impl Limits {
    /// Takes so many bytes, or says which bucket has too few.
    pub fn spend(&self, bytes: u32) -> Result<(), Reason> {
        let now = self.born.elapsed().as_nanos() as u64;
        if !self.own.0.take(bytes, self.own.1, now) {
            Err(Reason::Bandwidth)
        } else if !self.shared.0.take(bytes, self.shared.1, now) {
            Err(Reason::UserBandwidth)
        } else {
            Ok(())
        }
    }
}

/// The buckets of users, which live as long as a relay socket of theirs.
pub struct Users {
    buckets: HashMap<String, Weak<Bucket>>,
    most: usize,
    born: Instant,
}

/// Users whose buckets are remembered before those that are gone are looked for.
const FEW: usize = 64;

impl Users {
    /// Nobody yet.
    pub fn new() -> Self {
        Users { buckets: HashMap::new(), most: FEW, born: Instant::now() }
    }

    /// The limits of a relay socket that had others, perhaps: what is in its buckets stays. None where nothing is
    /// limited.
    pub fn limits(&mut self, user: &str, own: Rate, shared: Rate, before: Option<&Limits>) -> Option<Limits> {
        if !own.is_limit() && !shared.is_limit() {
            return None;
        }
        if self.buckets.len() >= self.most {
            self.buckets.retain(|_, bucket| bucket.strong_count() > 0);
            self.most = FEW.max(2 * self.buckets.len());
        }
        let row = self.buckets.entry(user.to_string()).or_default();
        let bucket = row.upgrade().unwrap_or_default();
        *row = Arc::downgrade(&bucket);
        let own_bucket = before.map(|before| Arc::clone(&before.own.0)).unwrap_or_default();
        Some(Limits { own: (own_bucket, own), shared: (bucket, shared), born: self.born })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Rate = Rate { per_second: 1e-3, burst: 100.0 };
    const NONE: Rate = Rate { per_second: 0.0, burst: 0.0 };

    #[test]
    fn the_relay_sockets_of_a_user_share_what_the_user_has() {
        let mut users = Users::new();
        let [one, other] = [0, 1].map(|_| users.limits("alice", NONE, SLOW, None).unwrap());
        let stranger = users.limits("bob", NONE, SLOW, None).unwrap();
        assert_eq!(one.spend(60), Ok(()));
        assert_eq!(other.spend(60), Err(Reason::UserBandwidth));
        assert_eq!(other.spend(40), Ok(()));
        assert_eq!(stranger.spend(100), Ok(()));
    }

    #[test]
    fn new_limits_find_the_buckets_as_they_were() {
        let mut users = Users::new();
        assert!(users.limits("alice", NONE, NONE, None).is_none());
        let first = users.limits("alice", SLOW, NONE, None).unwrap();
        assert_eq!(first.spend(100), Ok(()));
        let second = users.limits("alice", SLOW, SLOW, Some(&first)).unwrap();
        assert_eq!(second.spend(1), Err(Reason::Bandwidth));
    }

    #[test]
    fn users_that_are_gone_are_forgotten() {
        let mut users = Users::new();
        let kept = users.limits("kept", NONE, SLOW, None).unwrap();
        kept.spend(100).unwrap();
        (0..10_000).for_each(|number| drop(users.limits(&number.to_string(), NONE, SLOW, None)));
        assert!(users.buckets.len() <= 2 * FEW);
        let again = users.limits("kept", NONE, SLOW, None).unwrap();
        assert_eq!(again.spend(1), Err(Reason::UserBandwidth));
    }
}
