//! Clients whose relay sockets another thread has: what they send may come in here all the same.

use std::collections::HashMap;

use routes::{FiveTuple, Keyed, Reason, Share};

use super::Worker;
use crate::mailbox::Stray;

/// Which threads have which clients.
#[derive(Default)]
pub struct Elsewhere(HashMap<FiveTuple, Whereabouts, Keyed>);

/// Which thread has a client, by how many of its relay sockets that has been said, and what it may send up from here.
#[derive(Default)]
struct Whereabouts {
    thread: usize,
    count: u32,
    share: Share,
}

impl Elsewhere {
    /// What a client may send up, if another thread has one of its relay sockets.
    pub fn share(&self, client: &FiveTuple) -> Option<&Share> {
        self.0.get(client).map(|whereabouts| &whereabouts.share)
    }

    /// A relay socket of the client is at that thread.
    pub fn add(&mut self, client: FiveTuple, thread: usize) {
        let whereabouts = self.0.entry(client).or_default();
        whereabouts.thread = thread;
        whereabouts.count += 1;
    }

    /// One that was said to be is there no more.
    pub fn remove(&mut self, client: &FiveTuple) {
        if let Some(whereabouts) = self.0.get_mut(client) {
            whereabouts.count -= 1;
            if whereabouts.count == 0 {
                self.0.remove(client);
            }
        }
    }
}

impl Worker {
    /// What there is to do for a client without a relay socket here: nothing, or another thread does it.
    pub(super) fn pass_on(&mut self, client: FiveTuple, start: usize, end: usize) {
        let Some(&Whereabouts { thread, .. }) = self.elsewhere.0.get(&client) else {
            return self.shared.books.dropped(Reason::NoAllocation);
        };
        let data = self.arena.bytes()[start..end].into();
        if self.shared.mailboxes[thread].hand_over(Stray { client, data }) {
            self.shared.books.handed_over();
        } else {
            self.shared.books.dropped(Reason::SendBuffer);
        }
    }
}
