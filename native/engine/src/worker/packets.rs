//! The way of a packet: read in batches, judged, framed, gathered, sent.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use routes::{FiveTuple, Forward, FromClient, FromPeer, Reason, Transport};

use super::{Accounts, RELAY, Worker};
use crate::framing::{HEADER, channel_header, data_indication_header};
use crate::outbox::{Account, Ledger, Packet};
use crate::sys::{Received, SLOTS};
use crate::upstairs::Up;

/// Datagrams or trains that a relay socket may have read in one turn: others wait. To ask for several where most hold
/// one costs less than to send what comes in bursts packet by packet.
const RELAY_SHARE: usize = 8;
/// Items that wait to be handed up before they are.
const HAND_UP_EVERY: usize = 256;

impl Worker {
    pub(super) fn read_listener(&mut self, number: u32) {
        self.make_room(SLOTS);
        let Some(listener) = self.listeners.get(&number) else {
            return;
        };
        if self.arena.receive(listener.socket.as_raw_fd(), SLOTS).is_err() {
            return; // nothing there, or an ICMP error that an earlier packet drew
        }
        // A client may have been answered while we waited, and its routes set: they count for what it sent since.
        self.obey();
        for slot in 0..self.arena.len() {
            self.judge_client(number, slot);
        }
    }

    /// Deals with what a listener has received.
    pub(super) fn judge_client(&mut self, number: u32, slot: usize) {
        let Some(listener) = self.listeners.get(&number) else {
            return;
        };
        let (received, address) = (self.arena.received(slot), listener.address);
        let server = SocketAddr::new(received.local.unwrap_or(address.ip()), address.port());
        let five_tuple = FiveTuple { transport: Transport::Udp, client: received.source, server };
        for (start, end) in segments(received) {
            self.on_message(number, self.shared.thread, five_tuple, start, end);
        }
    }

    fn on_message(&mut self, listener: u32, path: u64, five_tuple: FiveTuple, start: usize, end: usize) {
        if self.shared.stun_only {
            return self.on_question(listener, path, five_tuple, start, end);
        }
        match self.table.judge_client(&five_tuple, &self.arena.bytes()[start..end]) {
            FromClient::Forward(forward) => self.forward(&forward, start),
            FromClient::Drop(Reason::NoAllocation) => self.pass_on(five_tuple, start, end),
            FromClient::Drop(reason) => self.shared.books.dropped(reason),
            FromClient::HandUp => self.on_request(listener, path, five_tuple, start, end),
        }
    }

    fn forward(&mut self, forward: &Forward, start: usize) {
        let place = forward.relay as u32;
        if let Some(relay) = &self.relays[place as usize] {
            if let Err(reason) = relay.spend(forward.data.len()) {
                return self.shared.books.dropped(reason);
            }
            self.outbox.push(Packet {
                socket: relay.socket.as_raw_fd(),
                to: forward.peer,
                from: None,
                header: (0, 0),
                body: ((start + forward.data.start) as u32, forward.data.len() as u32),
                size: forward.data.len() as u32,
                padding: 0,
                account: Account::Relayed { relay: place, to_peer: true, by_channel: forward.by_channel },
            });
        }
    }

