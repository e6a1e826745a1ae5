//! What the Python cases cannot bring about: a thread that panics, floods, and descriptors that run out.

mod udp;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use engine::{Channel, Client, Engine, FiveTuple, NEVER, Options, Permission, Ports, Reason, Transport};
use udp::{loopback, socket};

const NUMBER: u16 = 0x4000;
const LISTENER: u32 = 1;

/// An engine with a listener, and one call through it.
struct Call {
    engine: Engine,
    listener: SocketAddr,
    client: UdpSocket,
    relayed: SocketAddr,
    peer: UdpSocket,
}

/// Once with each way into the kernel; some machines refuse rings.
fn both(case: fn(bool)) {
    case(false);
    match Engine::new(Options { threads: 1, by_ring: true, ..Options::default() }) {
        Ok(_) => case(true),
        Err(error) => eprintln!("not with rings, which this machine refuses: {error}"),
    }
}

impl Call {
    fn new(by_ring: bool) -> Self {
        Self::through(1, 0, by_ring)
    }

    /// Of an engine with so many threads, which is told that the client comes in by that one.
    fn through(threads: usize, path: u64, by_ring: bool) -> Self {
        let mut engine = Engine::new(Options { threads, by_ring, ..Options::default() }).unwrap();
        let listener = engine.open_listener(LISTENER, loopback()).unwrap().unwrap();
        let (client, peer) = (socket(), socket());
        engine.open_relay(7, loopback()).unwrap().unwrap();
        let relayed = engine.address(7).unwrap();
        let (from, to) = (client.local_addr().unwrap(), peer.local_addr().unwrap());
        let five_tuple = FiveTuple { transport: Transport::Udp, client: from, server: listener };
        engine.set_client(7, Client { five_tuple, listener: LISTENER, path }).unwrap();
        engine.permit(Permission { relay: 7, host: to.ip(), ports: Ports::Any }, NEVER).unwrap();
        engine.bind(Channel { relay: 7, number: NUMBER, peer: to }, NEVER).unwrap();
        Call { engine, listener, client, relayed, peer }
    }

    fn is_whole(&self) -> bool {
        let mut buffer = [0; 64];
        self.client.send_to(&[0x40, 0, 0, 2, b'u', b'p'], self.listener).unwrap();
        let (length, from) = self.peer.recv_from(&mut buffer).unwrap();
        let up = &buffer[..length] == b"up" && from == self.relayed;
        self.peer.send_to(b"down", self.relayed).unwrap();
        let length = self.client.recv(&mut buffer).unwrap();
        up && &buffer[..length] == b"\x40\x00\x00\x04down"
    }

    fn dropped(&self, reason: Reason) -> u64 {
        self.engine.totals().dropped[reason as usize]
    }
}

#[cfg(feature = "panic-injection")]
#[test]
fn a_panic_costs_a_batch_and_nothing_else() {
    both(|by_ring| {
        let call = Call::new(by_ring);
        assert!(call.is_whole());
        let routes = call.engine.routes();
        for panics in 1..=5 {
            call.engine.panic(0);
            assert!(call.is_whole());
            assert_eq!(call.engine.totals().panics, panics);
            let faults = call.engine.take_faults();
            assert!(faults.len() == 1 && faults[0].text.contains("asked for"), "{faults:?}");
        }
        assert_eq!(call.engine.routes(), routes);
        assert_eq!(call.engine.usage(7).unwrap().packets, [6, 0, 6, 0]);
    });
}

#[cfg(feature = "panic-injection")]
#[test]
fn what_was_said_behind_a_panic_is_carried_out() {
    both(|by_ring| {
        let mut call = Call::new(by_ring);
        call.engine.panic(0);
        call.engine.open_relay(8, loopback()).unwrap().unwrap();
        call.engine
            .permit(Permission { relay: 8, host: "127.0.0.9".parse().unwrap(), ports: Ports::Any }, NEVER)
            .unwrap();
        assert_eq!(call.engine.routes().0.len(), 2);
    });
}

#[cfg(feature = "panic-injection")]
#[test]
fn a_relay_socket_that_could_not_be_opened_gives_its_port_back() {
    both(|by_ring| {
        let mut call = Call::new(by_ring);
        let opened = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
        call.engine.panic_while_opening(0);
        call.engine.open_relay(8, opened).unwrap().unwrap();
        call.engine.sync();
        assert_eq!(call.engine.totals().panics, 1);
        assert!(call.is_whole());
        call.engine.close_relay(8);
        UdpSocket::bind(opened).unwrap();
    });
}

