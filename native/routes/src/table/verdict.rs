//! What becomes of a packet, as the table stands.

use std::net::SocketAddr;
use std::ops::Range;

use super::{FiveTuple, Ports, Relay, RelayId, Table};
use crate::message::{Message, read};
use crate::reason::Reason;

/// A client's data on its way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// the relay socket that it leaves by
    pub relay: RelayId,
    /// where it goes
    pub peer: SocketAddr,
    /// the application data within the message
    pub data: Range<usize>,
    /// whether it came as ChannelData
    pub by_channel: bool,
}

/// The verdict on a client's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// send its data on
    Forward(Forward),
    /// not for the data plane
    HandUp,
    /// silence
    Drop(Reason),
}

/// The verdict on a peer's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromPeer {
    /// as ChannelData with this number
    Channel(u16),
    /// as a Data indication that names this peer
    Indication(SocketAddr),
    /// silence
    Drop(Reason),
}

impl Table {
    /// A relay socket whose time is not over.
    fn living(&self, relay: RelayId) -> Option<&Relay> {
        self.relays.get(&relay).filter(|row| self.now < row.until)
    }

    /// The verdict on one whole message of a client.
    #[must_use]
    pub fn judge_client(&self, five_tuple: &FiveTuple, bytes: &[u8]) -> FromClient {
        let judged = match read(bytes) {
            Message::Other => return FromClient::HandUp,
            Message::Junk(reason) => Err(reason),
            Message::Truncated => Err(Reason::Malformed),
            Message::ChannelData { number, data } => self.on_channel(five_tuple, number, data),
            Message::PlainSend { peer, data } => self.on_send(five_tuple, peer, data),
        };
        judged.map_or_else(FromClient::Drop, FromClient::Forward)
    }

    fn on_channel(&self, five_tuple: &FiveTuple, number: u16, data: Range<usize>) -> Result<Forward, Reason> {
        let owned = self.clients.get(five_tuple).ok_or(Reason::NoAllocation)?;
        let mut refusal = Reason::NoAllocation;
        for relay in [owned.ipv4, owned.ipv6].into_iter().flatten() {
            let Some(row) = self.living(relay) else {
                continue;
            };
            if let Some(lane) = row.lane.filter(|lane| lane.value.0 == number && self.now < lane.until) {
                return Ok(Forward { relay, peer: lane.value.1, data, by_channel: true });
            }
            if let Some(bound) = row.peer_by_number.get(&number).filter(|bound| self.now < bound.until) {
                self.permitted(row, bound.value, true)?;
                return Ok(Forward { relay, peer: bound.value, data, by_channel: true });
            }
            refusal = Reason::NoChannel;
        }
        Err(refusal)
    }

    fn on_send(&self, five_tuple: &FiveTuple, told: SocketAddr, data: Range<usize>) -> Result<Forward, Reason> {
        let owned = self.clients.get(five_tuple).ok_or(Reason::NoAllocation)?;
        let living = |ipv4: bool| owned.of(ipv4).filter(|&relay| self.living(relay).is_some());
        let is_known = || living(!told.is_ipv4()).is_some();
        let missing = || if is_known() { Reason::PeerFamily } else { Reason::NoAllocation };
        let relay = living(told.is_ipv4()).ok_or_else(missing)?;
        let host = self.bound_by_told.get(&told.ip()).copied().unwrap_or(told.ip());
        let peer = SocketAddr::new(host, told.port());
        self.may_indicate(relay, peer)?;
        Ok(Forward { relay, peer, data, by_channel: false })
    }

    /// Whether data that is in no channel may go from a relay socket to a peer.
    pub fn may_indicate(&self, relay: RelayId, peer: SocketAddr) -> Result<(), Reason> {
        let row = self.living(relay).ok_or(Reason::NoAllocation)?;
        self.permitted(row, peer, false)
    }

    /// Whether a packet may go between a relay socket and a peer; asked for every packet. A channel is bound to no
    /// peer that is denied.
    fn permitted(&self, row: &Relay, peer: SocketAddr, by_channel: bool) -> Result<(), Reason> {
        let permitted = row.permissions.get(&peer.ip()).filter(|permitted| self.now < permitted.until);
        let ports = permitted.ok_or(Reason::NoPermission)?.value;
        if !by_channel && self.denied.contains(&peer) {
            Err(Reason::PeerDenied)
        } else if peer.port() == 0 {
            Err(Reason::PortZero)
        } else if ports == Ports::OwnRelayed && !self.living.contains(&peer) {
            Err(Reason::PeerNotAllocated)
        } else {
            Ok(())
        }
    }

    /// The verdict on a packet that a peer sent to a relay socket.
    #[must_use]
    pub fn judge_peer(&self, relay: RelayId, peer: SocketAddr) -> FromPeer {
        let Some(row) = self.living(relay).filter(|row| row.client.is_some()) else {
            return FromPeer::Drop(Reason::NoAllocation);
        };
        if let Some(lane) = row.lane.filter(|lane| lane.value.1 == peer && self.now < lane.until) {
            return FromPeer::Channel(lane.value.0);
        }
        let number = row.number_by_peer.get(&peer).copied();
        let number = number.filter(|number| row.peer_by_number.get(number).is_some_and(|bound| self.now < bound.until));
        match (self.permitted(row, peer, number.is_some()), number) {
            (Err(reason), _) => FromPeer::Drop(reason),
            (Ok(()), Some(number)) => FromPeer::Channel(number),
            (Ok(()), None) => {
                let told = self.told_by_bound.get(&peer.ip()).copied().unwrap_or(peer.ip());
                FromPeer::Indication(SocketAddr::new(told, peer.port()))
            }
        }
    }
}
