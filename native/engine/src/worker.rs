//! One thread: its sockets, its table, and the turn that moves packets between them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use routes::{Client, FiveTuple, Forward, FromClient, FromPeer, Reason, RelayId, Table, Transport};
use socket2::Socket;

use crate::books::{Books, Tally, way};
use crate::framing::{channel_header, data_indication_header};
use crate::mailbox::{Command, Mailbox, Up, Upstairs};
use crate::outbox::{Account, Ledger, Outbox, Packet, reason};
use crate::sys::{Arena, Epoll, Received, SLOT, SLOTS, dont_fragment, receive_trains};

/// Datagrams or trains that a relay socket may have read in one turn: others wait.
const RELAY_SHARE: usize = 8;
/// Items that wait to be handed up before they are.
const HAND_UP_EVERY: usize = 256;

const BELL: u64 = u64::MAX;
const RELAY: u64 = 1 << 63;

struct Listener {
    socket: Arc<Socket>,
    address: SocketAddr,
    wildcard: bool,
}

struct RelaySocket {
    id: RelayId,
    socket: Arc<Socket>,
    address: SocketAddr,
    tally: Tally,
}

/// What a thread owns. Relay sockets are kept in places, and the table knows them by their place.
pub struct Worker {
    thread: u64,
    mailbox: Arc<Mailbox>,
    upstairs: Arc<Upstairs>,
    books: Arc<Books>,
    epoll: Epoll,
    table: Table,
    listeners: HashMap<u32, Listener>,
    relays: Vec<Option<RelaySocket>>,
    places: HashMap<RelayId, u32>,
    free: Vec<u32>,
    arena: Arena,
    outbox: Outbox,
    up: Vec<Up>,
    transaction: u128,
    tokens: Vec<u64>,
    is_stopping: bool,
}

/// The books of a batch: totals of the thread, and of each relay socket.
struct Accounts<'a> {
    books: &'a Books,
    relays: &'a mut [Option<RelaySocket>],
}

impl Ledger for Accounts<'_> {
    fn sent(&mut self, account: Account, bytes: u32) {
        let way = way(account.to_peer, account.by_channel);
        self.books.relayed(way, u64::from(bytes));
        if let Some(relay) = &mut self.relays[account.relay as usize] {
            relay.tally.packets[way] += 1;
            relay.tally.bytes[way] += u64::from(bytes);
        }
    }

    fn dropped(&mut self, reason: Reason) {
        self.books.dropped(reason);
    }
}

impl Worker {
    /// A thread without sockets; `seed` is where its transaction ids begin.
    pub fn new(
        thread: u64,
        aliases: &[(IpAddr, IpAddr)],
        seed: u128,
        mailbox: Arc<Mailbox>,
        upstairs: Arc<Upstairs>,
        books: Arc<Books>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.watch(mailbox.as_raw_fd(), BELL)?;
        Ok(Worker {
            thread,
            mailbox,
            upstairs,
            books,
            epoll,
            table: Table::new(aliases),
            listeners: HashMap::new(),
            relays: Vec::new(),
            places: HashMap::new(),
            free: Vec::new(),
            arena: Arena::new(),
            outbox: Outbox::default(),
            up: Vec::new(),
            transaction: seed,
            tokens: Vec::new(),
            is_stopping: false,
        })
    }

