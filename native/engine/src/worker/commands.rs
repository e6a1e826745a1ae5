//! What the owner says, carried out between batches: sockets come and go, routes change, single packets are sent.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::mpsc::Sender;

use routes::{Channel, FiveTuple, FromClient, Permission, Reason, RelayId};

use super::{Listener, RELAY, RelaySocket, Worker};
use crate::books::Tally;
use crate::mailbox::Command;
use crate::outbox::{Account, Ledger, reason};
use crate::sys::{dont_fragment, now, receive_trains, send_to};

/// Whoever asked may be gone.
fn reply<T>(to: &Sender<T>, answer: T) {
    let _ = to.send(answer);
}

impl Worker {
    /// Looks at the clock, and carries out what has been said: to be called between the receiving of packets and their
    /// judging. One command at a time leaves the queue, so that a panic costs no more than one.
    pub(super) fn obey(&mut self) {
        self.table.tell_time(now());
        self.shared.mailbox.take(&mut self.commands, &mut self.strays);
        while let Some(command) = self.commands.pop_front() {
            self.carry_out(command);
        }
        while let Some(stray) = self.strays.pop_front() {
            self.deliver(&stray.client, &stray.data);
        }
    }

    pub(super) fn carry_out(&mut self, command: Command) {
        match command {
            Command::OpenListener { listener, socket, address, wildcard } => {
                let (token, descriptor) = (self.token(0, listener), socket.as_raw_fd());
                receive_trains(descriptor);
                self.listeners.insert(listener, Listener { socket: socket.into(), address, wildcard, token });
                self.intake.watch(descriptor, token);
            }
            Command::CloseListener(listener) => self.close_listener(listener),
            Command::OpenRelay { relay, place, socket, address, tally } => {
                let (token, descriptor) = (self.token(RELAY, place), socket.as_raw_fd());
                let socket = socket.into();
                self.open_relay(place, RelaySocket { id: relay, token, socket, address, tally, limits: None });
                // Last of all: what a panic keeps from being known could never be called off.
                self.intake.watch(descriptor, token);
            }
            Command::CloseRelay(relay, answer) => reply(&answer, self.close_relay(relay)),
            Command::SendFromRelay { relay, peer, data, dont_fragment, answer } => {
                self.send_from_relay(relay, peer, &data, dont_fragment);
                reply(&answer, ());
            }
            Command::Deliver { client, data } => self.deliver(&client.five_tuple, &data),
            Command::Limit(relay, limits) => {
                let place = self.places.get(&relay).copied();
                if let Some(open) = place.and_then(|place| self.relays[place as usize].as_mut()) {
                    open.limits = limits;
                }
            }
            Command::Answering(answering) => self.answering = answering,
            Command::Challenge(challenges) => self.challenges = Some(challenges),
            Command::Elsewhere(client, thread) => self.elsewhere.add(client, thread),
            Command::NowhereElse(client) => self.elsewhere.remove(&client),
            Command::Live(address) => self.table.live(address),
            Command::Perish(address) => self.table.perish(address),
            Command::Deny(peers) => self.table.deny(&peers),
            Command::Usage(relay, answer) => {
                let open = self.places.get(&relay).and_then(|&place| self.relays[place as usize].as_ref());
                reply(&answer, open.map_or_else(Tally::default, |open| open.tally));
            }
            Command::Sync(answer) => reply(&answer, ()),
            Command::Settle(answer) => self.waiting.push(answer),
            #[cfg(feature = "panic-injection")]
            Command::Panic => panic!("asked for"),
            #[cfg(feature = "panic-injection")]
            Command::PanicWhileOpening => self.panics_while_opening = true,
            Command::Stop => self.is_stopping = true,
            other => self.change_routes(other),
        }
    }