#[test]
fn a_flood_of_junk_beside_a_call_is_dropped_and_the_call_is_whole() {
    both(|by_ring| {
        let call = Call::new(by_ring);
        // Of another host than the peer, which has no permission.
        let flooders: Vec<UdpSocket> = (0..16).map(|_| UdpSocket::bind("127.0.0.2:0").unwrap()).collect();
        let (start, mut sent) = (Instant::now(), 0u64);
        while start.elapsed() < Duration::from_millis(500) {
            for flooder in &flooders {
                flooder.send_to(&[0xff; 100], call.listener).unwrap();
                flooder.send_to(&[0x80; 172], call.relayed).unwrap();
                sent += 1;
            }
            if sent % 512 == 0 {
                // So that nothing is lost before it arrives.
                call.engine.settle();
                assert!(call.is_whole());
            }
        }
        call.engine.settle();
        assert!(call.dropped(Reason::NotStun) > 0 && call.dropped(Reason::NoPermission) > 0);
        assert!(call.dropped(Reason::NotStun) <= sent);
        assert_eq!(call.engine.take(1).len(), 0);
    });
}

#[test]
fn a_burst_that_is_longer_than_a_share_arrives_whole_and_in_order() {
    both(|by_ring| {
        let call = Call::new(by_ring);
        for length in [7, 8, 9, 63, 64, 65, 150] {
            (0..length).for_each(|number: u8| drop(call.peer.send_to(&[number; 20], call.relayed)));
            for number in 0..length {
                let mut buffer = [0; 64];
                assert_eq!(call.client.recv(&mut buffer).unwrap(), 24);
                assert_eq!(buffer[4], number);
            }
        }
    });
}

#[test]
fn whatever_thread_a_packet_comes_in_by_the_one_that_has_its_relay_socket_forwards_it() {
    both(|by_ring| {
        let calls: Vec<Call> = (0..3).map(|path| Call::through(3, path, by_ring)).collect();
        for call in &calls {
            (0..20).for_each(|_| assert!(call.is_whole()));
            assert_eq!(call.engine.usage(7).unwrap().packets, [20, 0, 20, 0]);
            assert!([0, 20].contains(&call.engine.totals().handed_over));
        }
    });
}

#[test]
fn a_relay_socket_moves_to_the_thread_that_its_client_comes_in_by() {
    both(|by_ring| {
        let mut call = Call::through(3, 0, by_ring);
        let (from, server) = (call.client.local_addr().unwrap(), call.listener);
        let five_tuple = FiveTuple { transport: Transport::Udp, client: from, server };
        let mut handed_over = Vec::new();
        for path in [1, 2, 0, 0, 1, 2] {
            let routes = call.engine.routes();
            let before = call.engine.totals().handed_over;
            call.engine.set_client(7, Client { five_tuple, listener: LISTENER, path }).unwrap();
            assert!(call.is_whole());
            assert_eq!(call.engine.routes(), routes);
            handed_over.push(call.engine.totals().handed_over - before);
        }
        // The kernel picks one of three, and keeps to it.
        assert!(handed_over[..2] == handed_over[4..] && handed_over[2] == handed_over[3]);
        assert_eq!(handed_over[..3].iter().sum::<u64>(), 2);
        assert_eq!(call.engine.close_relay(7).packets, [6, 0, 6, 0]);
        call.client.send_to(&[0x40, 0, 0, 2, b'n', b'o'], server).unwrap();
        call.engine.settle();
        assert_eq!(call.dropped(Reason::NoAllocation), 1);
    });
}

#[test]
fn what_nobody_takes_is_bounded() {
    both(|by_ring| {
        let (call, strangers) = (Call::new(by_ring), socket());
        let allocate = *b"\x00\x03\x00\x00\x21\x12\xa4\x42transactions";
        let message = &allocate[..20];
        for _ in 0..400 {
            (0..32).for_each(|_| drop(strangers.send_to(message, call.listener)));
            call.engine.settle();
        }
        assert!(call.dropped(Reason::SendBuffer) > 0);
        let mut taken = 0;
        loop {
            let count = call.engine.take(512).len();
            assert!(count <= 512);
            if count == 0 {
                break;
            }
            taken += count;
        }
        assert_eq!(taken, 8192);
        assert!(call.is_whole());
    });
}

#[test]
fn sockets_are_read_though_nothing_else_is_said() {
    both(|by_ring| {
        let mut engine = Engine::new(Options { threads: 1, by_ring, ..Options::default() }).unwrap();
        let listener = engine.open_listener(LISTENER, loopback()).unwrap().unwrap();
        let (client, start) = (socket(), Instant::now());
        client.send_to(b"\x00\x03\x00\x00\x21\x12\xa4\x42transactions", listener).unwrap();
        while engine.take(1).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(3));
            std::thread::yield_now();
        }

        engine.open_relay(7, loopback()).unwrap().unwrap();
        let (relayed, peer) = (engine.address(7).unwrap(), socket());
        let five_tuple =
            FiveTuple { transport: Transport::Udp, client: client.local_addr().unwrap(), server: listener };
        engine.set_client(7, Client { five_tuple, listener: LISTENER, path: 0 }).unwrap();
        engine.permit(Permission { relay: 7, host: loopback().ip(), ports: Ports::Any }, NEVER).unwrap();
        peer.send_to(b"down", relayed).unwrap();
        assert!(client.recv(&mut [0; 100]).unwrap() > 20);
    });
}
