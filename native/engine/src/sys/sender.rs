//! Datagrams out: many with one call, and trains that the kernel cuts.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use super::{CONTROL, Controls, NO_CONTROLS, Ring, UDP_SEGMENT, kernel};

/// A piece of a datagram that is to be sent: a range of one of the slices that send() is given.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// which slice
    pub source: u8,
    /// where it begins
    pub start: u32,
    /// its length in bytes
    pub length: u32,
}

impl Piece {
    fn of<'a>(&self, slices: &[&'a [u8]]) -> &'a [u8] {
        &slices[usize::from(self.source)][self.start as usize..][..self.length as usize]
    }
}

/// One datagram, or a train of datagrams that the kernel cuts into segments.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// the socket that it leaves by
    pub socket: RawFd,
    /// where it goes
    pub to: SocketAddr,
    /// which of our addresses it leaves from, where the socket has several
    pub from: Option<IpAddr>,
    /// the first of its pieces
    pub first: usize,
    /// how many pieces it has
    pub pieces: usize,
    /// the length of each segment, 0 for a lone datagram
    pub segment: usize,
}

impl Outgoing {
    /// Whether it is a datagram of one piece that leaves from wherever its socket is bound.
    fn is_plain(&self) -> bool {
        self.pieces == 1 && self.from.is_none() && self.segment == 0
    }
}

/// What the kernel wants in order to send a batch.
pub struct Sender {
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Controls>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// As for Arena; and nothing can be done with a shared reference to it.
unsafe impl Send for Sender {}
unsafe impl Sync for Sender {}

impl Sender {
    /// Room that grows with the largest batch, which is bounded by its callers.
    #[must_use]
    pub fn new() -> Self {
        Sender { names: Vec::new(), controls: Vec::new(), vectors: Vec::new(), headers: Vec::new() }
    }

    /// Sends as many of a batch for one socket as the kernel takes; returns how many, or why not even the first.
    pub fn send(&mut self, batch: &[Outgoing], pieces: &[Piece], slices: &[&[u8]]) -> io::Result<usize> {
        match batch {
            [] => Ok(0),
            [lone] if lone.is_plain() => send_to(lone.socket, pieces[lone.first].of(slices), lone.to).map(|()| 1),
            [first, ..] => {
                self.prepare(batch, pieces, slices);
                // SAFETY: the headers of the batch are filled; the kernel only reads what their vectors point to.
                unsafe { kernel::send(first.socket, &mut self.headers[..batch.len()]) }
            }
        }
    }

    /// Sends a batch for any sockets at once; writes for each what the kernel said, 0 or an error's number.
    pub fn send_by(
        &mut self,
        ring: &mut Ring,
        batch: &[Outgoing],
        pieces: &[Piece],
        slices: &[&[u8]],
        said: &mut Vec<i32>,
    ) {
        self.prepare(batch, pieces, slices);
        said.clear();
        said.resize(batch.len(), 0);
        for (number, (outgoing, header)) in batch.iter().zip(&self.headers).enumerate() {
            // SAFETY: what the headers point to stays until submit() has returned, and nothing is kept behind it.
            unsafe {
                if outgoing.is_plain() {
                    ring.post_lone(outgoing.socket, number, &header.msg_hdr, said);
                } else {
                    ring.post(outgoing.socket, number, &header.msg_hdr, said);
                }
            }
        }
        ring.submit(said);
    }

    /// Fills a header for each of the batch.
    fn prepare(&mut self, batch: &[Outgoing], pieces: &[Piece], slices: &[&[u8]]) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return;
        };
        self.vectors.clear();
        for piece in &pieces[first.first..last.first + last.pieces] {
            let bytes = piece.of(slices);
            let base = bytes.as_ptr().cast_mut().cast();
            self.vectors.push(libc::iovec { iov_base: base, iov_len: bytes.len() });
        }
        // SAFETY: plain C structures for which zero bytes are a value.
        let (name, header) = unsafe { (zeroed(), zeroed()) };
        self.names.resize(batch.len().max(self.names.len()), name);
        self.controls.resize(batch.len().max(self.controls.len()), NO_CONTROLS);
        self.headers.resize(batch.len().max(self.headers.len()), header);
        // As in Arena::new: one pointer to each vector.
        let (names, controls) = (self.names.as_mut_ptr(), self.controls.as_mut_ptr());
        for ((slot, outgoing), header) in batch.iter().enumerate().zip(&mut self.headers) {
            let header = &mut header.msg_hdr;
            // SAFETY: both vectors have been made at least as long as the batch.
            unsafe {
                header.msg_namelen = write_address(&mut *names.add(slot), outgoing.to);
                header.msg_name = names.add(slot).cast();
                header.msg_control = controls.add(slot).cast();
            }
            header.msg_iov = self.vectors[outgoing.first - first.first..][..outgoing.pieces].as_ptr().cast_mut();
            header.msg_iovlen = outgoing.pieces as _;
            header.msg_controllen = CONTROL as _;
            let used = write_controls(header, outgoing);
            header.msg_controllen = used as _;
            if used == 0 {
                header.msg_control = std::ptr::null_mut();
            }
        }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

/// The cheapest way to send a single datagram.
pub fn send_to(socket: RawFd, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    // SAFETY: zero bytes are an address, and the length is that of the one that is written.
    unsafe {
        let mut name: libc::sockaddr_storage = zeroed();
        let length = write_address(&mut name, to);
        kernel::send_to(socket, bytes, &name, length)
    }
}

pub(super) fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    // SAFETY: both address types fit into the storage and are aligned less strictly than it.
    unsafe {
        match address {
            SocketAddr::V4(v4) => {
                let mut name: libc::sockaddr_in = zeroed();
                name.sin_family = libc::AF_INET as libc::sa_family_t;
                name.sin_port = v4.port().to_be();
                name.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                (&raw mut *storage).cast::<libc::sockaddr_in>().write(name);
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(v6) => {
                let mut name: libc::sockaddr_in6 = zeroed();
                name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                name.sin6_port = v6.port().to_be();
                name.sin6_addr.s6_addr = v6.ip().octets();
                name.sin6_scope_id = v6.scope_id();
                (&raw mut *storage).cast::<libc::sockaddr_in6>().write(name);
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }
}

/// Writes the control messages of one datagram; returns their length.
fn write_controls(header: &mut libc::msghdr, outgoing: &Outgoing) -> usize {
    let mut used = 0;
    // SAFETY: msg_control has CONTROL bytes, more than both messages need; CMSG_NXTHDR stays within them.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        if outgoing.segment > 0 {
            used += write_control(control, libc::SOL_UDP, UDP_SEGMENT, outgoing.segment as u16);
            control = libc::CMSG_NXTHDR(header, control);
        }
        match outgoing.from {
            Some(IpAddr::V4(host)) => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = u32::from_ne_bytes(host.octets());
                used += write_control(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(host)) => {
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = host.octets();
                used += write_control(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
    }
    used
}

/// SAFETY: `control` points to room for CMSG_SPACE(size_of::<T>()) bytes.
pub(super) unsafe fn write_control<T>(
    control: *mut libc::cmsghdr,
    level: libc::c_int,
    kind: libc::c_int,
    value: T,
) -> usize {
    let size = size_of::<T>() as libc::c_uint;
    unsafe {
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(control).cast::<T>().write_unaligned(value);
        libc::CMSG_SPACE(size) as usize
    }
}