    pub(super) fn read_relay(&mut self, place: u32) {
        self.make_room(1);
        let Some(Some(relay)) = self.relays.get(place as usize) else {
            return;
        };
        let (first, share) = (self.arena.len(), RELAY_SHARE.min(SLOTS - self.arena.len()));
        match self.arena.receive(relay.socket.as_raw_fd(), share) {
            Ok(count) if count < share => {}
            Ok(_) => self.unfinished.push(RELAY | u64::from(place)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return self.unfinished.push(RELAY | u64::from(place)),
        }
        self.obey();
        for slot in first..self.arena.len() {
            self.judge_peer(place, slot);
        }
    }

    /// Deals with what a relay socket has received.
    pub(super) fn judge_peer(&mut self, place: u32, slot: usize) {
        let received = self.arena.received(slot);
        let verdict = self.table.judge_peer(u64::from(place), received.source);
        for (start, end) in segments(received) {
            match verdict {
                FromPeer::Drop(reason) => self.shared.books.dropped(reason),
                FromPeer::Channel(number) => self.on_peer_packet(place, Some(number), received.source, start, end),
                FromPeer::Indication(peer) => self.on_peer_packet(place, None, peer, start, end),
            }
        }
    }

    fn on_peer_packet(&mut self, place: u32, number: Option<u16>, peer: SocketAddr, start: usize, end: usize) {
        let Some(&client) = self.table.client(u64::from(place)) else {
            return;
        };
        if let Some(Err(reason)) = self.relays[place as usize].as_ref().map(|relay| relay.spend(end - start)) {
            return self.shared.books.dropped(reason);
        }
        let is_stream = client.five_tuple.transport != Transport::Udp;
        let mut header = [0; HEADER];
        let framed = match number {
            Some(number) => Some(channel_header(&mut header, number, end - start, is_stream)),
            None => {
                self.transaction = self.transaction.wrapping_add(1);
                data_indication_header(&mut header, self.transaction, peer, end - start)
            }
        };
        let Some((used, padding)) = framed else {
            return self.shared.books.dropped(Reason::TooLarge);
        };
        let account = Account::Relayed { relay: place, to_peer: false, by_channel: number.is_some() };
        if is_stream {
            let body = &self.arena.bytes()[start..end];
            let data = [&header[..used], body, &[0; 4][..padding]].concat().into();
            self.up.push(Up::Stream { listener: client.listener, path: client.path, data });
            return self.accounts().sent(account, (end - start) as u32);
        }
        let Some(listener) = self.listeners.get(&client.listener) else {
            return self.shared.books.dropped(Reason::Unreachable);
        };
        // One piece is cheaper to send than two.
        let framing = &header[..used];
        let (header, first) = match self.arena.prepend(start, framing) {
            true => ((0, 0), start - used),
            false => (self.outbox.header(framing), start),
        };
        let packet = Packet {
            socket: listener.socket.as_raw_fd(),
            to: client.five_tuple.client,
            from: listener.wildcard.then_some(client.five_tuple.server.ip()),
            header,
            body: (first as u32, (end - first) as u32),
            size: (end - start) as u32,
            padding: padding as u32,
            account,
        };
        self.outbox.push(packet);
    }

    /// Sends what is gathered and empties the slots when fewer than `slots` are free.
    fn make_room(&mut self, slots: usize) {
        if SLOTS - self.arena.len() < slots {
            self.flush();
            self.arena.clear();
        }
    }

    /// Sends what is gathered. Always before a socket is closed, since its number may soon be another's.
    pub(super) fn flush(&mut self) {
        let mut accounts = Accounts { books: &self.shared.books, relays: &mut self.relays };
        self.outbox.flush(self.arena.bytes(), self.intake.ring(), &mut accounts);
    }

    pub(super) fn accounts(&mut self) -> Accounts<'_> {
        Accounts { books: &self.shared.books, relays: &mut self.relays }
    }

    pub(super) fn hand_up_soon(&mut self, item: Up) {
        self.up.push(item);
        if self.up.len() >= HAND_UP_EVERY {
            self.hand_up();
        }
    }

    pub(super) fn hand_up(&mut self) {
        let refused = self.shared.upstairs.hand_up(&mut self.up);
        (0..refused).for_each(|_| self.shared.books.dropped(Reason::SendBuffer));
    }
}

/// Start and end, in the arena's bytes, of each packet of a train; an empty datagram is one packet too.
fn segments(received: Received) -> impl Iterator<Item = (usize, usize)> {
    let (start, end) = (received.start, received.start + received.length);
    let count = received.length.div_ceil(received.segment).max(1);
    (0..count).map(move |index| {
        let first = start + index * received.segment;
        (first, end.min(first + received.segment))
    })
}
