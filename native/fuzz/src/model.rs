//! What a worker is meant to do, said plainly: rows in lists, one packet after the other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use engine::{Channel, Client, Door, FiveTuple, Moment, NEVER, Permission, Ports, Reason, RelayId, Transport};

use crate::plain::{self, Said};
use crate::requests::{self, Asked};

/// Messages of strangers that wait for the core.
const MOST_STRANGERS: usize = 256;
/// What waits for streams; one may have an eighth of what is free.
const MOST_FOR_STREAMS: usize = 8192;
/// What a client may send up at once, with a nonce of its own and without. No course lasts until there is more again.
const MOST_OF_ONE: [usize; 2] = [512, 256];

/// Bytes that are to leave, or an indication whose transaction id the worker chooses.
#[derive(Clone, Debug)]
pub enum Frame {
    Plain(Vec<u8>),
    Indication { peer: SocketAddr, data: Vec<u8> },
}

impl Frame {
    /// The bytes, with the transaction id of those that left.
    pub fn of(&self, left: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Frame::Plain(bytes) => Cow::Borrowed(bytes),
            Frame::Indication { peer, data } => {
                let transaction = left.get(8..20).unwrap_or(&[0; 12]);
                Cow::Owned(plain::indication(0x17, transaction, *peer, data).expect("a length that fits"))
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct HandedUp {
    pub listener: u32,
    pub five_tuple: FiveTuple,
    pub data: Frame,
}

/// What a turn comes to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub departures: BTreeMap<(Door, SocketAddr, Option<IpAddr>), Vec<Frame>>,
    /// of clients that are known; for streams; of those that bring their nonce; of strangers
    pub up: [Vec<HandedUp>; 4],
    pub dropped: BTreeMap<u8, (Reason, u64)>,
}

#[derive(Debug)]
pub struct Row {
    address: SocketAddr,
    client: Option<Client>,
    until: Moment,
    permissions: Vec<(Permission, Moment)>,
    channels: Vec<(Channel, Moment)>,
}

#[derive(Debug, Default)]
pub struct Model {
    pub now: Moment,
    pub listeners: BTreeSet<u32>,
    pub relays: BTreeMap<RelayId, Row>,
    pub denied: Vec<SocketAddr>,
    /// what clients have sent up since they have been known
    pub spent: Vec<(FiveTuple, [usize; 2])>,
    pub outcome: Outcome,
}

type Judged<T> = Result<T, Reason>;

impl Model {
    pub fn open(&mut self, relay: RelayId, address: SocketAddr) {
        let (permissions, channels) = (Vec::new(), Vec::new());
        self.relays.insert(relay, Row { address, client: None, until: NEVER, permissions, channels });
    }

    /// A client has one relay socket of each family.
    pub fn attach(&mut self, relay: RelayId, client: Client) {
        let Some(is_ipv4) = self.relays.get(&relay).map(|row| row.address.is_ipv4()) else { return };
        for row in self.relays.values_mut().filter(|row| row.address.is_ipv4() == is_ipv4) {
            row.client.take_if(|owner| owner.five_tuple == client.five_tuple);
        }
        self.relays.get_mut(&relay).expect("it is there").client = Some(client);
        self.forget();
    }

    pub fn close(&mut self, relay: RelayId) {
        self.relays.remove(&relay);
        self.forget();
    }

    /// Who has no relay socket any more begins anew.
    fn forget(&mut self) {
        let owners: Vec<FiveTuple> = self.relays.values().filter_map(|row| Some(row.client?.five_tuple)).collect();
        self.spent.retain(|(client, _)| owners.contains(client));
    }

    pub fn set_deadline(&mut self, relay: RelayId, until: Moment) {
        self.relays.entry(relay).and_modify(|row| row.until = until);
    }

    pub fn permit(&mut self, permission: Permission, until: Option<Moment>) {
        let Some(row) = self.relays.get_mut(&permission.relay) else { return };
        match until {
            Some(until) => {
                row.permissions.retain(|(old, _)| old.host != permission.host);
                row.permissions.push((permission, until));
            }
            None => row.permissions.retain(|(old, _)| *old != permission),
        }
    }

    pub fn bind(&mut self, channel: Channel, until: Option<Moment>) {
        let Some(row) = self.relays.get_mut(&channel.relay) else { return };
        match until {
            Some(until) => {
                row.channels.retain(|(old, _)| old.number != channel.number && old.peer != channel.peer);
                row.channels.push((channel, until));
            }
            None => row.channels.retain(|(old, _)| *old != channel),
        }
    }

    /// The channels of a row that have not ended.
    fn channels<'a>(&self, row: &'a Row) -> impl Iterator<Item = &'a Channel> {
        let now = self.now;
        row.channels.iter().filter(move |(_, until)| now < *until).map(|(channel, _)| channel)
    }

