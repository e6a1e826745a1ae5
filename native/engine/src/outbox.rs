//! Packets on their way out: gathered over a batch, grouped by destination, sent with as few system calls as possible.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use routes::Reason;

use crate::sys::{MOST_SEGMENTS, Outgoing, Piece, Ring, Sender};

/// The slices that pieces may come from.
const RECEIVED: u8 = 0;
const WRITTEN: u8 = 1;

/// A datagram may not be longer, and neither may a train.
const LONGEST: usize = 65507;

/// Whose packet it is and what kind of, for the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Application data.
    Relayed {
        /// the place of the relay socket in its thread
        relay: u32,
        /// towards the peer, or towards the client
        to_peer: bool,
        /// as ChannelData, or in an indication
        by_channel: bool,
    },
    /// An answer to a Binding request.
    Binding {
        /// to a client of IPv6
        ipv6: bool,
        /// with a FINGERPRINT
        signed: bool,
    },
    /// What the owner says.
    Answer,
    /// A challenge to a request without integrity.
    Challenge {
        /// the place of the request's method in routes::METHODS
        method: usize,
    },
}

/// One packet, as it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// the socket that it leaves by
    pub socket: RawFd,
    /// where it goes
    pub to: SocketAddr,
    /// which of our addresses it leaves from, where the socket has several
    pub from: Option<IpAddr>,
    /// its bytes
    pub bytes: Piece,
    /// bytes of application data among them
    pub size: u32,
    /// whose it is
    pub account: Account,
}

impl Packet {
    /// One number for all packets of one socket and one destination. Destinations that share one are no harm: their
    /// packets may be mixed then, and make shorter trains.
    fn way(&self) -> u64 {
        let host = match self.to.ip() {
            IpAddr::V4(host) => host.to_bits(),
            IpAddr::V6(host) => {
                (0..4).fold(0, |folded: u32, word| folded.rotate_left(5) ^ (host.to_bits() >> (32 * word)) as u32)
            }
        };
        (self.socket as u64) << 32 | u64::from(host.rotate_left(16) ^ u32::from(self.to.port()))
    }
}

/// A range of what was received.
#[must_use]
pub fn received(start: usize, length: usize) -> Piece {
    Piece { source: RECEIVED, start: start as u32, length: length as u32 }
}

/// What became of a packet.
pub trait Ledger {
    /// The kernel took it; `bytes` of application data.
    fn sent(&mut self, account: Account, bytes: u32);
    /// The kernel refused it.
    fn dropped(&mut self, reason: Reason);
}

/// The gathered packets of one thread.
#[derive(Default)]
pub struct Outbox {
    packets: Vec<Packet>,
    /// how packets are grouped, and their places
    order: Vec<(u64, u32)>,
    written: Vec<u8>,
    outgoing: Vec<Outgoing>,
    sizes: Vec<usize>,
    pieces: Vec<Piece>,
    said: Vec<i32>,
    sender: Sender,
}

