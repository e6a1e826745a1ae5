//! The system calls: batches of datagrams in and out, epoll, eventfd. The only module with `unsafe`.
//!
//! What is unsafe here is that the kernel is given pointers. All of them point into buffers that the caller owns for
//! the length of the call and that are sized when they are made; nothing keeps a pointer beyond a call.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The longest datagram that there is, and the longest train that UDP_GRO makes of several.
pub const SLOT: usize = 65536;
/// Datagrams or trains that one batch holds.
pub const SLOTS: usize = 64;
/// Packets that one UDP_SEGMENT send may hold.
pub const MOST_SEGMENTS: usize = 64;

const CONTROL: usize = 128;
const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;

/// What is known of one received datagram or train.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// bytes in its slot
    pub length: usize,
    /// the length of each packet of the train, the last one aside; all of it for a lone packet
    pub segment: usize,
    /// who sent it
    pub source: SocketAddr,
    /// which of our addresses it was sent to, where the socket reports that
    pub local: Option<IpAddr>,
}

/// Slots for received bytes, and what the kernel wants to fill them.
pub struct Arena {
    bytes: Vec<u8>,
    received: Vec<Received>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<[u8; CONTROL]>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// The pointers in `vectors` and `headers` are written anew for each call and dangle in between.
unsafe impl Send for Arena {}

impl Arena {
    /// An arena with empty slots.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: all of these are plain C structures for which zero bytes are a value.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Arena {
            bytes: vec![0; SLOT * SLOTS],
            received: Vec::with_capacity(SLOTS),
            names: vec![name; SLOTS],
            controls: vec![[0; CONTROL]; SLOTS],
            vectors: vec![vector; SLOTS],
            headers: vec![header; SLOTS],
        }
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

