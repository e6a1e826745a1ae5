//! Relay sockets, their clients, permissions and channels.

mod verdict;

use std::net::{IpAddr, SocketAddr};

pub use self::verdict::{Forward, FromClient, FromPeer};
use crate::hash::Keyed;
use crate::share::Share;

type HashMap<K, V> = std::collections::HashMap<K, V, Keyed>;
type HashSet<K> = std::collections::HashSet<K, Keyed>;

/// One relay socket, as the owner of the table numbers them.
pub type RelayId = u64;

/// Nanoseconds of the clock that the table is told the time by.
pub type Moment = u64;
/// The deadline of what does not end by itself.
pub const NEVER: Moment = Moment::MAX;

/// What carries a client's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Dtls,
}

/// What tells clients apart (RFC 8656 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct FiveTuple {
    pub transport: Transport,
    pub client: SocketAddr,
    pub server: SocketAddr,
}

/// Which ports of a permitted host may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// all of them
    Any,
    /// only those of open relay sockets
    OwnRelayed,
}

/// A host that a relay socket may exchange packets with (RFC 8656 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Permission {
    pub relay: RelayId,
    pub host: IpAddr,
    pub ports: Ports,
}

/// A channel number bound to a peer (RFC 8656 section 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Channel {
    pub relay: RelayId,
    pub number: u16,
    pub peer: SocketAddr,
}

/// A client and where its messages come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Client {
    pub five_tuple: FiveTuple,
    pub listener: u32,
    pub path: u64,
}

/// What has a deadline.
#[derive(Clone, Copy, Debug)]
struct Timed<T> {
    value: T,
    until: Moment,
}

#[derive(Debug)]
struct Relay {
    address: SocketAddr,
    client: Option<Client>,
    until: Moment,
    /// the channel that was bound last
    latest: Option<(u16, SocketAddr)>,
    /// that one again for as long as its packets may pass: most have no other, and it is found without a look into the
    /// maps
    lane: Option<Timed<(u16, SocketAddr)>>,
    permissions: HashMap<IpAddr, Timed<Ports>>,
    peer_by_number: HashMap<u16, Timed<SocketAddr>>,
    number_by_peer: HashMap<SocketAddr, u16>,
}

impl Relay {
    /// To be called when a route or a deadline has changed.
    fn renew_lane(&mut self) {
        self.lane = self.latest.and_then(|(number, peer)| {
            let bound = self.peer_by_number.get(&number).filter(|bound| bound.value == peer && peer.port() != 0)?;
            let permitted = self.permissions.get(&peer.ip()).filter(|permitted| permitted.value == Ports::Any)?;
            Some(Timed { value: (number, peer), until: self.until.min(bound.until).min(permitted.until) })
        });
    }
}

/// What a client has; its share is new when it had nothing.
#[derive(Debug, Default)]
struct Owned {
    ipv4: Option<RelayId>,
    ipv6: Option<RelayId>,
    share: Share,
}

impl Owned {
    fn slot(&mut self, ipv4: bool) -> &mut Option<RelayId> {
        if ipv4 { &mut self.ipv4 } else { &mut self.ipv6 }
    }

    fn of(&self, ipv4: bool) -> Option<RelayId> {
        if ipv4 { self.ipv4 } else { self.ipv6 }
    }
}

/// Permissions and channels with their deadlines.
pub type Routes = (Vec<(Permission, Moment)>, Vec<(Channel, Moment)>);

/// Everything that one thread needs to judge a packet.
#[derive(Debug, Default)]
pub struct Table {
    now: Moment,
    relays: HashMap<RelayId, Relay>,
    clients: HashMap<FiveTuple, Owned>,
    living: HashSet<SocketAddr>,
    bound_by_told: HashMap<IpAddr, IpAddr>,
    told_by_bound: HashMap<IpAddr, IpAddr>,
    denied: HashSet<SocketAddr>,
}

impl Table {
    /// An empty table. `aliases` are pairs of the host that clients are told and the one that is bound (1:1 NAT).
    #[must_use]
    pub fn new(aliases: &[(IpAddr, IpAddr)]) -> Self {
        Table {
            bound_by_told: aliases.iter().copied().collect(),
            told_by_bound: aliases.iter().map(|&(told, bound)| (bound, told)).collect(),
            ..Table::default()
        }
    }

    /// What time it is, as it has been said.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Says what time it is: what has a deadline passes packets before that alone.
    pub fn tell_time(&mut self, now: Moment) {
        self.now = now;
    }

    /// A relay socket is open, here or on another thread: its address may be a peer.
    pub fn live(&mut self, address: SocketAddr) {
        self.living.insert(address);
    }

    /// A relay socket is closed, here or on another thread.
    pub fn perish(&mut self, address: SocketAddr) {
        self.living.remove(&address);
    }

    /// No indication passes to or from exactly these peers, our own listeners; others are denied no longer.
    pub fn deny(&mut self, peers: &[SocketAddr]) {
        self.denied = peers.iter().copied().collect();
    }