impl Outbox {
    /// Has a packet written that is not among what was received.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let start = self.written.len() as u32;
        write(&mut self.written);
        Piece { source: WRITTEN, start, length: self.written.len() as u32 - start }
    }

    /// How many packets are to leave.
    pub fn waiting(&self) -> usize {
        self.packets.len()
    }

    /// Puts a packet into the batch.
    pub fn push(&mut self, packet: Packet) {
        self.packets.push(packet);
    }

    /// Sends the batch, through a ring if there is one; `received` is what was.
    pub fn flush(&mut self, received: &[u8], ring: Option<&mut Ring>, ledger: &mut impl Ledger) {
        self.order.clear();
        self.order.extend(self.packets.iter().zip(0..).map(|(packet, place)| (packet.way(), place)));
        // Packets to one destination keep their order.
        self.order.sort_unstable();
        self.group();
        match ring {
            Some(ring) if !self.packets.is_empty() => self.send_by(ring, received, ledger),
            _ => self.send_by_socket(received, ledger),
        }
        self.packets.clear();
        self.written.clear();
    }

    /// A packet by its place in the order of sending.
    fn packet(&self, place: usize) -> &Packet {
        &self.packets[self.order[place].1 as usize]
    }

    /// Sends what is grouped, with a call for each socket.
    fn send_by_socket(&mut self, received: &[u8], ledger: &mut impl Ledger) {
        let (mut done, mut packet, mut end) = (0, 0, 0);
        while done < self.outgoing.len() {
            let socket = self.outgoing[done].socket;
            while end < self.outgoing.len() && self.outgoing[end].socket == socket {
                end += 1;
            }
            match self.sender.send(&self.outgoing[done..end], &self.pieces, &[received, &self.written]) {
                Ok(count) => {
                    let packets = self.sizes[done..done + count].iter().sum();
                    self.record(packet, packets, ledger);
                    packet += packets;
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The kernel blames the first of those that it was given.
                    self.blame(done, packet, &error, received, ledger);
                    packet += self.sizes[done];
                    done += 1;
                }
            }
        }
    }

    /// Sends what is grouped, all with one call.
    fn send_by(&mut self, ring: &mut Ring, received: &[u8], ledger: &mut impl Ledger) {
        let slices: [&[u8]; 2] = [received, &self.written];
        self.sender.send_by(ring, &self.outgoing, &self.pieces, &slices, &mut self.said);
        let mut packet = 0;
        for number in 0..self.outgoing.len() {
            match self.said[number] {
                0 => self.record(packet, self.sizes[number], ledger),
                errno => self.blame(number, packet, &io::Error::from_raw_os_error(errno), received, ledger),
            }
            packet += self.sizes[number];
        }
    }

    /// Puts packets that were sent into the books.
    fn record(&self, start: usize, count: usize, ledger: &mut impl Ledger) {
        for place in start..start + count {
            let sent = self.packet(place);
            ledger.sent(sent.account, sent.size);
        }
    }

    /// Deals with a datagram or a train that the kernel refused, whose first packet is `packet`.
    fn blame(&mut self, number: usize, packet: usize, error: &io::Error, received: &[u8], ledger: &mut impl Ledger) {
        let size = self.sizes[number];
        if size > 1 && cannot_cut(error) {
            self.send_singly(packet, size, received, ledger);
        } else {
            (0..size).for_each(|_| ledger.dropped(reason(error)));
        }
    }

    /// Sends packets of a train that the kernel would not cut, each for itself.
    fn send_singly(&mut self, start: usize, count: usize, received: &[u8], ledger: &mut impl Ledger) {
        let slices: [&[u8]; 2] = [received, &self.written];
        for &(_, place) in &self.order[start..start + count] {
            let packet = &self.packets[place as usize];
            match self.sender.send(&[outgoing(packet, 0)], &[packet.bytes], &slices) {
                Ok(_) => ledger.sent(packet.account, packet.size),
                Err(error) => ledger.dropped(reason(&error)),
            }
        }
    }

    /// Makes trains of neighbours with one way: all of one length, the last one perhaps shorter.
    fn group(&mut self) {
        self.outgoing.clear();
        self.sizes.clear();
        self.pieces.clear();
        let (mut total, mut is_closed) = (0, false);
        for place in 0..self.order.len() {
            let packet = *self.packet(place);
            let length = packet.bytes.length as usize;
            if let (Some(train), Some(size)) = (self.outgoing.last_mut(), self.sizes.last_mut()) {
                let segment = if *size == 1 { total } else { train.segment };
                let fits = train.socket == packet.socket
                    && train.to == packet.to
                    && train.from == packet.from
                    && !is_closed
                    && length > 0
                    && length <= segment
                    && *size < MOST_SEGMENTS
                    && total + length <= LONGEST;
                if fits {
                    train.segment = segment;
                    train.pieces += append(&mut self.pieces, packet.bytes);
                    *size += 1;
                    total += length;
                    is_closed = length < segment;
                    continue;
                }
            }
            self.outgoing.push(outgoing(&packet, self.pieces.len()));
            self.pieces.push(packet.bytes);
            self.sizes.push(1);
            (total, is_closed) = (length, false);
        }
    }
}

/// A packet by itself.
fn outgoing(packet: &Packet, first: usize) -> Outgoing {
    Outgoing { socket: packet.socket, to: packet.to, from: packet.from, first, pieces: 1, segment: 0 }
}

/// Adds a piece to others; what lies behind the last of them is one with it. Returns how many more there are then.
fn append(pieces: &mut Vec<Piece>, piece: Piece) -> usize {
    match pieces.last_mut() {
        Some(last) if (last.source, last.start + last.length) == (piece.source, piece.start) => {
            last.length += piece.length;
            0
        }
        _ => {
            pieces.push(piece);
            1
        }
    }
}

/// Whether an error speaks of the train and not of its packets: too long for the path, or a device that cannot.
fn cannot_cut(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE))
}

/// The word for what the kernel said.
#[must_use]
pub fn reason(error: &io::Error) -> Reason {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Reason::SendBuffer,
        Some(libc::EMSGSIZE) => Reason::TooLarge,
        _ => Reason::Unreachable,
    }
}
