//! Clients whose relay sockets another thread has: what they send may come in here all the same.

use std::collections::HashMap;

use routes::{FiveTuple, Keyed, Reason};

use super::Worker;
use crate::mailbox::Stray;

/// Which thread has a client, and by how many of its relay sockets that has been said.
#[derive(Default)]
pub struct Elsewhere(HashMap<FiveTuple, (usize, u32), Keyed>);

impl Elsewhere {
    /// Whether another thread has one of its relay sockets.
    pub fn has(&self, client: &FiveTuple) -> bool {
        self.0.contains_key(client)
    }

    /// A relay socket of the client is at that thread.
    pub fn add(&mut self, client: FiveTuple, thread: usize) {
        let (at, count) = self.0.entry(client).or_default();
        *at = thread;
        *count += 1;
    }

    /// One that was said to be is there no more.
    pub fn remove(&mut self, client: &FiveTuple) {
        if let Some((_, count)) = self.0.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(client);
            }
        }
    }
}

impl Worker {
    /// What there is to do for a client without a relay socket here: nothing, or another thread does it.
    pub(super) fn pass_on(&mut self, client: FiveTuple, start: usize, end: usize) {
        let Some(&(thread, _)) = self.elsewhere.0.get(&client) else {
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