    fn change_routes(&mut self, command: Command) {
        let place = |relay| self.places.get(&relay).map(|&place| u64::from(place));
        match command {
            Command::SetClient(relay, client) => {
                place(relay).into_iter().for_each(|relay| self.table.set_client(relay, client));
            }
            Command::SetDeadline(relay, until) => {
                place(relay).into_iter().for_each(|relay| self.table.set_deadline(relay, until));
            }
            Command::Permit(row, until) => {
                place(row.relay).into_iter().for_each(|relay| self.table.permit(Permission { relay, ..row }, until));
            }
            Command::Revoke(row) => {
                place(row.relay).into_iter().for_each(|relay| self.table.revoke(Permission { relay, ..row }));
            }
            Command::Bind(row, until) => {
                place(row.relay).into_iter().for_each(|relay| self.table.bind(Channel { relay, ..row }, until));
            }
            Command::Unbind(row) => {
                place(row.relay).into_iter().for_each(|relay| self.table.unbind(Channel { relay, ..row }));
            }
            Command::Routes(answer) => {
                let id = |place: RelayId| self.relays[place as usize].as_ref().map_or(0, |relay| relay.id);
                let (mut permissions, mut channels) = self.table.routes();
                permissions.iter_mut().for_each(|(row, _)| row.relay = id(row.relay));
                channels.iter_mut().for_each(|(row, _)| row.relay = id(row.relay));
                reply(&answer, (permissions, channels));
            }
            _ => {}
        }
    }

    fn close_listener(&mut self, listener: u32) {
        self.flush();
        if let Some(closed) = self.listeners.remove(&listener) {
            self.intake.forget(closed.socket.as_raw_fd(), closed.token);
        }
    }

    fn open_relay(&mut self, place: u32, opened: RelaySocket) {
        #[cfg(feature = "panic-injection")]
        assert!(!std::mem::take(&mut self.panics_while_opening), "asked for");
        receive_trains(opened.socket.as_raw_fd());
        self.table.open(u64::from(place), opened.address);
        self.table.live(opened.address);
        self.places.insert(opened.id, place);
        if self.relays.len() <= place as usize {
            self.relays.resize_with(place as usize + 1, || None);
        }
        self.relays[place as usize] = Some(opened);
    }

    fn close_relay(&mut self, relay: RelayId) -> Tally {
        let Some(place) = self.places.remove(&relay) else {
            return Tally::default();
        };
        self.flush();
        let Some(closed) = self.relays[place as usize].take() else {
            return Tally::default();
        };
        self.intake.forget(closed.socket.as_raw_fd(), closed.token);
        self.table.close(u64::from(place));
        self.table.perish(closed.address);
        closed.tally
    }

    fn send_from_relay(&mut self, relay: RelayId, peer: SocketAddr, data: &[u8], unfragmented: bool) {
        let Some(&place) = self.places.get(&relay) else {
            return self.shared.books.dropped(Reason::NoAllocation);
        };
        if let Err(reason) = self.table.may_indicate(u64::from(place), peer) {
            return self.shared.books.dropped(reason);
        }
        let Some(open) = &self.relays[place as usize] else {
            return;
        };
        let (descriptor, is_ipv4) = (open.socket.as_raw_fd(), open.address.is_ipv4());
        if unfragmented {
            let _ = dont_fragment(descriptor, is_ipv4, true);
        }
        self.send_now(place, false, peer, data);
        if unfragmented {
            let _ = dont_fragment(descriptor, is_ipv4, false);
        }
    }

    /// A message of a stream client, or one that another thread has received; its caller has found it to be ours.
    fn deliver(&mut self, client: &FiveTuple, data: &[u8]) {
        match self.table.judge_client(client, data) {
            FromClient::Forward(forward) => {
                self.send_now(forward.relay as u32, forward.by_channel, forward.peer, &data[forward.data]);
            }
            FromClient::Drop(reason) => self.shared.books.dropped(reason),
            FromClient::HandUp => {}
        }
    }

    /// Sends one packet to a peer by itself, outside of any batch.
    fn send_now(&mut self, relay: u32, by_channel: bool, peer: SocketAddr, data: &[u8]) {
        let Some(open) = &self.relays[relay as usize] else {
            return;
        };
        if let Err(reason) = open.spend(data.len()) {
            return self.shared.books.dropped(reason);
        }
        match send_to(open.socket.as_raw_fd(), data, peer) {
            Ok(()) => {
                let account = Account::Relayed { relay, to_peer: true, by_channel };
                self.accounts().sent(account, data.len() as u32);
            }
            Err(error) => self.shared.books.dropped(reason(&error)),
        }
    }
}
