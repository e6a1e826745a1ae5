//! The system calls: batches of datagrams in and out, epoll, eventfd, io_uring. The only module with `unsafe`.
//!
//! What is unsafe here is that the kernel is given pointers. All of them point into buffers that the caller owns for
//! the length of the call and that are sized when they are made; nothing keeps a pointer beyond a call, but for the
//! receives of a ring, which has the buffers as well.

mod arena;
mod kernel;
mod memory;
#[cfg(feature = "played-kernel")]
pub mod played;
mod poll;
mod ring;
mod sender;

use std::io;
use std::mem::{align_of, size_of};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

pub use arena::{Arena, Received};
pub use kernel::now;
pub use poll::{Bell, Epoll};
pub use ring::Ring;
pub use sender::{Outgoing, Piece, Sender, send_to};

/// Room in front of a datagram: a ring writes its lengths, the name and the control messages there, and what frames the
/// datagram on its way out takes their place.
const HEAD: usize = 128;
/// The longest datagram that there is, and the longest train that UDP_GRO makes of several.
const SLOT: usize = 65536 + HEAD;
/// Datagrams or trains that one batch holds.
pub const SLOTS: usize = 64;
/// Packets that one UDP_SEGMENT send may hold.
pub const MOST_SEGMENTS: usize = 64;

/// Bytes for the control messages of one datagram: more than both that there may be.
const CONTROL: usize = 128;

/// Room for control messages, where their headers may stand.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Controls([u8; CONTROL]);

const NO_CONTROLS: Controls = Controls([0; CONTROL]);
const _: () = assert!(align_of::<Controls>() >= align_of::<libc::cmsghdr>() && size_of::<Controls>() == CONTROL);

// linux/udp.h; libc has no names for them on every target.
const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;

/// Another descriptor of the same socket.
pub fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a descriptor that is not open is refused by the kernel; nothing is kept of it.
    unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()
}

/// Turns an integer socket option on or off.
pub fn set_option(socket: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    if kernel::is_played() {
        return Ok(());
    }
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
    // Where it is off, IPv4 fragments on the way as well (RFC 8656 section 15), and IPv6 as its kernel does by itself.
    let off = if ipv4 { libc::IP_PMTUDISC_DONT } else { libc::IP_PMTUDISC_WANT };
    let value = if on { libc::IP_PMTUDISC_DO } else { off };
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    }
}
