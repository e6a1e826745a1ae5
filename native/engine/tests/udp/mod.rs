//! Sockets of clients and peers on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Any port of loopback.
pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Gives up after three seconds in which nothing came.
pub fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket
}
