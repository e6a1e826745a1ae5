//! Packets on their way out: gathered over a batch, grouped by destination, sent with as few system calls as possible.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use routes::Reason;

use crate::sys::{MOST_SEGMENTS, Outgoing, Piece, Ring, Sender};

/// The slices that pieces may come from.
const RECEIVED: u8 = 0;
const HEADERS: u8 = 1;
const ZEROS: u8 = 2;
static PADDING: [u8; 4] = [0; 4];

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

/// One packet: an optional header that was written for it, and a range of what was received.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// the socket that it leaves by
    pub socket: RawFd,
    /// where it goes
    pub to: SocketAddr,
    /// which of our addresses it leaves from, where the socket has several
    pub from: Option<IpAddr>,
    /// start and length in the headers
    pub header: (u32, u32),
    /// start and length in the received bytes
    pub body: (u32, u32),
    /// bytes of application data in it
    pub size: u32,
    /// zero bytes behind the body
    pub padding: u32,
    /// whose it is
    pub account: Account,
}

impl Packet {
    fn length(&self) -> usize {
        (self.header.1 + self.body.1 + self.padding) as usize
    }
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
    order: Vec<u32>,
    headers: Vec<u8>,
    outgoing: Vec<Outgoing>,
    sizes: Vec<usize>,
    pieces: Vec<Piece>,
    said: Vec<i32>,
    sender: Sender,
}

impl Outbox {
    /// Writes a header and returns its place.
    pub fn header(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.headers.len() as u32;
        self.headers.extend_from_slice(bytes);
        (start, bytes.len() as u32)
    }

    /// Has a header written and returns its place.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> (u32, u32) {
        let start = self.headers.len() as u32;
        write(&mut self.headers);
        (start, self.headers.len() as u32 - start)
    }

    /// Puts a packet into the batch.
    pub fn push(&mut self, packet: Packet) {
        self.packets.push(packet);
    }

    /// Sends the batch, through a ring if there is one; `received` is what the bodies are ranges of.
    pub fn flush(&mut self, received: &[u8], ring: Option<&mut Ring>, ledger: &mut impl Ledger) {
        self.order.clear();
        self.order.extend(0..self.packets.len() as u32);
        if self.packets.len() > 1 {
            // Stable, so that packets to one destination keep their order.
            let packets = &self.packets;
            self.order.sort_by_key(|&index| (packets[index as usize].socket, packets[index as usize].to));
        }
        self.group();
        match ring {
            Some(ring) if !self.packets.is_empty() => self.send_by(ring, received, ledger),
            _ => self.send_by_socket(received, ledger),
        }
        self.packets.clear();
        self.headers.clear();
    }

    /// A packet by its place in the order of sending.
    fn packet(&self, place: usize) -> &Packet {
        &self.packets[self.order[place] as usize]
    }

    /// Sends what is grouped, with a call for each socket.
    fn send_by_socket(&mut self, received: &[u8], ledger: &mut impl Ledger) {
        let (mut done, mut packet, mut end) = (0, 0, 0);
        while done < self.outgoing.len() {
            let socket = self.outgoing[done].socket;
            while end < self.outgoing.len() && self.outgoing[end].socket == socket {
                end += 1;
            }
            let slices: [&[u8]; 3] = [received, &self.headers, &PADDING];
            match self.sender.send(&self.outgoing[done..end], &self.pieces, &slices) {
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
        let slices: [&[u8]; 3] = [received, &self.headers, &PADDING];
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
        let slices: [&[u8]; 3] = [received, &self.headers, &PADDING];
        let mut pieces = Vec::with_capacity(3);
        for &index in &self.order[start..start + count] {
            let packet = &self.packets[index as usize];
            pieces.clear();
            append_pieces(&mut pieces, packet);
            let lone = outgoing(packet, 0, pieces.len());
            match self.sender.send(&[lone], &pieces, &slices) {
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
            let length = packet.length();
            let first = self.pieces.len();
            append_pieces(&mut self.pieces, &packet);
            let count = self.pieces.len() - first;
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
                    train.pieces += count;
                    *size += 1;
                    total += length;
                    is_closed = length < segment;
                    continue;
                }
            }
            self.outgoing.push(outgoing(&packet, first, count));
            self.sizes.push(1);
            (total, is_closed) = (length, false);
        }
    }
}

/// A packet by itself.
fn outgoing(packet: &Packet, first: usize, pieces: usize) -> Outgoing {
    Outgoing { socket: packet.socket, to: packet.to, from: packet.from, first, pieces, segment: 0 }
}

fn append_pieces(pieces: &mut Vec<Piece>, packet: &Packet) {
    let parts = [(HEADERS, packet.header), (RECEIVED, packet.body), (ZEROS, (0, packet.padding))];
    for (source, (start, length)) in parts {
        if length > 0 {
            pieces.push(Piece { source, start, length });
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
