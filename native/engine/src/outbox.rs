//! Packets on their way out: gathered over a batch, grouped by destination, sent with as few system calls as possible.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use routes::Reason;

use crate::sys::{MOST_SEGMENTS, Outgoing, Piece, Sender};

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

    /// Sends the batch; `received` is what the bodies are ranges of.
    pub fn flush(&mut self, received: &[u8], ledger: &mut impl Ledger) {
        self.order.clear();
        self.order.extend(0..self.packets.len() as u32);
        if self.packets.len() > 1 {
            // Stable, so that packets to one destination keep their order.
            let packets = &self.packets;
            self.order.sort_by_key(|&index| (packets[index as usize].socket, packets[index as usize].to));
        }
        let mut start = 0;
        while start < self.order.len() {
            let socket = self.packet(start).socket;
            let mut end = start + 1;
            while end < self.order.len() && self.packet(end).socket == socket {
                end += 1;
            }
            self.send_run(start, end, received, ledger);
            start = end;
        }
        self.packets.clear();
        self.headers.clear();
    }

    /// A packet by its place in the order of sending.
    fn packet(&self, place: usize) -> &Packet {
        &self.packets[self.order[place] as usize]
    }

    /// Sends the packets of one socket.
    fn send_run(&mut self, start: usize, end: usize, received: &[u8], ledger: &mut impl Ledger) {
        self.group(start, end);
        let socket = self.packet(start).socket;
        let (mut done, mut packet) = (0, start);
        while done < self.outgoing.len() {
            let slices: [&[u8]; 3] = [received, &self.headers, &PADDING];
            match self.sender.send(socket, &self.outgoing[done..], &self.pieces, &slices) {
                Ok(count) => {
                    for size in &self.sizes[done..done + count] {
                        for place in packet..packet + size {
                            let sent = self.packet(place);
                            ledger.sent(sent.account, sent.body.1);
                        }
                        packet += size;
                    }
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The kernel blames the first of those that it was given.
                    let size = self.sizes[done];
                    if size > 1 && cannot_cut(&error) {
                        self.send_singly(packet, size, received, ledger);
                    } else {
                        (0..size).for_each(|_| ledger.dropped(reason(&error)));
                    }
                    packet += size;
                    done += 1;
                }
            }
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
            let lone = Outgoing { to: packet.to, from: packet.from, first: 0, pieces: pieces.len(), segment: 0 };
            match self.sender.send(packet.socket, &[lone], &pieces, &slices) {
                Ok(_) => ledger.sent(packet.account, packet.body.1),
                Err(error) => ledger.dropped(reason(&error)),
            }
        }
    }

    /// Makes trains of neighbours with one destination: all of one length, the last one perhaps shorter.
    fn group(&mut self, start: usize, end: usize) {
        self.outgoing.clear();
        self.sizes.clear();
        self.pieces.clear();
        let (mut total, mut is_closed) = (0, false);
        for index in start..end {
            let packet = *self.packet(index);
            let length = packet.length();
            let first = self.pieces.len();
            append_pieces(&mut self.pieces, &packet);
            let count = self.pieces.len() - first;
            if let (Some(train), Some(size)) = (self.outgoing.last_mut(), self.sizes.last_mut()) {
                let segment = if *size == 1 { total } else { train.segment };
                let fits = train.to == packet.to
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
            self.outgoing.push(Outgoing { to: packet.to, from: packet.from, first, pieces: count, segment: 0 });
            self.sizes.push(1);
            (total, is_closed) = (length, false);
        }
    }
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