    /// Adds a relay socket of this thread.
    pub fn open(&mut self, relay: RelayId, address: SocketAddr) {
        self.relays.insert(
            relay,
            Relay {
                address,
                client: None,
                until: NEVER,
                latest: None,
                lane: None,
                permissions: HashMap::default(),
                peer_by_number: HashMap::default(),
                number_by_peer: HashMap::default(),
            },
        );
    }

    /// Removes a relay socket and its routes; of one that is not there, nothing.
    pub fn close(&mut self, relay: RelayId) {
        self.detach(relay);
        self.relays.remove(&relay);
    }

    /// Says whose relay socket it is. One that the client had in the same family has nobody from then on.
    pub fn set_client(&mut self, relay: RelayId, client: Client) {
        if self.client(relay).is_none_or(|before| before.five_tuple != client.five_tuple) {
            self.detach(relay);
        }
        let Some(row) = self.relays.get_mut(&relay) else { return };
        row.client = Some(client);
        let owned = self.clients.entry(client.five_tuple).or_default();
        let before = owned.slot(row.address.is_ipv4()).replace(relay).filter(|&before| before != relay);
        if let Some(row) = before.and_then(|before| self.relays.get_mut(&before)) {
            row.client = None;
        }
    }

    /// From a moment on nothing passes a relay socket, as if it were closed.
    pub fn set_deadline(&mut self, relay: RelayId, until: Moment) {
        if let Some(row) = self.relays.get_mut(&relay) {
            row.until = until;
            row.renew_lane();
        }
    }

    fn detach(&mut self, relay: RelayId) {
        let Some(row) = self.relays.get_mut(&relay) else {
            return;
        };
        let Some(client) = row.client.take() else {
            return;
        };
        if let Some(owned) = self.clients.get_mut(&client.five_tuple) {
            let slot = owned.slot(row.address.is_ipv4());
            if *slot == Some(relay) {
                *slot = None;
            }
            if owned.ipv4.is_none() && owned.ipv6.is_none() {
                self.clients.remove(&client.five_tuple);
            }
        }
    }

    /// Permits a host until a moment, or changes which of its ports, or until when.
    pub fn permit(&mut self, permission: Permission, until: Moment) {
        if let Some(row) = self.relays.get_mut(&permission.relay) {
            row.permissions.insert(permission.host, Timed { value: permission.ports, until });
            row.renew_lane();
        }
    }

    /// Takes exactly this permission away.
    pub fn revoke(&mut self, permission: Permission) {
        if let Some(row) = self.relays.get_mut(&permission.relay) {
            if row.permissions.get(&permission.host).is_some_and(|permitted| permitted.value == permission.ports) {
                row.permissions.remove(&permission.host);
                row.renew_lane();
            }
        }
    }

    /// Binds a channel until a moment, in place of what was bound to the same number or the same peer.
    pub fn bind(&mut self, channel: Channel, until: Moment) {
        if let Some(row) = self.relays.get_mut(&channel.relay) {
            if let Some(bound) = row.peer_by_number.insert(channel.number, Timed { value: channel.peer, until }) {
                row.number_by_peer.remove(&bound.value);
            }
            if let Some(number) = row.number_by_peer.insert(channel.peer, channel.number) {
                if number != channel.number {
                    row.peer_by_number.remove(&number);
                }
            }
            row.latest = Some((channel.number, channel.peer));
            row.renew_lane();
        }
    }

    /// Takes exactly this channel away.
    pub fn unbind(&mut self, channel: Channel) {
        if let Some(row) = self.relays.get_mut(&channel.relay) {
            if row.peer_by_number.get(&channel.number).is_some_and(|bound| bound.value == channel.peer) {
                row.peer_by_number.remove(&channel.number);
                row.number_by_peer.remove(&channel.peer);
                row.renew_lane();
            }
        }
    }

    /// What a client may send up, if it has a relay socket here.
    #[must_use]
    pub fn share(&self, client: &FiveTuple) -> Option<&Share> {
        self.clients.get(client).map(|owned| &owned.share)
    }

    /// The client of a relay socket.
    #[must_use]
    pub fn client(&self, relay: RelayId) -> Option<&Client> {
        self.relays.get(&relay)?.client.as_ref()
    }

    /// Every permission and every channel with its deadline, be it over or not.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let permissions = self.relays.iter().flat_map(|(&relay, row)| {
            let permission = move |host, ports| Permission { relay, host, ports };
            row.permissions.iter().map(move |(&host, row)| (permission(host, row.value), row.until))
        });
        let channels = self.relays.iter().flat_map(|(&relay, row)| {
            let channel = move |number, peer| Channel { relay, number, peer };
            row.peer_by_number.iter().map(move |(&number, row)| (channel(number, row.value), row.until))
        });
        (permissions.collect(), channels.collect())
    }
}
