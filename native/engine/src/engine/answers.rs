//! What the owner answers to UDP clients, sent with as few calls as there are listeners.

use std::os::fd::AsRawFd;

use routes::{FiveTuple, Reason};

use super::Engine;
use crate::books::Books;
use crate::outbox::{Account, Ledger, Packet};

/// Bytes for a UDP client, from the address that it wrote to.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// where its message came in
    pub listener: u32,
    /// by which thread
    pub path: u64,
    /// whose it was
    pub client: FiveTuple,
    /// the message
    pub data: &'a [u8],
}

/// Answers are the owner's to count.
struct Refusals<'a>(&'a Books);

impl Ledger for Refusals<'_> {
    fn sent(&mut self, _: Account, _: u32) {}

    fn dropped(&mut self, reason: Reason) {
        self.0.dropped(reason);
    }
}

impl Engine {
    /// Sends to UDP clients; answers to one client keep their order.
    pub fn send<'a>(&mut self, answers: impl IntoIterator<Item = Answer<'a>>) {
        let books = self.threads[0].books();
        for answer in answers {
            let Some(listener) = self.listeners.get(&answer.listener) else {
                books.dropped(Reason::Unreachable);
                continue;
            };
            let bytes = self.outbox.write(|written| written.extend_from_slice(answer.data));
            self.outbox.push(Packet {
                socket: listener.sockets[answer.path as usize % listener.sockets.len()].as_raw_fd(),
                to: answer.client.client,
                from: listener.wildcard.then(|| answer.client.server.ip()),
                bytes,
                size: 0,
                account: Account::Answer,
            });
        }
        self.outbox.flush(&[], None, &mut Refusals(books));
    }
}
