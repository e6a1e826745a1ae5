//! Any course of changes, judged by the table and by a list of what was said; and any bytes at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use routes::{
    Channel, Client, FiveTuple, Forward, FromClient, FromPeer, Message, Moment, NEVER, Permission, Ports, Reason,
    Table, Transport, read,
};

const RELAYS: u64 = 3;
const NUMBERS: [u16; 3] = [0x4000, 0x4001, 0x7fff];

#[derive(Clone, Debug)]
enum Step {
    Open(u64),
    Close(u64),
    Attach(u64, u16),
    SetDeadline(u64, Moment),
    Permit(Permission, Moment),
    Revoke(Permission),
    Bind(Channel, Moment),
    Unbind(Channel),
    Deny(Option<SocketAddr>),
    Wait(Moment),
}

/// What the table is meant to be, as plainly as it can be said. A relay socket's client is known by its port.
#[derive(Debug, Default)]
struct Model {
    now: Moment,
    relays: BTreeMap<u64, Row>,
    denied: Option<SocketAddr>,
}

#[derive(Debug, Default)]
struct Row {
    client: Option<u16>,
    /// None: for ever
    until: Option<Moment>,
    permissions: Vec<(Permission, Moment)>,
    channels: Vec<(Channel, Moment)>,
}

fn relayed(relay: u64) -> SocketAddr {
    SocketAddr::new(host(1), 1000 + relay as u16)
}

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn client(port: u16) -> Client {
    let server = SocketAddr::new(host(1), 3478);
    let five_tuple = FiveTuple { transport: Transport::Udp, client: SocketAddr::new(host(8), port), server };
    Client { five_tuple, listener: 1, path: 0 }
}

impl Model {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Open(relay) => {
                self.relays.entry(*relay).or_default();
            }
            Step::Close(relay) => {
                self.relays.remove(relay);
            }
            Step::Attach(relay, port) => {
                if self.relays.contains_key(relay) {
                    self.relays.values_mut().filter(|row| row.client == Some(*port)).for_each(|row| row.client = None);
                    self.relays.get_mut(relay).unwrap().client = Some(*port);
                }
            }
            Step::SetDeadline(relay, until) => self.on(*relay, |row| row.until = Some(*until)),
            Step::Permit(new, until) => self.on(new.relay, |row| {
                row.permissions.retain(|(old, _)| old.host != new.host);
                row.permissions.push((*new, *until));
            }),
            Step::Revoke(gone) => self.on(gone.relay, |row| row.permissions.retain(|(old, _)| old != gone)),
            Step::Bind(new, until) => self.on(new.relay, |row| {
                row.channels.retain(|(old, _)| old.number != new.number && old.peer != new.peer);
                row.channels.push((*new, *until));
            }),
            Step::Unbind(gone) => self.on(gone.relay, |row| row.channels.retain(|(old, _)| old != gone)),
            Step::Deny(peer) => self.denied = *peer,
            Step::Wait(time) => self.now += time,
        }
    }

    fn on(&mut self, relay: u64, change: impl FnOnce(&mut Row)) {
        self.relays.get_mut(&relay).into_iter().for_each(change_once(change));
    }

    fn allowed(&self, row: &Row, peer: SocketAddr, by_channel: bool) -> Result<(), Reason> {
        let is_it = |(row, until): &&(Permission, Moment)| row.host == peer.ip() && self.now < *until;
        let (permission, _) = row.permissions.iter().find(is_it).ok_or(Reason::NoPermission)?;
        let is_living = self.relays.keys().any(|&relay| relayed(relay) == peer);
        match () {
            () if !by_channel && self.denied == Some(peer) => Err(Reason::PeerDenied),
            () if peer.port() == 0 => Err(Reason::PortZero),
            () if permission.ports == Ports::OwnRelayed && !is_living => Err(Reason::PeerNotAllocated),
            () => Ok(()),
        }
    }

    fn is_living(&self, row: &Row) -> bool {
        row.until.is_none_or(|until| self.now < until)
    }

    fn channel(&self, row: &Row, is_meant: impl Fn(&Channel) -> bool) -> Option<Channel> {
        let living = row.channels.iter().filter(|(_, until)| self.now < *until).map(|(channel, _)| *channel);
        living.into_iter().find(is_meant)
    }

    fn up(&self, port: u16, number: u16) -> Result<(u64, SocketAddr), Reason> {
        let owned = self.relays.iter().find(|(_, row)| row.client == Some(port) && self.is_living(row));
        let (relay, row) = owned.ok_or(Reason::NoAllocation)?;
        let channel = self.channel(row, |channel| channel.number == number).ok_or(Reason::NoChannel)?;
        self.allowed(row, channel.peer, true).map(|()| (*relay, channel.peer))
    }

    fn down(&self, relay: u64, peer: SocketAddr) -> FromPeer {
        let Some(row) = self.relays.get(&relay).filter(|row| row.client.is_some() && self.is_living(row)) else {
            return FromPeer::Drop(Reason::NoAllocation);
        };
        let number = self.channel(row, |channel| channel.peer == peer).map(|channel| channel.number);
        match (self.allowed(row, peer, number.is_some()), number) {
            (Err(reason), _) => FromPeer::Drop(reason),
            (Ok(()), Some(number)) => FromPeer::Channel(number),
            (Ok(()), None) => FromPeer::Indication(peer),
        }
    }
}

