//! What listeners get that is not to be relayed: Binding requests are answered here, the rest is handed up.

use std::os::fd::AsRawFd;
use std::time::Instant;

use routes::{FiveTuple, Message, Rate, Reason, answer_binding, is_binding, read};

use super::Worker;
use crate::outbox::{Account, Packet};
use crate::sys::Piece;
use crate::upstairs::Up;

/// Nobody who has proved nothing has to say more bytes at once.
const LARGEST_REQUEST: usize = 2048;

/// What becomes of Binding requests, and of what a server without relaying gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answering {
    /// whether those of nothing but a FINGERPRINT are answered; else they are handed up
    pub answers: bool,
    /// whether messages without a cookie (RFC 3489) are handed up; else they are dropped
    pub classic: bool,
    /// how many each source may send
    pub rate: Rate,
}

impl Worker {
    /// The verdict on what a STUN server gets, which relays nothing.
    pub(super) fn on_question(&mut self, listener: u32, path: u64, five_tuple: FiveTuple, start: usize, end: usize) {
        let verdict = if end - start > LARGEST_REQUEST {
            Err(Reason::TooLarge)
        } else {
            match read(&self.arena.bytes()[start..end]) {
                Message::Junk(Reason::BadCookie) if self.answering.classic => Ok(()),
                Message::Junk(reason) => Err(reason),
                Message::ChannelData { .. } | Message::Truncated => Err(Reason::NotStun),
                Message::PlainSend { .. } | Message::Other => Ok(()),
            }
        };
        match verdict {
            Ok(()) => self.on_request(listener, path, five_tuple, start, end),
            Err(reason) => self.shared.books.dropped(reason),
        }
    }

    /// A message that is not for the route table, with a good header.
    pub(super) fn on_request(&mut self, listener: u32, path: u64, five_tuple: FiveTuple, start: usize, end: usize) {
        let message = &self.arena.bytes()[start..end];
        if five_tuple.client.port() == 0 {
            return self.shared.books.dropped(Reason::PortZero);
        }
        if end - start > LARGEST_REQUEST && self.share(&five_tuple).is_none() {
            return self.shared.books.dropped(Reason::TooLarge);
        }
        if is_binding(message) {
            if !self.may_ask(five_tuple) {
                return self.shared.books.dropped(Reason::RateLimited);
            }
            if self.answering.answers {
                match answer_binding(message, five_tuple.client) {
                    Ok(Some(answer)) => {
                        let bytes = self.outbox.write(|written| written.extend_from_slice(answer.bytes()));
                        let ipv6 = five_tuple.client.is_ipv6();
                        let account = Account::Binding { ipv6, signed: answer.signed };
                        return self.answer(listener, five_tuple, bytes, account);
                    }
                    Ok(None) => {}
                    Err(reason) => return self.shared.books.dropped(reason),
                }
            }
        }
        if let Some(line) = self.receive_client(listener, five_tuple, start, end) {
            let data = self.arena.bytes()[start..end].into();
            self.hand_up_soon(Up::Datagram { listener, path, five_tuple, line, data });
        }
    }

    fn may_ask(&self, five_tuple: FiveTuple) -> bool {
        let rate = self.answering.rate;
        !rate.is_limit()
            || self.shared.sources.bindings.take(five_tuple.client.ip(), rate, self.shared.now(Instant::now()))
    }

    /// Sends what has been written into the outbox from where the client wrote to.
    pub(super) fn answer(&mut self, listener: u32, five_tuple: FiveTuple, bytes: Piece, account: Account) {
        let Some(open) = self.listeners.get(&listener) else {
            return;
        };
        let packet = Packet {
            socket: open.socket.as_raw_fd(),
            to: five_tuple.client,
            from: open.wildcard.then_some(five_tuple.server.ip()),
            bytes,
            size: 0,
            account,
        };
        self.outbox.push(packet);
    }
}
