//! UDP sockets as the engine wants them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::sys::dont_fragment;

/// Bytes that a socket may keep until they are read, and until they are sent; 0 leaves the system's choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffers {
    /// SO_RCVBUF
    pub receive: usize,
    /// SO_SNDBUF
    pub send: usize,
}

/// A socket that does not block, not bound yet.
pub fn udp_socket(address: SocketAddr, buffers: Buffers) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    } else {
        // The system's default sets it on whatever is sent.
        dont_fragment(socket.as_raw_fd(), true, false)?;
    }
    if buffers.receive > 0 {
        socket.set_recv_buffer_size(buffers.receive)?;
    }
    if buffers.send > 0 {
        socket.set_send_buffer_size(buffers.send)?;
    }
    Ok(socket)
}

/// Where it is bound.
pub fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address: SockAddr = socket.local_addr()?;
    address.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// A socket that is kept open, with its number at hand: the socket itself lies in memory that no packet needs.
pub struct Handle {
    _socket: Arc<Socket>,
    descriptor: RawFd,
}

impl From<Arc<Socket>> for Handle {
    fn from(socket: Arc<Socket>) -> Self {
        Handle { descriptor: socket.as_raw_fd(), _socket: socket }
    }
}

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}
