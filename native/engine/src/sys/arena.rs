//! Datagrams in: many with one call, each where it can be sent on from.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::sync::Arc;

use super::memory::Memory;
use super::{CONTROL, Controls, HEAD, NO_CONTROLS, SLOT, SLOTS, UDP_GRO, kernel};

/// Bytes that the packets of a slot may take up when they have been spread: behind them is room for padding.
const ROOM: usize = SLOT - HEAD - size_of::<u32>();

/// What is known of one received datagram or train.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// where it begins in the bytes of all slots
    pub start: usize,
    /// its length in bytes
    pub length: usize,
    /// the length of each packet of the train, the last one aside; all of it for a lone packet
    pub segment: usize,
    /// bytes between the packets of the train
    pub gap: usize,
    /// who sent it
    pub source: SocketAddr,
    /// which of our addresses it was sent to, where the socket reports that
    pub local: Option<IpAddr>,
}

/// Slots for received bytes, and what the kernel wants to fill them.
pub struct Arena {
    memory: Arc<Memory>,
    received: Vec<Received>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Controls>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// The pointers in `vectors` and `headers` point into the memory and into vectors that move along with them.
unsafe impl Send for Arena {}

impl Arena {
    /// An arena with empty slots.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slots(SLOTS)
    }

    /// One with more of them, which a ring fills; receive() knows the first SLOTS.
    pub(super) fn with_slots(count: usize) -> Self {
        // SAFETY: all of these are plain C structures for which zero bytes are a value.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        let mut arena = Arena {
            memory: Arc::new(Memory::zeroed(SLOT * count, 16)),
            received: Vec::with_capacity(count),
            names: vec![name; SLOTS],
            controls: vec![NO_CONTROLS; SLOTS],
            vectors: vec![vector; SLOTS],
            headers: vec![header; SLOTS],
        };
        // One pointer to each vector, from which those of the slots are made: an index would borrow the vector anew, and
        // what was made before would point into a borrow that has ended.
        let (bytes, names, controls) = (arena.memory.pointer(), arena.names.as_mut_ptr(), arena.controls.as_mut_ptr());
        let vectors = arena.vectors.as_mut_ptr();
        for (slot, header) in arena.headers.iter_mut().enumerate() {
            let header = &mut header.msg_hdr;
            // SAFETY: each vector has SLOTS elements, and the memory SLOT bytes for each.
            unsafe {
                *vectors.add(slot) =
                    libc::iovec { iov_base: bytes.add(slot * SLOT + HEAD).cast(), iov_len: SLOT - HEAD };
                header.msg_name = names.add(slot).cast();
                header.msg_iov = vectors.add(slot);
                header.msg_control = controls.add(slot).cast();
            }
            header.msg_iovlen = 1;
            offer(header);
        }
        arena
    }

    /// Forgets what was received.
    pub fn clear(&mut self) {
        self.received.clear();
    }

    /// Slots in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether no slot is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// What stands in a slot.
    #[must_use]
    pub fn received(&self, slot: usize) -> Received {
        self.received[slot]
    }

    /// The bytes of all slots.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// Moves the packets of a train apart, so that in front of each there is as much room as a lone packet has in front
    /// of it anyway; false where the slot has too little for that.
    pub fn spread(&mut self, slot: usize, gap: usize) -> bool {
        let received = &mut self.received[slot];
        let last = received.packets().len() - 1;
        if received.gap > 0 || gap > HEAD || received.length + last * gap > ROOM {
            return false; // once is enough: what moves twice may leave its slot
        }
        for (index, (start, end)) in received.packets().enumerate().skip(1).rev() {
            // SAFETY: it ends within its slot, as has been checked, and nobody else has the bytes in hands: the arena is
            // borrowed, and a kernel fills free slots only.
            unsafe {
                let place = self.memory.pointer().add(start);
                place.add(index * gap).copy_from(place, end - start);
            }
        }
        received.gap = if last > 0 { gap } else { 0 };
        true
    }

    /// Writes into the head of a slot, between the packets of a train that was spread, or behind what was received.
    pub fn write(&mut self, start: usize, bytes: &[u8]) {
        assert!(start + bytes.len() <= self.memory.bytes().len(), "{start} is beyond the slots");
        // SAFETY: it has just been checked, and nobody else has the bytes in hands, as above.
        unsafe { self.memory.pointer().add(start).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// What the slots lie in, for a kernel that is to fill them.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Adds what a ring has received.
    pub(super) fn add(&mut self, received: Received) {
        self.received.push(received);
    }

    /// Receives at most `most` datagrams behind those that are there; returns how many.
    pub fn receive(&mut self, socket: RawFd, most: usize) -> io::Result<usize> {
        let start = self.received.len();
        let most = most.min(SLOTS - start);
        // SAFETY: the headers point into vectors of ours, which keep their length and so their place.
        let count = unsafe { kernel::receive(socket, &mut self.headers[start..start + most])? };
        for slot in start..start + count {
            let received = self.describe(slot);
            self.received.push(received);
        }
        Ok(count)
    }

    /// Reads what the kernel has said of a slot, and has it ready for the next time.
    fn describe(&mut self, slot: usize) -> Received {
        let length = self.headers[slot].msg_len as usize;
        let source = read_address(&self.names[slot]);
        let mut received = Received::lone(slot * SLOT + HEAD, length, source);
        let header = &mut self.headers[slot].msg_hdr;
        // SAFETY: the kernel has written msg_controllen bytes of control messages into our buffer.
        unsafe { received.read_controls(header) };
        offer(header);
        received
    }
}

/// Says how much room there is for a name and for control messages: the kernel writes over it how much it has used.
fn offer(header: &mut libc::msghdr) {
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_controllen = CONTROL as _;
}

impl Received {
    /// A packet by itself.
    pub(super) fn lone(start: usize, length: usize, source: SocketAddr) -> Self {
        Received { start, length, segment: length.max(1), gap: 0, source, local: None }
    }

    /// Start and end, in the bytes of all slots, of each packet; an empty datagram is one packet too.
    pub fn packets(self) -> impl ExactSizeIterator<Item = (usize, usize)> + DoubleEndedIterator {
        let count = self.length.div_ceil(self.segment).max(1);
        (0..count).map(move |index| {
            let start = self.start + index * (self.segment + self.gap);
            (start, start + self.segment.min(self.length - index * self.segment))
        })
    }

    /// SAFETY: msg_control has msg_controllen bytes of control messages.
    pub(super) unsafe fn read_controls(&mut self, header: &libc::msghdr) {
        unsafe {
            let mut control = libc::CMSG_FIRSTHDR(header);
            while !control.is_null() {
                let data = libc::CMSG_DATA(control);
                match ((*control).cmsg_level, (*control).cmsg_type) {
                    (libc::SOL_UDP, UDP_GRO) => {
                        let segment = data.cast::<libc::c_int>().read_unaligned();
                        self.segment = usize::try_from(segment).unwrap_or(self.length).max(1);
                    }
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                        self.local = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        self.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                    }
                    _ => {}
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn read_address(name: &libc::sockaddr_storage) -> SocketAddr {
    // SAFETY: the kernel has written an address of the family that it says, both of which fit into the storage.
    unsafe {
        if libc::c_int::from(name.ss_family) == libc::AF_INET6 {
            let name = (&raw const *name).cast::<libc::sockaddr_in6>().read();
            let host = Ipv6Addr::from(name.sin6_addr.s6_addr);
            SocketAddrV6::new(host, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into()
        } else {
            let name = (&raw const *name).cast::<libc::sockaddr_in>().read();
            SocketAddrV4::new(Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes()), u16::from_be(name.sin_port)).into()
        }
    }
}
