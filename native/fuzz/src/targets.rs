//! The targets by their names.

use std::net::SocketAddr;
use std::sync::OnceLock;

use engine::NOW;
use routes::{
    Asked, Channel, Client, FiveTuple, Forward, FromClient, FromPeer, METHODS, NEVER, Permission, Ports, Reason,
    RelayId, Table, Transport,
};

use crate::course;
use crate::input::Input;
use crate::plain::{Said, read};
use crate::requests;

/// What is done with any bytes.
pub type Target = fn(&[u8]);

/// Every target.
pub const TARGETS: [(&str, Target); 3] = [("classify", classify), ("challenge", challenge), ("engine", course::run)];

/// A target by its name; there is no other use for one that does not exist than to panic.
#[must_use]
pub fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|row| row.0 == name).expect("a target of that name").1
}

/// A table that has something of everything, and the rows it was made of.
struct World {
    table: Table,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
}

const LISTENER: u32 = 1;
/// Client A has relay sockets of both families, B, over TCP, one of IPv4; C has none.
const A_IPV4: RelayId = 1;
const A_IPV6: RelayId = 2;
const B_IPV4: RelayId = 3;
const RELAYS: [(RelayId, usize, &str); 3] =
    [(A_IPV4, 0, "127.83.0.1:20001"), (A_IPV6, 0, "[::1]:20002"), (B_IPV4, 1, "127.83.0.1:20003")];
const PERMISSIONS: [(RelayId, &str, Ports); 5] = [
    (A_IPV4, "127.83.0.2", Ports::Any),
    (A_IPV4, "127.83.0.3", Ports::OwnRelayed),
    (A_IPV4, "127.83.0.1", Ports::OwnRelayed),
    (A_IPV6, "::1", Ports::Any),
    (B_IPV4, "127.83.0.2", Ports::Any),
];
const CHANNELS: [(RelayId, u16, &str); 7] = [
    (A_IPV4, 0x4000, "127.83.0.2:20004"),
    (A_IPV4, 0x4001, "127.83.0.3:20005"),
    (A_IPV4, 0x4002, "127.83.0.4:20006"),
    (A_IPV4, 0x4003, "127.83.0.1:20003"),
    (A_IPV6, 0x4004, "[::1]:20007"),
    (B_IPV4, 0x4000, "127.83.0.2:20004"),
    (B_IPV4, 0x7fff, "127.83.0.2:20008"),
];
const DENIED: &str = "127.83.0.2:20009";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn five_tuple(speaker: usize) -> FiveTuple {
    let transport = if speaker == 1 { Transport::Tcp } else { Transport::Udp };
    let client = SocketAddr::new(address("127.83.0.8:0").ip(), 20010 + speaker as u16);
    FiveTuple { transport, client, server: address("127.83.0.1:20000") }
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut table = Table::new(&[]);
        for (relay, owner, at) in RELAYS {
            table.open(relay, address(at));
            table.live(address(at));
            table.set_client(relay, Client { five_tuple: five_tuple(owner), listener: LISTENER, path: 0 });
        }
        let permissions: Vec<Permission> = PERMISSIONS
            .map(|(relay, host, ports)| Permission { relay, host: host.parse().expect("a host"), ports })
            .to_vec();
        let channels: Vec<Channel> =
            CHANNELS.map(|(relay, number, peer)| Channel { relay, number, peer: address(peer) }).to_vec();
        permissions.iter().for_each(|&row| table.permit(row, NEVER));
        channels.iter().for_each(|&row| table.bind(row, NEVER));
        table.deny(&[address(DENIED)]);
        World { table, permissions, channels }
    })
}

impl World {
    fn may(&self, relay: RelayId, peer: SocketAddr, by_channel: bool) -> Result<(), Reason> {
        let permission = self.permissions.iter().find(|row| row.relay == relay && row.host == peer.ip());
        let is_living = RELAYS.iter().any(|(_, _, at)| address(at) == peer);
        match permission {
            None => Err(Reason::NoPermission),
            Some(_) if !by_channel && peer == address(DENIED) => Err(Reason::PeerDenied),
            Some(_) if peer.port() == 0 => Err(Reason::PortZero),
            Some(row) if row.ports == Ports::OwnRelayed && !is_living => Err(Reason::PeerNotAllocated),
            Some(_) => Ok(()),
        }
    }

