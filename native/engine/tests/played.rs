//! One worker with a kernel that is played: what Miri can look at, pointers into the kernel included.
#![cfg(feature = "played-kernel")]

use std::net::SocketAddr;

use engine::sys::played::Arrival;
use engine::{Channel, Client, Door, FiveTuple, NEVER, Permission, Ports, Reason, Stage, Transport, Up};

const LISTENER: Door = Door::Listener(1);
const RELAY: Door = Door::Relay(7);
const NUMBER: u16 = 0x4000;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A call on a wildcard listener, so that every datagram carries control messages both ways.
fn call() -> Stage {
    let mut stage = Stage::new().unwrap();
    stage.open(LISTENER, at("0.0.0.0:3478"), true).unwrap();
    stage.open(RELAY, at("127.0.0.1:4000"), false).unwrap();
    let five_tuple =
        FiveTuple { transport: Transport::Udp, client: at("127.0.0.8:5000"), server: at("127.0.0.2:3478") };
    stage.set_client(7, Client { five_tuple, listener: 1, path: 0 });
    stage.permit(Permission { relay: 7, host: at("127.0.0.9:0").ip(), ports: Ports::Any }, Some(NEVER));
    stage.bind(Channel { relay: 7, number: NUMBER, peer: at("127.0.0.9:6000") }, Some(NEVER));
    stage
}

fn arrival(source: &str, bytes: &[u8], segment: usize) -> Arrival {
    let local = source.starts_with("127.0.0.8").then(|| at("127.0.0.2:0").ip());
    Arrival { source: at(source), local, bytes: bytes.to_vec(), segment }
}

#[test]
fn a_train_leaves_as_the_packets_that_it_was_made_of() {
    let mut stage = call();
    let frame = [&NUMBER.to_be_bytes()[..], &[0, 4], b"data"].concat();
    stage.arrive(LISTENER, vec![arrival("127.0.0.8:5000", &frame.repeat(20), frame.len())]);
    stage.arrive(RELAY, vec![arrival("127.0.0.9:6000", &[7; 45], 10)]);
    let (departures, up) = stage.end_turn();
    assert!(up.is_empty());
    let (to_peer, to_client): (Vec<_>, Vec<_>) = departures.into_iter().partition(|(door, _)| *door == RELAY);
    assert_eq!(to_peer.len(), 20);
    assert!(to_peer.iter().all(|(_, packet)| packet.bytes == b"data" && packet.to == at("127.0.0.9:6000")));
    let lengths: Vec<usize> = to_client.iter().map(|(_, packet)| packet.bytes.len()).collect();
    assert_eq!(lengths, [14, 14, 14, 14, 9]);
    assert!(to_client.iter().all(|(_, packet)| packet.from == Some(at("127.0.0.2:0").ip())));
}

#[test]
fn what_a_train_is_framed_with_stands_between_its_packets() {
    let data: Vec<u8> = (0..=255).cycle().take(64 * 1023).collect();
    // Without a channel, and with padding; the longest train has no room for it where it lies.
    for (peer, segment, count) in [("127.0.0.9:6001", 5, 7), ("127.0.0.9:6000", 10, 3), ("127.0.0.9:6001", 1023, 64)] {
        let mut stage = call();
        let train = &data[..segment * count - 2];
        stage.arrive(RELAY, vec![arrival(peer, train, segment), arrival(peer, &[9; 6], 0)]);
        let (departures, _) = stage.end_turn();
        assert_eq!(departures.len(), count + 1);
        for ((_, packet), data) in departures.iter().zip(train.chunks(segment).chain([&[9; 6][..]])) {
            let length = (data.len() as u16).to_be_bytes();
            if peer.ends_with("6000") {
                assert_eq!(packet.bytes, [&NUMBER.to_be_bytes(), &length, data].concat());
            } else {
                assert_eq!(packet.bytes[..2], [0, 0x17]);
                assert_eq!(packet.bytes[34..36], length);
                assert_eq!(packet.bytes[36..], [data, &[0; 3][..data.len().next_multiple_of(4) - data.len()]].concat());
            }
        }
    }
}

#[test]
fn a_train_that_is_refused_is_sent_packet_by_packet_and_the_rest_is_counted() {
    let mut stage = call();
    let frame = [&NUMBER.to_be_bytes()[..], &[0, 4], b"data"].concat();
    stage.arrive(LISTENER, vec![arrival("127.0.0.8:5000", &frame.repeat(5), frame.len())]);
    stage.refuse([libc::EINVAL, 0, libc::EMSGSIZE, libc::ENOBUFS]);
    assert_eq!(stage.end_turn().0.len(), 3);
    let dropped = stage.dropped();
    assert_eq!((dropped[Reason::TooLarge as usize], dropped[Reason::SendBuffer as usize]), (1, 1));
}

#[test]
fn more_than_the_slots_hold_is_read_in_turns() {
    let mut stage = call();
    let request = [&[0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], b"transactions"].concat();
    stage.arrive(LISTENER, vec![arrival("127.0.0.8:5001", &request, 0); 150]);
    let (departures, up) = stage.end_turn();
    assert!(departures.is_empty());
    assert_eq!(up.len(), 150);
    assert!(up.iter().all(|up| matches!(up, Up::Datagram { data, .. } if data[..] == request[..])));
}
