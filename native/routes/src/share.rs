//! What each client may send up to the owner, who serves all of them one message after the other: as
//! turnd/dataplane/shares.py.

use crate::buckets::{Bucket, Rate};
use crate::table::Moment;

/// Requests whose nonce proves that the client wrote them: an ICE restart binds a few dozen channels at once, and calls
/// that go on ask every few minutes.
const PROVEN: Rate = Rate { per_second: 64.0, burst: 256.0 };
/// All else, which anybody may write in the client's name, and data that asks for more than the engine does.
const UNPROVEN: Rate = Rate { per_second: 512.0, burst: 512.0 };
/// Bytes that a token is good for: the owner reads attribute by attribute.
const TOKEN: usize = 2048;

/// What one client has left, full at first.
#[derive(Debug, Default)]
pub struct Share {
    proven: Bucket,
    unproven: Bucket,
}

impl Share {
    /// Whether a message of so many bytes may go up; it is spent then.
    pub fn take(&self, is_proven: bool, bytes: usize, now: Moment) -> bool {
        let (bucket, rate) = if is_proven { (&self.proven, PROVEN) } else { (&self.unproven, UNPROVEN) };
        bucket.take(bytes.div_ceil(TOKEN) as u32, rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(share: &Share, is_proven: bool, bytes: usize, now: Moment) -> usize {
        (0..10_000).take_while(|_| share.take(is_proven, bytes, now)).count()
    }

    #[test]
    fn what_others_may_write_takes_nothing_of_what_only_the_client_can() {
        let share = Share::default();
        assert_eq!(taken(&share, false, 100, 0), 512);
        assert_eq!(taken(&share, true, 2048, 0), 256);
        assert_eq!(taken(&share, true, 100, 500_000_000), 32);
        assert_eq!(taken(&share, false, 100, 500_000_000), 256);
    }

    #[test]
    fn long_messages_cost_what_they_weigh() {
        assert_eq!(taken(&Share::default(), true, 2049, 0), 128);
        assert_eq!(taken(&Share::default(), true, 65_507, 0), 8);
    }
}
