//! When the kernel watches no more sockets; alone in its program, since it is asked to refuse all of this thread's.

mod refusing;

use std::net::{SocketAddr, UdpSocket};

use engine::{Client, Engine, FiveTuple, Options, Transport};
use refusing::refuse;

#[test]
fn a_socket_that_cannot_be_watched_is_refused_and_the_others_go_on() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut engine = Engine::new(Options { threads: 2, ..Options::default() }).unwrap();
    let server = engine.open_listener(1, loopback).unwrap().unwrap();
    engine.open_relay(1, loopback).unwrap().unwrap();
    // As it does beyond fs.epoll.max_user_watches.
    refuse(libc::SYS_epoll_ctl, Some((1, libc::EPOLL_CTL_ADD as u32)), libc::ENOSPC);
    for _ in 0..2 {
        assert_eq!(engine.open_relay(2, loopback).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(engine.open_listener(2, loopback).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    }
    assert_eq!(engine.close_relay(2).packets, [0; 4]);

    // What is open stays where it is: by whichever thread its client comes in, nothing of it is lost.
    let (client, peer) = (UdpSocket::bind(loopback).unwrap(), UdpSocket::bind(loopback).unwrap());
    let to = peer.local_addr().unwrap();
    let five_tuple = FiveTuple { transport: Transport::Udp, client: client.local_addr().unwrap(), server };
    engine.set_client(1, Client { five_tuple, listener: 1, path: 1 }).unwrap();
    engine.permit(engine::Permission { relay: 1, host: to.ip(), ports: engine::Ports::Any }, engine::NEVER).unwrap();
    engine.bind(engine::Channel { relay: 1, number: 0x4000, peer: to }, engine::NEVER).unwrap();
    for _ in 0..10 {
        client.send_to(&[0x40, 0, 0, 2, b'u', b'p'], server).unwrap();
    }
    engine.settle();
    assert_eq!(engine.usage(1).unwrap().packets, [10, 0, 0, 0]);
}
