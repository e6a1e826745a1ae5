//! Nothing is allocated on the way of a packet; alone in its program, since every allocation of the process counts.
#![allow(unsafe_code, reason = "an allocator")]

mod udp;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Channel, Client, Engine, FiveTuple, NEVER, Options, Permission, Ports, Transport};
use udp::{loopback, socket};

const LISTENER: u32 = 1;
const NUMBER: u16 = 0x4000;
/// Packets that are on their way at one time, and how often that many are sent each way.
const BURST: usize = 16;
const ROUNDS: usize = 300;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: all of it is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A client of an engine, and its peer, by a channel or by indications alone.
struct Call {
    listener: SocketAddr,
    relayed: SocketAddr,
    client: UdpSocket,
    peer: UdpSocket,
    /// What stands in front of each payload of the client.
    prefix: Vec<u8>,
}

impl Call {
    fn new(engine: &mut Engine, listener: SocketAddr, relay: u64, by_channel: bool, size: u16) -> Self {
        let (client, peer) = (socket(), socket());
        engine.open_relay(relay, loopback()).unwrap().unwrap();
        let (from, to) = (client.local_addr().unwrap(), peer.local_addr().unwrap());
        let five_tuple = FiveTuple { transport: Transport::Udp, client: from, server: listener };
        engine.set_client(relay, Client { five_tuple, listener: LISTENER, path: 0 }).unwrap();
        engine.permit(Permission { relay, host: to.ip(), ports: Ports::Any }, NEVER).unwrap();
        if by_channel {
            engine.bind(Channel { relay, number: NUMBER, peer: to }, NEVER).unwrap();
        }
        let prefix =
            if by_channel { [NUMBER.to_be_bytes(), size.to_be_bytes()].concat() } else { indication(to, size) };
        Call { listener, relayed: engine.address(relay).unwrap(), client, peer, prefix }
    }

    /// Bursts of packets of this size each way, all of which arrive.
    fn relay(&self, rounds: usize, size: usize) {
        let (mut said, mut heard) = ([0; 2048], [0; 2048]);
        let framed = self.prefix.len() + size;
        said[..self.prefix.len()].copy_from_slice(&self.prefix);
        for _ in 0..rounds {
            for _ in 0..BURST {
                self.client.send_to(&said[..framed], self.listener).unwrap();
            }
            for _ in 0..BURST {
                assert_eq!(self.peer.recv(&mut heard).unwrap(), size);
            }
            for _ in 0..BURST {
                self.peer.send_to(&said[..size], self.relayed).unwrap();
            }
            for _ in 0..BURST {
                assert_eq!(self.client.recv(&mut heard).unwrap(), framed);
            }
        }
    }
}

/// A Send indication up to its payload (RFC 8656 section 11.1), which is as long as a Data indication up to there.
fn indication(peer: SocketAddr, size: u16) -> Vec<u8> {
    const COOKIE: u32 = 0x2112_a442;
    let SocketAddr::V4(peer) = peer else { unreachable!("loopback() is IPv4") };
    let mut message = vec![0x00, 0x16];
    message.extend((16 + size).to_be_bytes());
    message.extend(COOKIE.to_be_bytes());
    message.extend([7; 12]);
    message.extend([0x00, 0x12, 0x00, 0x08, 0x00, 0x01]);
    message.extend((peer.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
    message.extend((u32::from(*peer.ip()) ^ COOKIE).to_be_bytes());
    message.extend([0x00, 0x13]);
    message.extend(size.to_be_bytes());
    message
}

#[test]
fn what_is_relayed_is_relayed_without_an_allocation() {
    for by_ring in [false, true] {
        let mut engine = match Engine::new(Options { threads: 1, by_ring, ..Options::default() }) {
            Ok(engine) => engine,
            Err(error) => return eprintln!("not with rings, which this machine refuses: {error}"),
        };
        let listener = engine.open_listener(LISTENER, loopback()).unwrap().unwrap();
        for (relay, by_channel, size) in [(1, true, 172), (2, true, 1200), (3, false, 172), (4, false, 1200)] {
            let call = Call::new(&mut engine, listener, relay, by_channel, size);
            call.relay(ROUNDS / 10, usize::from(size));
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            call.relay(ROUNDS, usize::from(size));
            let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
            let packets = 2 * ROUNDS * BURST;
            assert_eq!(made, 0, "of {packets} packets of {size} bytes; by ring {by_ring}, by channel {by_channel}");
        }
        engine.close();
    }
}
