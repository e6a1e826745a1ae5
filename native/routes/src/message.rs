//! What a client's message is, as far as a data plane wants to know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use crate::reason::Reason;

pub(crate) const HEADER: usize = 20;
pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const SEND_INDICATION: [u8; 2] = [0x00, 0x16];
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
pub(crate) const FINGERPRINT: u16 = 0x8028;
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Bytes of a FINGERPRINT.
pub(crate) const STAMP: usize = 8;

/// One message of a client; ranges are of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// ChannelData (RFC 8656 section 12.4), padding left out.
    ChannelData {
        /// 0x4000 to 0x7FFF
        number: u16,
        /// the application data
        data: Range<usize>,
    },
    /// ChannelData that says it is longer than what arrived.
    Truncated,
    /// A Send indication of a peer address and data and nothing else (a right FINGERPRINT aside).
    PlainSend {
        /// the peer as the client writes it
        peer: SocketAddr,
        /// the application data
        data: Range<usize>,
    },
    /// No message that anybody could read, and why.
    Junk(Reason),
    /// Anything else: not for the data plane.
    Other,
}

/// Reads one whole message.
#[must_use]
pub fn read(bytes: &[u8]) -> Message {
    match bytes {
        [0x40..=0x7f, _, _, _, ..] => channel_data(bytes),
        _ => match stun_header(bytes) {
            Err(reason) => Message::Junk(reason),
            Ok(kind) if kind == SEND_INDICATION => plain_send(bytes).unwrap_or(Message::Other),
            Ok(_) => Message::Other,
        },
    }
}

/// The type of a STUN message whose header is right (RFC 8489 section 5).
fn stun_header(bytes: &[u8]) -> Result<[u8; 2], Reason> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(if bytes.is_empty() { Reason::Empty } else { Reason::NotStun });
    };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >= 0x40 {
        Err(Reason::NotStun)
    } else if length % 4 != 0 || length != bytes.len() - HEADER {
        Err(Reason::Malformed)
    } else if header[4..8] != COOKIE {
        Err(Reason::BadCookie)
    } else {
        Ok([header[0], header[1]])
    }
}

fn channel_data(bytes: &[u8]) -> Message {
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if 4 + length > bytes.len() {
        return Message::Truncated;
    }
    Message::ChannelData { number: u16::from_be_bytes([bytes[0], bytes[1]]), data: 4..4 + length }
}

/// Type and value of each attribute behind a good header; None in place of one that leaves the message.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Option<(u16, Range<usize>)>> {
    let mut offset = HEADER;
    std::iter::from_fn(move || {
        // The length is a multiple of 4, so that no header and no padding ends behind the message.
        let header = bytes.get(offset..offset + 4)?;
        let size = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let value = offset + 4..offset + 4 + size;
        offset = value.end.next_multiple_of(4);
        Some((value.end <= bytes.len()).then_some((u16::from_be_bytes([header[0], header[1]]), value)))
    })
}

fn plain_send(bytes: &[u8]) -> Option<Message> {
    let (mut peer, mut data) = (None, None);
    for attribute in attributes(bytes) {
        let (kind, value) = attribute?;
        match kind {
            XOR_PEER_ADDRESS if peer.is_none() => peer = Some(xor_address(&bytes[value], &bytes[4..HEADER])?),
            DATA if data.is_none() => data = Some(value),
            FINGERPRINT if is_stamped(bytes, &value) => {}
            _ => return None,
        }
    }
    Some(Message::PlainSend { peer: peer?, data: data? })
}

/// Whether a FINGERPRINT with this value ends the message and is right (RFC 8489 section 14.7).
pub(crate) fn is_stamped(bytes: &[u8], value: &Range<usize>) -> bool {
    value.end == bytes.len() && bytes[value.start - 4..] == stamp(&bytes[..value.start - 4])
}