    fn may(&self, row: &Row, peer: SocketAddr, by_channel: bool) -> Judged<()> {
        let is_it = |(permission, until): &&(Permission, Moment)| permission.host == peer.ip() && self.now < *until;
        let permission = row.permissions.iter().find(is_it).map(|(permission, _)| permission);
        let is_living = self.relays.values().any(|row| row.address == peer);
        match permission {
            None => Err(Reason::NoPermission),
            Some(_) if !by_channel && self.denied.contains(&peer) => Err(Reason::PeerDenied),
            Some(_) if peer.port() == 0 => Err(Reason::PortZero),
            Some(permission) if permission.ports == Ports::OwnRelayed && !is_living => Err(Reason::PeerNotAllocated),
            Some(_) => Ok(()),
        }
    }

    /// Where a client's data is to go; None when what it says is for the core.
    fn way<'a>(&self, five_tuple: &FiveTuple, message: &'a [u8]) -> Option<Judged<(RelayId, SocketAddr, &'a [u8])>> {
        let owned: Vec<(&RelayId, &Row)> = self
            .relays
            .iter()
            .filter(|(_, row)| row.client.is_some_and(|client| client.five_tuple == *five_tuple))
            .filter(|(_, row)| self.now < row.until)
            .collect();
        let judged = match plain::read(message) {
            Said::Other => return None,
            Said::Nothing(reason) => Err(reason),
            _ if owned.is_empty() => Err(Reason::NoAllocation),
            Said::Channel(number, data) => {
                // IPv4 is asked first.
                let mut rows = owned.clone();
                rows.sort_by_key(|(_, row)| row.address.is_ipv6());
                let all =
                    rows.iter().flat_map(|(relay, row)| self.channels(row).map(move |channel| (relay, row, channel)));
                let found = all.into_iter().find(|(_, _, channel)| channel.number == number);
                found.ok_or(Reason::NoChannel).and_then(|(relay, row, channel)| {
                    self.may(row, channel.peer, true).map(|()| (**relay, channel.peer, data))
                })
            }
            Said::Send(peer, data) => {
                let found = owned.iter().find(|(_, row)| row.address.is_ipv4() == peer.is_ipv4());
                found
                    .ok_or(Reason::PeerFamily)
                    .and_then(|(relay, row)| self.may(row, peer, false).map(|()| (**relay, peer, data)))
            }
        };
        Some(judged)
    }

    pub fn client_says(&mut self, client: Client, message: &[u8]) {
        match self.way(&client.five_tuple, message) {
            None if client.five_tuple.client.port() == 0 => self.drop(Reason::PortZero),
            None if message.len() > 2048 && !self.knows(client) => self.drop(Reason::TooLarge),
            None if self.answers(client, message) => {}
            None => self.asks(client, message),
            Some(judged) => self.relayed(judged),
        }
    }

    /// Whether it is a Binding request that needs no core.
    fn answers(&mut self, client: Client, message: &[u8]) -> bool {
        let source = client.five_tuple.client;
        match plain::answer(message, source) {
            None => return false,
            Some(Err(reason)) => self.drop(reason),
            Some(Ok(answer)) => {
                let length = answer.len();
                self.leaves(Door::Listener(client.listener), source, our_address(client), Frame::Plain(answer), length);
            }
        }
        true
    }

    fn knows(&self, client: Client) -> bool {
        self.relays.values().any(|row| row.client.is_some_and(|owner| owner.five_tuple == client.five_tuple))
    }

    /// What is for the core is challenged, or waits in its line.
    fn asks(&mut self, client: Client, message: &[u8]) {
        let source = client.five_tuple.client;
        let asked = requests::read(message, source);
        let line = match asked {
            Asked::Unsigned(stamped) => {
                let challenge = Frame::Plain(requests::challenge(message, stamped, source));
                return self.leaves(Door::Listener(client.listener), source, our_address(client), challenge, 0);
            }
            _ if self.knows(client) && !self.spend(client, asked == Asked::Signed(true), message) => {
                return self.drop(Reason::RateLimited);
            }
            _ if self.knows(client) => 0,
            Asked::Signed(true) => 2,
            _ if self.outcome.up[3].len() == MOST_STRANGERS => return self.drop(Reason::SendBuffer),
            _ => 3,
        };
        let (listener, five_tuple) = (client.listener, client.five_tuple);
        self.outcome.up[line].push(HandedUp { listener, five_tuple, data: Frame::Plain(message.to_vec()) });
    }

    /// Whether a known client has as much left; one token for every 2048 bytes that are begun.
    fn spend(&mut self, client: Client, is_proven: bool, message: &[u8]) -> bool {
        let (kind, price) = (usize::from(is_proven), message.len().div_ceil(2048));
        let place = self.spent.iter().position(|(spender, _)| *spender == client.five_tuple).unwrap_or_else(|| {
            self.spent.push((client.five_tuple, [0; 2]));
            self.spent.len() - 1
        });
        let spent = &mut self.spent[place].1[kind];
        let may = *spent + price <= MOST_OF_ONE[kind];
        *spent += if may { price } else { 0 };
        may
    }

    /// What is for the core has been found to be so before.
    pub fn stream_says(&mut self, client: Client, message: &[u8]) {
        if let Some(judged) = self.way(&client.five_tuple, message) {
            self.relayed(judged);
        }
    }

    pub fn send(&mut self, relay: RelayId, peer: SocketAddr, data: &[u8]) {
        let judged = match self.relays.get(&relay).filter(|row| self.now < row.until) {
            None => Err(Reason::NoAllocation),
            Some(row) => self.may(row, peer, false).map(|()| (relay, peer, data)),
        };
        self.relayed(judged);
    }

    fn relayed(&mut self, judged: Judged<(RelayId, SocketAddr, &[u8])>) {
        match judged {
            Ok((relay, peer, data)) => {
                self.leaves(Door::Relay(relay), peer, None, Frame::Plain(data.to_vec()), data.len())
            }
            Err(reason) => self.drop(reason),
        }
    }

    pub fn peer_says(&mut self, relay: RelayId, peer: SocketAddr, data: &[u8]) {
        // What is not open hears nothing.
        let Some(row) = self.relays.get(&relay) else { return };
        let channel = self.channels(row).find(|channel| channel.peer == peer).map(|channel| channel.number);
        let Some(client) = row.client.filter(|_| self.now < row.until) else { return self.drop(Reason::NoAllocation) };
        if let Err(reason) = self.may(row, peer, channel.is_some()) {
            return self.drop(reason);
        }
        let is_stream = client.five_tuple.transport != Transport::Udp;
        let framed = match channel {
            Some(number) => {
                plain::channel_data(number, data, is_stream).map(|bytes| (bytes.len(), Frame::Plain(bytes)))
            }
            None => plain::indication(0x17, &[0; 12], peer, data)
                .map(|bytes| (bytes.len(), Frame::Indication { peer, data: data.to_vec() })),
        };
        let Some((length, frame)) = framed else { return self.drop(Reason::TooLarge) };
        if is_stream {
            let waiting = self.outcome.up[1].len();
            if waiting * 8 >= MOST_FOR_STREAMS - waiting {
                return self.drop(Reason::SendBuffer);
            }
            let (listener, five_tuple) = (client.listener, client.five_tuple);
            self.outcome.up[1].push(HandedUp { listener, five_tuple, data: frame });
        } else if !self.listeners.contains(&client.listener) {
            self.drop(Reason::Unreachable);
        } else {
            let to = client.five_tuple.client;
            self.leaves(Door::Listener(client.listener), to, our_address(client), frame, length);
        }
    }

    fn leaves(&mut self, door: Door, to: SocketAddr, from: Option<IpAddr>, frame: Frame, length: usize) {
        let longest = if to.is_ipv4() { 65_507 } else { 65_527 };
        if length > longest {
            return self.drop(Reason::TooLarge);
        }
        self.outcome.departures.entry((door, to, from)).or_default().push(frame);
    }

    fn drop(&mut self, reason: Reason) {
        self.outcome.dropped.entry(reason as u8).or_insert((reason, 0)).1 += 1;
    }
}

/// Which of our addresses an answer leaves from: a listener that hears all of them is told.
fn our_address(client: Client) -> Option<IpAddr> {
    (client.listener == 2).then(|| client.five_tuple.server.ip())
}
