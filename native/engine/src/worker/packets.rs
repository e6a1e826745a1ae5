//! The way of a packet: read in batches, judged, framed, gathered, sent.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use routes::{Client, FiveTuple, Forward, FromClient, FromPeer, Reason, Transport};

use super::{Accounts, RELAY, Worker};
use crate::framing::{Frame, room_for};
use crate::outbox::{Account, Ledger, Packet, received};
use crate::sys::SLOTS;
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
        let (datagram, address) = (self.arena.received(slot), listener.address);
        let server = SocketAddr::new(datagram.local.unwrap_or(address.ip()), address.port());
        let five_tuple = FiveTuple { transport: Transport::Udp, client: datagram.source, server };
        for (start, end) in datagram.packets() {
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
                bytes: received(start + forward.data.start, forward.data.len()),
                size: forward.data.len() as u32,
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
        let (number, peer) = match self.table.judge_peer(u64::from(place), received.source) {
            FromPeer::Drop(reason) => return received.packets().for_each(|_| self.shared.books.dropped(reason)),
            FromPeer::Channel(number) => (Some(number), received.source),
            FromPeer::Indication(peer) => (None, peer),
        };
        let Some(&client) = self.table.client(u64::from(place)) else {
            return;
        };
        let way = Way { place, number, peer, client };
        if client.five_tuple.transport != Transport::Udp {
            return received.packets().for_each(|(start, end)| self.send_by_stream(&way, start, end));
        }
        let is_spread = self.arena.spread(slot, room_for(number, peer, received.segment));
        for (start, end) in self.arena.received(slot).packets() {
            self.send_to_client(&way, start, end, is_spread);
        }
    }

    /// What frames a packet for its client, if it may pass.
    fn frame(&mut self, way: &Way, length: usize, is_stream: bool) -> Option<Frame> {
        let relay = self.relays[way.place as usize].as_ref();
        let frame = relay.map_or(Ok(()), |relay| relay.spend(length)).and_then(|()| match way.number {
            Some(number) => Ok(Frame::channel_data(number, length, is_stream)),
            None => {
                self.transaction = self.transaction.wrapping_add(1);
                Frame::data_indication(self.transaction, way.peer, length).ok_or(Reason::TooLarge)
            }
        });
        frame.map_err(|reason| self.shared.books.dropped(reason)).ok()
    }

    fn send_by_stream(&mut self, way: &Way, start: usize, end: usize) {
        if let Some(frame) = self.frame(way, end - start, true) {
            let body = &self.arena.bytes()[start..end];
            let data = [frame.header(), body, frame.padding()].concat().into();
            self.up.push(Up::Stream { listener: way.client.listener, path: way.client.path, data });
            self.accounts().sent(way.account(), (end - start) as u32);
        }
    }

    fn send_to_client(&mut self, way: &Way, start: usize, end: usize, has_room: bool) {
        let Some(frame) = self.frame(way, end - start, false) else {
            return;
        };
        let Some(listener) = self.listeners.get(&way.client.listener) else {
            return self.shared.books.dropped(Reason::Unreachable);
        };
        let (header, padding) = (frame.header(), frame.padding());
        let bytes = if has_room {
            // One piece is cheaper to send than two.
            let first = start - header.len();
            self.arena.write(first, header);
            self.arena.write(end, padding);
            received(first, end + padding.len() - first)
        } else {
            let body = &self.arena.bytes()[start..end];
            self.outbox.write(|written| [header, body, padding].iter().for_each(|part| written.extend_from_slice(part)))
        };
        self.outbox.push(Packet {
            socket: listener.socket.as_raw_fd(),
            to: way.client.five_tuple.client,
            from: listener.wildcard.then_some(way.client.five_tuple.server.ip()),
            bytes,
            size: (end - start) as u32,
            account: way.account(),
        });
    }

    /// Sends what is gathered and empties the slots when fewer than `slots` are free.
    fn make_room(&mut self, slots: usize) {
        if SLOTS - self.arena.len() < slots {
            self.send();
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

/// Where the packets of a peer go.
struct Way {
    place: u32,
    number: Option<u16>,
    peer: SocketAddr,
    client: Client,
}

impl Way {
    fn account(&self) -> Account {
        Account::Relayed { relay: self.place, to_peer: false, by_channel: self.number.is_some() }
    }
}
