//! A kernel that is played in one thread, for tests and fuzzers: it takes what is sent apart as a real one does, cuts
//! trains, refuses what it is told to refuse, and hands out what is to be received, trains and control messages too.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

use super::arena::read_address;
use super::sender::{write_address, write_control};
use super::{MOST_SEGMENTS, UDP_GRO, UDP_SEGMENT};

/// A datagram, or a train of packets that the kernel has merged.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// who sent it
    pub source: SocketAddr,
    /// which of our addresses it was sent to, where the socket asked for that
    pub local: Option<IpAddr>,
    /// all bytes
    pub bytes: Vec<u8>,
    /// the length of each packet of a train, 0 for a lone packet
    pub segment: usize,
}

/// One packet as it went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// the socket that it left by
    pub socket: RawFd,
    /// where it went
    pub to: SocketAddr,
    /// which of our addresses it left from, where the socket has several
    pub from: Option<IpAddr>,
    /// all bytes
    pub bytes: Vec<u8>,
}

/// What the kernel of this thread does.
#[derive(Debug, Default)]
pub struct Kernel {
    /// what the next receive finds
    pub arrivals: VecDeque<Arrival>,
    /// the errors that the next sends meet, 0 for none; when they are used up nothing is refused
    pub refusals: VecDeque<i32>,
    /// what has been sent
    pub departures: Vec<Departure>,
    /// what its clock shows
    pub now: u64,
}

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// Lets the kernel of this thread be played, from now on; a kernel that is played already is returned.
pub fn play(kernel: Option<Kernel>) -> Option<Kernel> {
    KERNEL.with(|played| std::mem::replace(&mut *played.borrow_mut(), kernel))
}

/// Speaks with the kernel of this thread, if it is played.
pub fn with<T>(speak: impl FnOnce(&mut Kernel) -> T) -> Option<T> {
    KERNEL.with(|played| played.borrow_mut().as_mut().map(speak))
}

/// Whether the kernel of this thread is played: its sockets are then neither watched nor given options.
pub(super) fn is_on() -> bool {
    KERNEL.with(|played| played.borrow().is_some())
}

/// SAFETY: as for `kernel::receive`.
pub(super) unsafe fn receive(headers: &mut [libc::mmsghdr]) -> Option<io::Result<usize>> {
    with(|kernel| {
        let count = kernel.arrivals.len().min(headers.len());
        for (header, arrival) in headers.iter_mut().zip(kernel.arrivals.drain(..count)) {
            unsafe { fill(header, &arrival) };
        }
        if count == 0 { Err(io::Error::from_raw_os_error(libc::EAGAIN)) } else { Ok(count) }
    })
}

/// Writes what arrived to where the header says.
unsafe fn fill(header: &mut libc::mmsghdr, arrival: &Arrival) {
    let message = &mut header.msg_hdr;
    unsafe {
        let room = &*message.msg_iov;
        let length = arrival.bytes.len().min(room.iov_len);
        std::ptr::copy_nonoverlapping(arrival.bytes.as_ptr(), room.iov_base.cast(), length);
        header.msg_len = length as libc::c_uint;
        message.msg_namelen = write_address(&mut *message.msg_name.cast(), arrival.source);
        let mut used = 0;
        let mut control = libc::CMSG_FIRSTHDR(message);
        if arrival.segment > 0 {
            used += write_control(control, libc::SOL_UDP, UDP_GRO, arrival.segment as libc::c_int);
            control = libc::CMSG_NXTHDR(message, control);
        }
        match arrival.local {
            Some(IpAddr::V4(host)) => {
                let host = libc::in_addr { s_addr: u32::from_ne_bytes(host.octets()) };
                let info = libc::in_pktinfo { ipi_ifindex: 1, ipi_spec_dst: host, ipi_addr: host };
                used += write_control(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(host)) => {
                let host = libc::in6_addr { s6_addr: host.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: host, ipi6_ifindex: 1 };
                used += write_control(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
        message.msg_controllen = used as _;
    }
}

/// SAFETY: as for `kernel::send`.
pub(super) unsafe fn send(socket: RawFd, headers: &mut [libc::mmsghdr]) -> Option<io::Result<usize>> {
    with(|kernel| {
        for (place, header) in headers.iter_mut().enumerate() {
            let message = &header.msg_hdr;
            let (to, bytes, (segment, from)) =
                unsafe { (read_address(&*message.msg_name.cast()), gather(message), read_controls(message)) };
            if let Err(error) = kernel.take(socket, to, from, &bytes, segment) {
                return if place == 0 { Err(error) } else { Ok(place) };
            }
            header.msg_len = bytes.len() as libc::c_uint;
        }
        Ok(headers.len())
    })
}

pub(super) fn send_to(socket: RawFd, bytes: &[u8], name: &libc::sockaddr_storage) -> Option<io::Result<()>> {
    with(|kernel| kernel.take(socket, read_address(name), None, bytes, 0))
}

impl Kernel {
    /// Sends one datagram or train, or refuses it.
    fn take(
        &mut self,
        socket: RawFd,
        to: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        let longest = if to.is_ipv4() { 65507 } else { 65527 };
        let packets = bytes.len().div_ceil(segment.max(1));
        let refusal = match self.refusals.pop_front() {
            Some(error) if error != 0 => error,
            _ if bytes.len() > longest => libc::EMSGSIZE,
            _ if segment > 0 && packets > MOST_SEGMENTS => libc::EINVAL,
            _ => 0,
        };
        if refusal != 0 {
            return Err(io::Error::from_raw_os_error(refusal));
        }
        let pieces: Vec<&[u8]> =
            if segment == 0 || bytes.is_empty() { vec![bytes] } else { bytes.chunks(segment).collect() };
        let departures = pieces.into_iter().map(|piece| Departure { socket, to, from, bytes: piece.to_vec() });
        self.departures.extend(departures);
        Ok(())
    }
}

unsafe fn gather(message: &libc::msghdr) -> Vec<u8> {
    let vectors = unsafe { std::slice::from_raw_parts(message.msg_iov, message.msg_iovlen as _) };
    let piece =
        |vector: &libc::iovec| unsafe { std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len) };
    vectors.iter().flat_map(piece).copied().collect()
}

/// The length of each segment, 0 for none; and which of our addresses it is to leave from.
unsafe fn read_controls(message: &libc::msghdr) -> (usize, Option<IpAddr>) {
    let (mut segment, mut from) = (0, None);
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while !control.is_null() {
            let data = libc::CMSG_DATA(control);
            let length = (*control).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            match ((*control).cmsg_level, (*control).cmsg_type) {
                (libc::SOL_UDP, UDP_SEGMENT) => {
                    assert_eq!(length, size_of::<u16>());
                    segment = usize::from(data.cast::<u16>().read_unaligned());
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    assert_eq!(length, size_of::<libc::in_pktinfo>());
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    from = Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    assert_eq!(length, size_of::<libc::in6_pktinfo>());
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    from = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                other => panic!("a control message that nobody asked for: {other:?}"),
            }
            control = libc::CMSG_NXTHDR(message, control);
        }
    }
    (segment, from)
}