    /// What must become of what a client said: the relay socket, the peer, the data, by channel or not.
    fn expected<'a>(&self, speaker: usize, said: &Said<'a>) -> Result<(RelayId, SocketAddr, &'a [u8], bool), Reason> {
        let mut owned = RELAYS.iter().filter(|(_, owner, _)| *owner == speaker).map(|(relay, _, at)| (*relay, at));
        match *said {
            Said::Nothing(reason) => Err(reason),
            Said::Channel(..) | Said::Send(..) if speaker > 1 => Err(Reason::NoAllocation),
            Said::Channel(number, data) => {
                let is_it = |row: &&Channel| row.number == number && owned.clone().any(|(relay, _)| relay == row.relay);
                let channel = self.channels.iter().find(is_it).ok_or(Reason::NoChannel)?;
                self.may(channel.relay, channel.peer, true).map(|()| (channel.relay, channel.peer, data, true))
            }
            Said::Send(peer, data) => {
                let is_of_family = |row: &(RelayId, &&str)| address(row.1).is_ipv4() == peer.is_ipv4();
                let (relay, _) = owned.find(is_of_family).ok_or(Reason::PeerFamily)?;
                self.may(relay, peer, false).map(|()| (relay, peer, data, false))
            }
            Said::Other => unreachable!("the core's is not asked for"),
        }
    }
}

/// The first byte says who speaks; the rest is a client's datagram, or says which peer writes to which relay socket.
fn classify(bytes: &[u8]) {
    let Some((who, message)) = bytes.split_first() else { return };
    match usize::from(who % 4) {
        3 => judge_peer(Input(message)),
        speaker => judge_client(speaker, message),
    }
}

fn judge_client(speaker: usize, message: &[u8]) {
    let world = world();
    let verdict = world.table.judge_client(&five_tuple(speaker), message);
    let said = read(message);
    if said == Said::Other {
        assert_eq!(verdict, FromClient::HandUp);
        return;
    }
    match (verdict, world.expected(speaker, &said)) {
        (FromClient::Forward(Forward { relay, peer, data, by_channel }), Ok(expected)) => {
            assert!(data.end <= message.len());
            assert_eq!((relay, peer, &message[data], by_channel), expected);
        }
        (FromClient::Drop(reason), Err(expected)) => assert_eq!(reason, expected),
        (verdict, expected) => panic!("{verdict:?} where {expected:?} was to be"),
    }
}

fn judge_peer(mut input: Input<'_>) {
    let world = world();
    let relay = input.pick(&[A_IPV4, A_IPV6, B_IPV4, 99]);
    let named = CHANNELS.map(|(_, _, peer)| peer);
    let mut peer = address(input.pick(&[&named[..], &[DENIED, "127.83.0.1:20001"]].concat()));
    if input.byte() % 4 == 0 {
        peer.set_port(u16::from(input.byte()) << 8);
    }
    let number = world.channels.iter().find(|row| row.relay == relay && row.peer == peer).map(|row| row.number);
    let expected = match (world.may(relay, peer, number.is_some()), number) {
        _ if relay == 99 => FromPeer::Drop(Reason::NoAllocation),
        (Err(reason), _) => FromPeer::Drop(reason),
        (Ok(()), Some(number)) => FromPeer::Channel(number),
        (Ok(()), None) => FromPeer::Indication(peer),
    };
    assert_eq!(world.table.judge_peer(relay, peer), expected);
}

/// The first byte says whose datagram it is; one with a good header is read and perhaps challenged.
fn challenge(bytes: &[u8]) {
    let Some((who, message)) = bytes.split_first() else { return };
    let (challenger, client) = (requests::challenger(), five_tuple(usize::from(who % 4)).client);
    let written;
    let message = if who & 0x80 == 0 {
        message
    } else {
        written = requests::write(&mut Input(message), client);
        &written
    };
    if !matches!(read(message), Said::Other) {
        return;
    }
    let expected = requests::read(message, client);
    match challenger.judge(message, client, NOW) {
        Asked::Unsigned { method, stamped } => {
            assert_eq!(expected, requests::Asked::Unsigned(stamped));
            assert_eq!(message[..2], METHODS[method].to_be_bytes());
            let mut answer = Vec::new();
            challenger.challenge(message, stamped, client, NOW, &mut answer);
            assert_eq!(answer, requests::challenge(message, stamped, client));
        }
        Asked::Introduced => assert_eq!(expected, requests::Asked::Signed(true)),
        Asked::Stranger => assert_eq!(expected, requests::Asked::Signed(false)),
        Asked::Other => assert_eq!(expected, requests::Asked::Other),
    }
}