/// The FINGERPRINT attribute behind these bytes, whose length field counts it already.
pub(crate) fn stamp(bytes: &[u8]) -> [u8; STAMP] {
    let mut stamp = [0; STAMP];
    stamp[..2].copy_from_slice(&FINGERPRINT.to_be_bytes());
    stamp[3] = 4;
    stamp[4..].copy_from_slice(&(crc32(bytes) ^ FINGERPRINT_XOR).to_be_bytes());
    stamp
}

/// The address behind the mask of cookie and transaction id (RFC 8489 section 14.2).
fn xor_address(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*value.get(2)? ^ mask[0], *value.get(3)? ^ mask[1]]);
    let unmasked = |at: usize| value[4 + at] ^ mask[at];
    let host = match (value.len(), value[1]) {
        (8, 1) => IpAddr::V4(Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(unmasked))),
        (20, 2) => IpAddr::V6(Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(unmasked))),
        _ => return None,
    };
    Some(SocketAddr::new(host, port))
}

/// CRC-32 of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| CRC_TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8))
}

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(rows: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in rows {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = SEND_INDICATION.to_vec();
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(COOKIE);
        message.extend([7; 12]);
        message.extend(body);
        message
    }

    fn peer() -> (u16, Vec<u8>) {
        // 192.0.2.1:1234
        let port = 1234u16 ^ 0x2112;
        let mut value = vec![0, 1];
        value.extend(port.to_be_bytes());
        value.extend([192 ^ 0x21, 0x12, 2 ^ 0xa4, 1 ^ 0x42]);
        (XOR_PEER_ADDRESS, value)
    }

    #[test]
    fn plain_sends_are_read_in_either_order() {
        let expected = "192.0.2.1:1234".parse().unwrap();
        for rows in [vec![peer(), (DATA, vec![1; 5])], vec![(DATA, vec![1; 5]), peer()]] {
            let bytes = send(&rows);
            let Message::PlainSend { peer, data } = read(&bytes) else { panic!("not plain") };
            assert_eq!((peer, &bytes[data]), (expected, &[1u8; 5][..]));
        }
    }

    #[test]
    fn what_is_more_than_plain_is_not_for_the_data_plane() {
        let data = || (DATA, vec![1; 4]);
        for rows in [
            vec![peer()],
            vec![data()],
            vec![peer(), peer(), data()],
            vec![peer(), data(), data()],
            vec![peer(), data(), (0x001a, vec![])],
            vec![peer(), data(), (FINGERPRINT, vec![0; 4])],
            vec![(XOR_PEER_ADDRESS, vec![0, 1, 2, 3]), data()],
        ] {
            assert_eq!(read(&send(&rows)), Message::Other, "{rows:?}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn channel_data_may_be_padded_and_not_cut() {
        let read_number = |bytes: &[u8]| read(bytes);
        assert_eq!(read_number(&[0x40, 1, 0, 2, 9, 9]), Message::ChannelData { number: 0x4001, data: 4..6 });
        assert_eq!(read_number(&[0x40, 1, 0, 2, 9, 9, 0, 0]), Message::ChannelData { number: 0x4001, data: 4..6 });
        assert_eq!(read_number(&[0x40, 1, 0, 3, 9, 9]), Message::Truncated);
        assert_eq!(read_number(&[0x40, 1, 0]), Message::Junk(Reason::NotStun));
    }

    #[test]
    fn what_nobody_could_read_is_junk() {
        let good = send(&[]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (bytes, reason) in [
            (Vec::new(), Reason::Empty),
            (good[..19].to_vec(), Reason::NotStun),
            (with(0, 0x80), Reason::NotStun),
            (with(3, 4), Reason::Malformed),
            (with(3, 1), Reason::Malformed),
            (with(4, 0), Reason::BadCookie),
        ] {
            assert_eq!(read(&bytes), Message::Junk(reason), "{bytes:?}");
        }
        assert_eq!(read(&good), Message::Other);
    }
}