    /// Turns until it is told to stop. A panic costs the batch that it happened in; the sockets stay, and so do the
    /// routes.
    pub fn run(mut self) {
        while !self.is_stopping {
            if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
                self.books.panicked();
                self.arena.clear();
                self.outbox = Outbox::default();
                self.up.clear();
            }
        }
    }

    fn turn(&mut self) {
        let mut tokens = std::mem::take(&mut self.tokens);
        if self.epoll.wait(&mut tokens, -1).is_err() {
            // Only a descriptor that is none makes epoll fail, and this one lives as long as we do.
            self.is_stopping = true;
        }
        self.obey();
        for &token in &tokens {
            if token == BELL {
                continue;
            }
            if token & RELAY == 0 {
                self.read_listener(token as u32);
            } else {
                self.read_relay((token & !RELAY) as u32);
            }
        }
        self.tokens = tokens;
        self.flush();
        self.arena.clear();
        self.hand_up();
    }

    // Packets

    fn read_listener(&mut self, number: u32) {
        self.make_room(SLOTS);
        let Some(listener) = self.listeners.get(&number) else { return };
        let (address, descriptor) = (listener.address, listener.socket.as_raw_fd());
        if self.arena.receive(descriptor, SLOTS).is_err() {
            return; // nothing there, or an ICMP error that an earlier packet drew
        }
        // A client may have been answered while we waited, and its routes set: they count for what it sent since.
        self.obey();
        for slot in 0..self.arena.len() {
            let received = self.arena.received(slot);
            let local = received.local.unwrap_or(address.ip());
            let server = SocketAddr::new(local, address.port());
            let five_tuple = FiveTuple { transport: Transport::Udp, client: received.source, server };
            for (start, end) in segments(slot, received) {
                self.on_message(number, self.thread, five_tuple, start, end);
            }
        }
    }

    fn on_message(&mut self, listener: u32, path: u64, five_tuple: FiveTuple, start: usize, end: usize) {
        match self.table.judge_client(&five_tuple, &self.arena.bytes()[start..end]) {
            FromClient::Forward(forward) => self.forward(&forward, start),
            FromClient::Drop(reason) => self.books.dropped(reason),
            FromClient::HandUp if five_tuple.client.port() == 0 => self.books.dropped(Reason::PortZero),
            FromClient::HandUp => {
                let data = self.arena.bytes()[start..end].into();
                self.up.push(Up::Datagram { listener, path, five_tuple, data });
                if self.up.len() >= HAND_UP_EVERY {
                    self.hand_up();
                }
            }
        }
    }

    fn forward(&mut self, forward: &Forward, start: usize) {
        let place = forward.relay as u32;
        if let Some(relay) = &self.relays[place as usize] {
            self.outbox.push(Packet {
                socket: relay.socket.as_raw_fd(),
                to: forward.peer,
                from: None,
                header: (0, 0),
                body: ((start + forward.data.start) as u32, forward.data.len() as u32),
                padding: 0,
                account: Account { relay: place, to_peer: true, by_channel: forward.by_channel },
            });
        }
    }

    fn read_relay(&mut self, place: u32) {
        self.make_room(1);
        let Some(Some(relay)) = self.relays.get(place as usize) else { return };
        let first = self.arena.len();
        if self.arena.receive(relay.socket.as_raw_fd(), RELAY_SHARE).is_err() {
            return;
        }
        self.obey();
        for slot in first..self.arena.len() {
            let received = self.arena.received(slot);
            let verdict = self.table.judge_peer(u64::from(place), received.source);
            for (start, end) in segments(slot, received) {
                match verdict {
                    FromPeer::Drop(reason) => self.books.dropped(reason),
                    FromPeer::Channel(number) => self.on_peer_packet(place, Some(number), received.source, start, end),
                    FromPeer::Indication(peer) => self.on_peer_packet(place, None, peer, start, end),
                }
            }
        }
    }

    fn on_peer_packet(&mut self, place: u32, number: Option<u16>, peer: SocketAddr, start: usize, end: usize) {
        let Some(&client) = self.table.client(u64::from(place)) else { return };
        let length = end - start;
        let mut header = [0; 48];
        let (used, padding) = match number {
            Some(number) => {
                let is_stream = client.five_tuple.transport != Transport::Udp;
                channel_header(&mut header, number, length, is_stream)
            }
            None => {
                self.transaction = self.transaction.wrapping_add(1);
                data_indication_header(&mut header, self.transaction, peer, length)
            }
        };
        let account = Account { relay: place, to_peer: false, by_channel: number.is_some() };
        if client.five_tuple.transport != Transport::Udp {
            let body = &self.arena.bytes()[start..end];
            let data = [&header[..used], body, &[0; 4][..padding]].concat().into();
            self.up.push(Up::Stream { listener: client.listener, path: client.path, data });
            self.accounts().sent(account, length as u32);
            return;
        }
        let Some(listener) = self.listeners.get(&client.listener) else {
            return self.books.dropped(Reason::Unreachable);
        };
        let packet = Packet {
            socket: listener.socket.as_raw_fd(),
            to: client.five_tuple.client,
            from: listener.wildcard.then_some(client.five_tuple.server.ip()),
            header: self.outbox.header(&header[..used]),
            body: (start as u32, length as u32),
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
    fn flush(&mut self) {
        let mut accounts = Accounts { books: &self.books, relays: &mut self.relays };
        self.outbox.flush(self.arena.bytes(), &mut accounts);
    }

    fn accounts(&mut self) -> Accounts<'_> {
        Accounts { books: &self.books, relays: &mut self.relays }
    }

    fn hand_up(&mut self) {
        let refused = self.upstairs.hand_up(&mut self.up);
        (0..refused).for_each(|_| self.books.dropped(Reason::SendBuffer));
    }

    // Commands

    fn obey(&mut self) {
        for command in self.mailbox.take() {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::OpenListener { listener, socket, address, wildcard } => {
                receive_trains(socket.as_raw_fd());
                if self.epoll.watch(socket.as_raw_fd(), u64::from(listener)).is_ok() {
                    self.listeners.insert(listener, Listener { socket, address, wildcard });
                }
            }
            Command::CloseListener(listener) => {
                self.flush();
                if let Some(listener) = self.listeners.remove(&listener) {
                    self.epoll.forget(listener.socket.as_raw_fd());
                }
            }
            Command::OpenRelay { relay, socket, address, tally } => self.open_relay(relay, socket, address, tally),
            Command::CloseRelay(relay, answer) => {
                let _ = answer.send(self.close_relay(relay));
            }
            Command::Usage(relay, answer) => {
                let tally = self.place(relay).and_then(|place| self.relays[place as usize].as_ref());
                let _ = answer.send(tally.map_or_else(Tally::default, |relay| relay.tally));
            }
            Command::SendFromRelay { relay, peer, data, dont_fragment } => {
                self.send_from_relay(relay, peer, &data, dont_fragment);
            }
            Command::Deliver { client, data } => self.deliver(&client, &data),
            Command::Live(address) => self.table.live(address),
            Command::Perish(address) => self.table.perish(address),
            Command::Deny(peers) => self.table.deny(&peers),
            Command::Sync(answer) => {
                let _ = answer.send(());
            }
            #[cfg(feature = "panic-injection")]
            Command::Panic => panic!("asked for"),
            Command::Stop => self.is_stopping = true,
            other => self.change_routes(other),
        }
    }

    fn change_routes(&mut self, command: Command) {
        let place = |worker: &Self, relay| worker.place(relay).map(u64::from);
        match command {
            Command::SetClient(relay, client) => {
                if let Some(relay) = place(self, relay) {
                    self.table.set_client(relay, client);
                }
            }
            Command::Permit(permission) => {
                if let Some(relay) = place(self, permission.relay) {
                    self.table.permit(routes::Permission { relay, ..permission });
                }
            }
            Command::Revoke(permission) => {
                if let Some(relay) = place(self, permission.relay) {
                    self.table.revoke(routes::Permission { relay, ..permission });
                }
            }
            Command::Bind(channel) => {
                if let Some(relay) = place(self, channel.relay) {
                    self.table.bind(routes::Channel { relay, ..channel });
                }
            }
            Command::Unbind(channel) => {
                if let Some(relay) = place(self, channel.relay) {
                    self.table.unbind(routes::Channel { relay, ..channel });
                }
            }
            Command::Routes(answer) => {
                let id = |place: RelayId| self.relays[place as usize].as_ref().map_or(0, |relay| relay.id);
                let (mut permissions, mut channels) = self.table.routes();
                permissions.iter_mut().for_each(|row| row.relay = id(row.relay));
                channels.iter_mut().for_each(|row| row.relay = id(row.relay));
                let _ = answer.send((permissions, channels));
            }
            _ => {}
        }
    }

    fn place(&self, relay: RelayId) -> Option<u32> {
        self.places.get(&relay).copied()
    }

    fn open_relay(&mut self, relay: RelayId, socket: Arc<Socket>, address: SocketAddr, tally: Tally) {
        receive_trains(socket.as_raw_fd());
        let place = self.free.pop().unwrap_or_else(|| {
            self.relays.push(None);
            (self.relays.len() - 1) as u32
        });
        if self.epoll.watch(socket.as_raw_fd(), RELAY | u64::from(place)).is_err() {
            self.free.push(place);
            return;
        }
        self.relays[place as usize] = Some(RelaySocket { id: relay, socket, address, tally });
        self.places.insert(relay, place);
        self.table.open(u64::from(place), address);
        self.table.live(address);
    }

    fn close_relay(&mut self, relay: RelayId) -> Tally {
        let Some(place) = self.places.remove(&relay) else { return Tally::default() };
        self.flush();
        let Some(closed) = self.relays[place as usize].take() else { return Tally::default() };
        self.epoll.forget(closed.socket.as_raw_fd());
        self.table.close(u64::from(place));
        self.table.perish(closed.address);
        self.free.push(place);
        closed.tally
    }

    fn send_from_relay(&mut self, relay: RelayId, peer: SocketAddr, data: &[u8], unfragmented: bool) {
        let Some(place) = self.place(relay) else { return self.books.dropped(Reason::NoAllocation) };
        if let Err(reason) = self.table.may_send(u64::from(place), peer) {
            return self.books.dropped(reason);
        }
        let Some(open) = &self.relays[place as usize] else { return };
        let (descriptor, is_ipv4) = (open.socket.as_raw_fd(), open.address.is_ipv4());
        if unfragmented {
            let _ = dont_fragment(descriptor, is_ipv4, true);
        }
        let sent = open.socket.send_to(data, &peer.into());
        if unfragmented {
            let _ = dont_fragment(descriptor, is_ipv4, false);
        }
        match sent {
            Ok(_) => {
                let account = Account { relay: place, to_peer: true, by_channel: false };
                self.accounts().sent(account, data.len() as u32);
            }
            Err(error) => self.books.dropped(reason(&error)),
        }
    }

    /// A stream client's message: forwarded at once, or handed up.
    fn deliver(&mut self, client: &Client, data: &[u8]) {
        match self.table.judge_client(&client.five_tuple, data) {
            FromClient::Forward(forward) => {
                let place = forward.relay as usize;
                let Some(open) = &self.relays[place] else { return };
                match open.socket.send_to(&data[forward.data.clone()], &forward.peer.into()) {
                    Ok(sent) => {
                        let account = Account { relay: place as u32, to_peer: true, by_channel: forward.by_channel };
                        self.accounts().sent(account, sent as u32);
                    }
                    Err(error) => self.books.dropped(reason(&error)),
                }
            }
            FromClient::Drop(reason) => self.books.dropped(reason),
            FromClient::HandUp => self.up.push(Up::Datagram {
                listener: client.listener,
                path: client.path,
                five_tuple: client.five_tuple,
                data: data.into(),
            }),
        }
    }
}

/// Start and end, in the arena's bytes, of each packet of a train; an empty datagram is one packet too.
fn segments(slot: usize, received: Received) -> impl Iterator<Item = (usize, usize)> {
    let (start, end) = (slot * SLOT, slot * SLOT + received.length);
    let count = received.length.div_ceil(received.segment).max(1);
    (0..count).map(move |index| {
        let first = start + index * received.segment;
        (first, end.min(first + received.segment))
    })
}
