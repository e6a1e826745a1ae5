//! Requests that the core would challenge: the plain ones are challenged here, and the others wait in a line of their own.
//! Who is known goes first, as far as his share goes.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use routes::{Asked, BucketTable, Challenger, FiveTuple, Rate, Reason, Share, is_binding};

use super::Worker;
use crate::outbox::Account;
use crate::upstairs::Line;

/// How strangers are challenged.
pub struct Challenges {
    /// what they are told
    pub challenger: Challenger,
    /// how often each source is
    pub rate: Rate,
}

impl Challenges {
    /// Whether a source has one more of what these buckets hold: challenges, turns before those who were not challenged,
    /// or words to say for nothing. It is spent then.
    fn grants(&self, buckets: &BucketTable, source: &FiveTuple, now: u64) -> bool {
        !self.rate.is_limit() || buckets.take(source.client.ip(), self.rate, now)
    }
}

/// Unix time, as nonces have it.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Worker {
    /// What a client may send up that has a relay socket, here or in another thread.
    pub(super) fn share(&self, five_tuple: &FiveTuple) -> Option<&Share> {
        self.table.share(five_tuple).or_else(|| self.elsewhere.share(five_tuple))
    }

    /// The line of a known client, or None when it has sent more than its share.
    fn go_first(&self, share: &Share, is_proven: bool, bytes: usize) -> Option<Line> {
        let may = share.take(is_proven, bytes, self.table.now());
        if !may {
            self.shared.books.dropped(Reason::RateLimited);
        }
        may.then_some(Line::Known)
    }

    /// The line that a client's message is to wait in, or None when there is no need to.
    pub(super) fn receive_client(
        &mut self,
        listener: u32,
        five_tuple: FiveTuple,
        start: usize,
        end: usize,
    ) -> Option<Line> {
        let share = self.share(&five_tuple);
        let Some(challenges) = &self.challenges else {
            return share.map_or(Some(Line::Known), |share| self.go_first(share, false, end - start));
        };
        let (message, client) = (&self.arena.bytes()[start..end], five_tuple.client);
        let (now, wall) = (self.shared.now(Instant::now()), (self.shared.wall)());
        let asked = challenges.challenger.judge(message, client, wall);
        let is_known = share.is_some();
        let sources = &self.shared.sources;
        let is_to_be_challenged = matches!(asked, Asked::Unsigned { .. }) || asked == Asked::Stranger && !is_known;
        if is_to_be_challenged && !challenges.grants(&sources.challenges, &five_tuple, now) {
            self.shared.books.withheld(asked == Asked::Stranger);
            self.shared.books.dropped(Reason::RateLimited);
            return None;
        }
        // Bindings have a limit of their own.
        let is_babble = asked == Asked::Other && !is_known && !is_binding(message);
        if is_babble && !challenges.grants(&sources.babble, &five_tuple, now) {
            self.shared.books.dropped(Reason::RateLimited);
            return None;
        }
        match asked {
            Asked::Unsigned { method, stamped } => {
                let challenge = |bytes: &mut _| challenges.challenger.challenge(message, stamped, client, wall, bytes);
                let bytes = self.outbox.write(challenge);
                self.answer(listener, five_tuple, bytes, Account::Challenge { method });
                None
            }
            // A nonce that is none: its source may be forged, and the client that is known there needs one more round trip
            // anyway.
            Asked::Stranger if is_known && !challenges.grants(&sources.introductions, &five_tuple, now) => {
                Some(Line::Stranger)
            }
            Asked::Introduced if !is_known && challenges.grants(&sources.introductions, &five_tuple, now) => {
                Some(Line::Introduced)
            }
            _ => share
                .map_or(Some(Line::Stranger), |share| self.go_first(share, asked == Asked::Introduced, message.len())),
        }
    }
}
