//! When the kernel watches no more sockets; alone in its program, since it is asked to refuse all of this thread's.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use engine::{Client, Engine, FiveTuple, Options, Transport};

/// Has the kernel answer ENOSPC to every EPOLL_CTL_ADD of this thread, as it does beyond fs.epoll.max_user_watches.
fn refuse_watches() {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let unless = |k: u32, jf: u8| libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ) as u16, jt: 0, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    // struct seccomp_data: the number of the call first, then arguments of eight bytes from the sixteenth on.
    let mut filter = [
        statement(load, 0),
        unless(libc::SYS_epoll_ctl as u32, 3),
        statement(load, 16 + 8),
        unless(libc::EPOLL_CTL_ADD as u32, 1),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | libc::ENOSPC as u32),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is read during the call only.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filtered = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        assert_eq!(filtered, 0, "{}", io::Error::last_os_error());
    }
}

#[test]
fn a_socket_that_cannot_be_watched_is_refused_and_the_others_go_on() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut engine = Engine::new(Options { threads: 2, ..Options::default() }).unwrap();
    let server = engine.open_listener(1, loopback).unwrap().unwrap();
    engine.open_relay(1, loopback).unwrap().unwrap();
    refuse_watches();
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
    engine.permit(engine::Permission { relay: 1, host: to.ip(), ports: engine::Ports::Any }).unwrap();
    engine.bind(engine::Channel { relay: 1, number: 0x4000, peer: to }).unwrap();
    for _ in 0..10 {
        client.send_to(&[0x40, 0, 0, 2, b'u', b'p'], server).unwrap();
    }
    engine.settle();
    assert_eq!(engine.usage(1).unwrap().packets, [10, 0, 0, 0]);
}
