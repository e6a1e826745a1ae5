//! How often a thread is woken; alone in its program, since threads are found by their names.

use std::fs::read_to_string;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use engine::{Channel, Client, Engine, FiveTuple, NEVER, Options, Permission, Ports, Transport, Up};

const NUMBER: u16 = 0x4000;

/// How often the first thread of the engine has gone to sleep.
fn sleeps() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|row| row.unwrap().path());
    let mut mine = threads.filter(|path| read_to_string(path.join("comm")).is_ok_and(|name| name == "relay-0\n"));
    let status = read_to_string(mine.next().unwrap().join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// A stream client's requests do not come in by the engine: only what it is told can have it receive.
fn a_peer_speaks_first(engine: &mut Engine, relay: u64) {
    let (peer, loopback) = (UdpSocket::bind("127.0.0.1:0").unwrap(), SocketAddr::from(([127, 0, 0, 1], 9)));
    let five_tuple = FiveTuple { transport: Transport::Tcp, client: loopback, server: loopback };
    let at = peer.local_addr().unwrap();
    engine.set_client(relay, Client { five_tuple, listener: 70, path: 0 }).unwrap();
    engine.permit(Permission { relay, host: at.ip(), ports: Ports::Any }, NEVER).unwrap();
    engine.bind(Channel { relay, number: NUMBER, peer: at }, NEVER).unwrap();
    peer.send_to(b"down", engine.address(relay).unwrap()).unwrap();
    let began = Instant::now();
    let taken = loop {
        let taken = engine.take(8);
        if !taken.is_empty() {
            break taken;
        }
        assert!(began.elapsed() < Duration::from_secs(3), "it sleeps");
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(matches!(&taken[..], [Up::Stream { data, .. }] if data[..] == *b"\x40\x00\x00\x04down"));
}

#[test]
fn a_new_socket_wakes_nobody_and_its_first_route_does() {
    for by_ring in [false, true] {
        let Ok(mut engine) = Engine::new(Options { threads: 1, by_ring, ..Options::default() }) else {
            eprintln!("not with rings, which this machine refuses");
            continue;
        };
        engine.sync();
        let before = sleeps();
        for relay in 0..20 {
            engine.open_relay(relay, "127.0.0.1:0".parse().unwrap()).unwrap().unwrap();
            // Time for a thread that was woken to go to sleep again.
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(sleeps() - before < 5, "{} for 20 sockets, by_ring: {by_ring}", sleeps() - before);
        a_peer_speaks_first(&mut engine, 0);
    }
}