    /// The bytes of all slots; slot n begins at n * SLOT.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Receives at most `most` datagrams behind those that are there; returns how many.
    pub fn receive(&mut self, socket: RawFd, most: usize) -> io::Result<usize> {
        let start = self.received.len();
        let most = most.min(SLOTS - start);
        for slot in start..start + most {
            self.vectors[slot] = libc::iovec { iov_base: self.bytes[slot * SLOT..].as_mut_ptr().cast(), iov_len: SLOT };
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_name = (&raw mut self.names[slot]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut self.vectors[slot];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[slot].as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            header.msg_flags = 0;
        }
        // SAFETY: headers start..start+most are filled above with pointers into vectors of this length.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                self.headers[start..].as_mut_ptr(),
                most as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        for slot in start..start + count as usize {
            let received = self.describe(slot);
            self.received.push(received);
        }
        Ok(count as usize)
    }

    fn describe(&self, slot: usize) -> Received {
        let length = self.headers[slot].msg_len as usize;
        let mut received =
            Received { length, segment: length.max(1), source: address(&self.names[slot]), local: None };
        let header = &self.headers[slot].msg_hdr;
        // SAFETY: the kernel has written msg_controllen bytes of control messages into our buffer.
        unsafe {
            let mut control = libc::CMSG_FIRSTHDR(header);
            while !control.is_null() {
                let data = libc::CMSG_DATA(control);
                match ((*control).cmsg_level, (*control).cmsg_type) {
                    (libc::SOL_UDP, UDP_GRO) => {
                        let segment = data.cast::<libc::c_int>().read_unaligned();
                        received.segment = usize::try_from(segment).unwrap_or(length).max(1);
                    }
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                        received.local = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        received.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                    }
                    _ => {}
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
        received
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

fn address(name: &libc::sockaddr_storage) -> SocketAddr {
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

/// One datagram, or a train of datagrams that the kernel cuts into segments.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
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

/// What the kernel wants in order to send a batch.
pub struct Sender {
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<[u8; CONTROL]>,
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

    /// Sends as many of the batch as the kernel takes; returns how many, or why not even the first.
    pub fn send(
        &mut self,
        socket: RawFd,
        batch: &[Outgoing],
        pieces: &[Piece],
        slices: &[&[u8]],
    ) -> io::Result<usize> {
        self.vectors.clear();
        for piece in pieces {
            let bytes = &slices[usize::from(piece.source)][piece.start as usize..][..piece.length as usize];
            let base = bytes.as_ptr().cast_mut().cast();
            self.vectors.push(libc::iovec { iov_base: base, iov_len: bytes.len() });
        }
        // SAFETY: plain C structures for which zero bytes are a value.
        let (name, header) = unsafe { (zeroed(), zeroed()) };
        self.names.resize(batch.len().max(self.names.len()), name);
        self.controls.resize(batch.len().max(self.controls.len()), [0; CONTROL]);
        self.headers.resize(batch.len().max(self.headers.len()), header);
        for (slot, outgoing) in batch.iter().enumerate() {
            let length = write_address(&mut self.names[slot], outgoing.to);
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_name = (&raw mut self.names[slot]).cast();
            header.msg_namelen = length;
            header.msg_iov = self.vectors[outgoing.first..][..outgoing.pieces].as_mut_ptr();
            header.msg_iovlen = outgoing.pieces as _;
            header.msg_control = self.controls[slot].as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            let used = write_controls(header, outgoing);
            header.msg_controllen = used as _;
            if used == 0 {
                header.msg_control = std::ptr::null_mut();
            }
        }
        // SAFETY: the headers of the batch are filled above; the kernel only reads what their vectors point to.
        let count = unsafe {
            libc::sendmmsg(
                socket,
                self.headers.as_mut_ptr(),
                batch.len() as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
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
unsafe fn write_control<T>(control: *mut libc::cmsghdr, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
    let size = size_of::<T>() as libc::c_uint;
    unsafe {
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(control).cast::<T>().write_unaligned(value);
        libc::CMSG_SPACE(size) as usize
    }
}

/// Turns an integer socket option on or off.
pub fn set_option(socket: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an integer of the length that is given.
    let result = unsafe {
        libc::setsockopt(socket, level, option, (&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the kernel put packets of one flow that arrive together into one slot; old kernels cannot, and need not.
pub fn receive_trains(socket: RawFd) {
    let _ = set_option(socket, libc::SOL_UDP, UDP_GRO, 1);
}

/// Has the kernel say which address a datagram was sent to.
pub fn report_local_address(socket: RawFd, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// Sets or unsets the DF bit of what is sent from now on.
pub fn dont_fragment(socket: RawFd, ipv4: bool, on: bool) -> io::Result<()> {
    let value = if on { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_WANT };
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    }
}

/// An epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one; raises what the kernel says when there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and ours.
        unsafe {
            let descriptor = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(Epoll(OwnedFd::from_raw_fd(descriptor))) }
        }
    }

    /// Watches a descriptor for input; `token` comes back with its events.
    pub fn watch(&self, descriptor: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the event is read during the call only.
        let result = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches it no more.
    pub fn forget(&self, descriptor: RawFd) {
        // SAFETY: no event is given.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, descriptor, std::ptr::null_mut()) };
    }

    /// Waits for input and writes the tokens of what is ready.
    pub fn wait(&self, tokens: &mut Vec<u64>, milliseconds: i32) -> io::Result<()> {
        const EVENTS: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        tokens.clear();
        // SAFETY: the kernel writes at most EVENTS events.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS as libc::c_int, milliseconds)
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        tokens.extend(events[..count as usize].iter().map(|event| event.u64));
        Ok(())
    }
}

/// A descriptor that is readable from ring() to silence().
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and ours.
        unsafe {
            let descriptor = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(Bell(OwnedFd::from_raw_fd(descriptor))) }
        }
    }

    /// Makes it readable.
    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from a value that lives through the call. A full counter is readable too.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable.
    pub fn silence(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to a value that lives through the call.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
