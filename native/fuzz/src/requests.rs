//! Requests that want credentials, and the challenge to those without: written and read as plainly as the RFCs say it.

use std::net::SocketAddr;

use engine::{Challenger, METHODS, NOW};
use routes::NonceMint;

use crate::input::Input;
use crate::plain::{self, attributes, checksum};

const KEY: &[u8] = b"sixteen bytes....";
const REALM: &str = "realm";

/// What a request says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// nothing, with a FINGERPRINT or without
    Unsigned(bool),
    /// a name, with a nonce of ours or without
    Signed(bool),
    /// it is no request, or a broken one
    Other,
}

/// What everybody is challenged by.
pub fn challenger() -> Challenger {
    Challenger::new(REALM, KEY)
}

/// A request with attributes of all kinds, some of them wrong.
pub fn write(input: &mut Input<'_>, client: SocketAddr) -> Vec<u8> {
    let nonce = NonceMint::new(KEY).mint(client, NOW - u64::from(input.byte()) * 4);
    let mut message = [&input.pick(&METHODS).to_be_bytes()[..], b"\0\0\x21\x12\xa4\x42transactions"].concat();
    for _ in 0..input.byte() % 5 {
        let (kind, value): (u16, &[u8]) = match input.byte() % 8 {
            0 => (0x0019, &[17, 0, 0, 0]),
            1 => (0x0006, b"somebody"),
            2 | 3 => (0x0015, &nonce),
            4 => (0x0015, b"another"),
            5 => (0x001c, &[7; 32]),
            6 => (0x7abc, &[]),
            _ => (0x0008, &[7; 20]),
        };
        message.extend(kind.to_be_bytes());
        message.extend((value.len() as u16).to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    let stamped = input.byte() % 4 == 0;
    message[3] = (message.len() - 20 + if stamped { 8 } else { 0 }) as u8;
    if stamped {
        message = stamp(message);
    }
    message
}

fn stamp(mut message: Vec<u8>) -> Vec<u8> {
    let said = checksum(&message) ^ 0x5354_554e;
    message.extend([0x80, 0x28, 0, 4]);
    message.extend(said.to_be_bytes());
    message
}

/// Reads one datagram.
pub fn read(datagram: &[u8], client: SocketAddr) -> Asked {
    let Ok((kind, body)) = plain::header(datagram) else { return Asked::Other };
    if !METHODS.contains(&kind) {
        return Asked::Other;
    }
    let (rows, is_whole) = attributes(datagram, body);
    let integrity = rows.iter().position(|row| [0x0008, 0x001c].contains(&row.0));
    if integrity.unwrap_or(rows.len() + usize::from(!is_whole)) > 320 {
        return Asked::Other;
    }
    let seen = &rows[..integrity.unwrap_or(rows.len())];
    let stamps: Vec<_> = seen.iter().filter(|row| row.0 == 0x8028).collect();
    let is_right = |before: &[u8]| datagram == stamp(before.to_vec());
    if !stamps.iter().all(|(_, _, before)| is_right(before)) {
        return Asked::Other;
    }
    let nonce = seen.iter().find(|row| row.0 == 0x0015).map(|row| row.1);
    match integrity {
        Some(_) => Asked::Signed(nonce.is_some_and(|nonce| NonceMint::new(KEY).check(nonce, client, NOW))),
        None if is_whole => Asked::Unsigned(!stamps.is_empty()),
        None => Asked::Other,
    }
}

/// The answer to a request without integrity.
pub fn challenge(request: &[u8], stamped: bool, client: SocketAddr) -> Vec<u8> {
    let length = 20 + 12 + 4 + 28 + if stamped { 8 } else { 0 };
    let mut answer = [&[1, 0x10 | request[1], 0, length], &request[4..20]].concat();
    answer.extend(b"\0\x09\0\x10\0\0\x04\x01Unauthorized\0\x14\0\x05realm\0\0\0\0\x15\0\x1c");
    answer.extend(NonceMint::new(KEY).mint(client, NOW));
    if stamped { stamp(answer) } else { answer }
}