fn change_once<T>(change: impl FnOnce(&mut T)) -> impl FnMut(&mut T) {
    let mut change = Some(change);
    move |row| change.take().into_iter().for_each(|change| change(row))
}

fn peers() -> impl Strategy<Value = SocketAddr> {
    let ports = prop_oneof![Just(0), Just(7), Just(1000), Just(1001)];
    (1u8..4, ports).prop_map(|(last, port)| SocketAddr::new(host(last), port))
}

fn steps() -> impl Strategy<Value = Step> {
    let relays = || 0..RELAYS;
    let permissions = || {
        (relays(), 1u8..4, any::<bool>()).prop_map(|(relay, last, any)| Permission {
            relay,
            host: host(last),
            ports: if any { Ports::Any } else { Ports::OwnRelayed },
        })
    };
    let channels = || {
        (relays(), proptest::sample::select(&NUMBERS[..]), peers()).prop_map(|(relay, number, peer)| Channel {
            relay,
            number,
            peer,
        })
    };
    let moments = || prop_oneof![Just(NEVER), Just(NEVER), 0..6 as Moment];
    prop_oneof![
        relays().prop_map(Step::Open),
        relays().prop_map(Step::Open),
        relays().prop_map(Step::Close),
        (relays(), 1u16..4).prop_map(|(relay, port)| Step::Attach(relay, port)),
        (relays(), moments()).prop_map(|(relay, until)| Step::SetDeadline(relay, until)),
        (permissions(), moments()).prop_map(|(row, until)| Step::Permit(row, until)),
        (permissions(), moments()).prop_map(|(row, until)| Step::Permit(row, until)),
        permissions().prop_map(Step::Revoke),
        (channels(), moments()).prop_map(|(row, until)| Step::Bind(row, until)),
        (channels(), moments()).prop_map(|(row, until)| Step::Bind(row, until)),
        channels().prop_map(Step::Unbind),
        proptest::option::of(peers()).prop_map(Step::Deny),
        (0..3 as Moment).prop_map(Step::Wait),
    ]
}

fn tell(table: &mut Table, model: &Model, step: &Step) {
    match step {
        Step::Open(relay) if !model.relays.contains_key(relay) => {
            table.open(*relay, relayed(*relay));
            table.live(relayed(*relay));
        }
        Step::Open(_) => {}
        Step::Close(relay) => {
            table.close(*relay);
            table.perish(relayed(*relay));
        }
        Step::Attach(relay, port) => table.set_client(*relay, client(*port)),
        Step::SetDeadline(relay, until) => table.set_deadline(*relay, *until),
        Step::Permit(row, until) => table.permit(*row, *until),
        Step::Revoke(row) => table.revoke(*row),
        Step::Bind(row, until) => table.bind(*row, *until),
        Step::Unbind(row) => table.unbind(*row),
        Step::Deny(peer) => table.deny(peer.as_slice()),
        Step::Wait(time) => table.tell_time(model.now + time),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_says_what_the_list_says(course in proptest::collection::vec(steps(), 1..60), peer in peers()) {
        let (mut table, mut model) = (Table::new(&[]), Model::default());
        for step in &course {
            tell(&mut table, &model, step);
            model.take(step);
            for port in 1..4 {
                for number in NUMBERS {
                    let message = [&number.to_be_bytes()[..], &[0, 1, 9]].concat();
                    let expected = match model.up(port, number) {
                        Ok((relay, peer)) => FromClient::Forward(Forward { relay, peer, data: 4..5, by_channel: true }),
                        Err(reason) => FromClient::Drop(reason),
                    };
                    prop_assert_eq!(table.judge_client(&client(port).five_tuple, &message), expected);
                }
            }
            for relay in 0..RELAYS {
                prop_assert_eq!(table.judge_peer(relay, peer), model.down(relay, peer));
            }
            let (permissions, channels) = table.routes();
            prop_assert_eq!(permissions.len(), model.relays.values().map(|row| row.permissions.len()).sum::<usize>());
            prop_assert_eq!(channels.len(), model.relays.values().map(|row| row.channels.len()).sum::<usize>());
        }
    }

    #[test]
    fn any_bytes_are_read_within_their_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        match read(&bytes) {
            Message::ChannelData { data, .. } | Message::PlainSend { data, .. } => prop_assert!(data.end <= bytes.len()),
            _ => {}
        }
    }

    #[test]
    fn a_send_indication_with_a_byte_changed_is_read_within_its_bounds(
        at in 0usize..48, byte in any::<u8>(), cut in 0usize..49
    ) {
        let mut bytes = b"\x00\x16\x00\x1c\x21\x12\xa4\x42transactions\x00\x12\x00\x08\x00\x01\x25\xc0\xe1\xba\xa5\x43\
            \x00\x13\x00\x04data\x80\x28\x00\x04\x00\x00\x00\x00".to_vec();
        bytes[at] = byte;
        bytes.truncate(cut);
        if let Message::PlainSend { data, .. } = read(&bytes) {
            prop_assert!(data.end <= bytes.len());
        }
    }
}
