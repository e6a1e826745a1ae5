//! TURN's two framings, read and written as plainly as the RFCs say it: the second opinion on what the engine does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use routes::Reason;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// ChannelData: number and data
    Channel(u16, &'a [u8]),
    /// a Send indication of peer and data alone
    Send(SocketAddr, &'a [u8]),
    /// nothing that can be read, and why
    Nothing(Reason),
    /// something for the core
    Other,
}

/// Reads one datagram of a client (RFC 8656 section 12.4, RFC 8489 section 5).
pub fn read(datagram: &[u8]) -> Said<'_> {
    if datagram.len() >= 4 && (0x40..0x80).contains(&datagram[0]) {
        let (number, length) = (number(datagram, 0), number(datagram, 2));
        return match datagram[4..].get(..usize::from(length)) {
            Some(data) => Said::Channel(number, data),
            None => Said::Nothing(Reason::Malformed),
        };
    }
    match header(datagram) {
        Err(reason) => Said::Nothing(reason),
        Ok((0x0016, body)) => send(datagram, body).unwrap_or(Said::Other),
        Ok(_) => Said::Other,
    }
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) << 8 | u16::from(bytes[at + 1])
}

pub fn header(datagram: &[u8]) -> Result<(u16, &[u8]), Reason> {
    let Some((header, body)) = datagram.split_at_checked(20) else {
        return Err(if datagram.is_empty() { Reason::Empty } else { Reason::NotStun });
    };
    if header[0] >> 6 != 0 {
        return Err(Reason::NotStun);
    }
    if usize::from(number(header, 2)) != body.len() || body.len() % 4 != 0 {
        return Err(Reason::Malformed);
    }
    if header[4..8] != COOKIE { Err(Reason::BadCookie) } else { Ok((number(header, 0), body)) }
}

/// Type, value, and what precedes it in the message.
pub type Attribute<'a> = (u16, &'a [u8], &'a [u8]);

/// The attributes up to one that is cut off, and whether there is none.
pub fn attributes<'a>(datagram: &'a [u8], mut body: &'a [u8]) -> (Vec<Attribute<'a>>, bool) {
    let mut found = Vec::new();
    while !body.is_empty() {
        let before = &datagram[..datagram.len() - body.len()];
        let length = usize::from(number(body, 2));
        let Some(value) = body[4..].get(..length) else { return (found, false) };
        found.push((number(body, 0), value, before));
        body = &body[4 + length.next_multiple_of(4)..];
    }
    (found, true)
}

fn send<'a>(datagram: &'a [u8], body: &'a [u8]) -> Option<Said<'a>> {
    let (mut rows, true) = attributes(datagram, body) else { return None };
    if let Some((0x8028, value, before)) = rows.last() {
        let right = (checksum(before) ^ 0x5354_554e).to_be_bytes();
        // FINGERPRINT counts only where it ends the message, its padding included.
        if *value != right || before.len() + 8 != datagram.len() {
            return None;
        }
        rows.pop();
    }
    let (peer, data) = match rows[..] {
        [(0x0012, peer, _), (0x0013, data, _)] | [(0x0013, data, _), (0x0012, peer, _)] => (peer, data),
        _ => return None,
    };
    Some(Said::Send(address(peer, &datagram[4..20])?, data))
}

/// XOR-PEER-ADDRESS (RFC 8489 section 14.2).
fn address(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let host = |value: &[u8]| -> Vec<u8> { value.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    let (ip, port) = match (value.len(), value.get(1)) {
        (8, Some(1)) => (IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(host(&value[4..])).ok()?)), number(value, 2)),
        (20, Some(2)) => (IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(host(&value[4..])).ok()?)), number(value, 2)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port ^ number(&COOKIE, 0)))
}

/// The answer to a Binding request of nothing but a FINGERPRINT, or what is wrong with that; None for all else.
pub fn answer(datagram: &[u8], source: SocketAddr) -> Option<Result<Vec<u8>, Reason>> {
    let (header, body) = datagram.split_at_checked(20)?;
    if header[..2] != [0, 1] {
        return None;
    }
    let stamp = |message: &[u8]| (checksum(message) ^ 0x5354_554e).to_be_bytes();
    let is_stamped = match body {
        [] => false,
        [0x80, 0x28, 0, 4, said @ ..] if said.len() == 4 && *said == stamp(header) => true,
        [0x80, 0x28, 0, 4, said @ ..] if said.len() == 4 => return Some(Err(Reason::BadFingerprint)),
        _ => return None,
    };
    let mut answer = [&[1, 1, 0, 0], &header[4..], &0x0020u16.to_be_bytes()].concat();
    let value = xored(source, &header[4..]);
    answer.extend((value.len() as u16).to_be_bytes());
    answer.extend(value);
    answer[3] = (answer.len() - 20) as u8 + if is_stamped { 8 } else { 0 };
    if is_stamped {
        let said = stamp(&answer);
        answer.extend([0x80, 0x28, 0, 4]);
        answer.extend(said);
    }
    Some(Ok(answer))
}

fn xored(address: SocketAddr, mask: &[u8]) -> Vec<u8> {
    let (family, host) = match address.ip() {
        IpAddr::V4(ip) => (1u16, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let host: Vec<u8> = host.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    [&family.to_be_bytes()[..], &(address.port() ^ number(&COOKIE, 0)).to_be_bytes(), &host].concat()
}

pub fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

/// ChannelData, padded for streams (RFC 8656 section 12.5); None when the length has no room for it.
pub fn channel_data(number: u16, data: &[u8], is_stream: bool) -> Option<Vec<u8>> {
    let length = u16::try_from(data.len()).ok()?;
    let mut message = [&number.to_be_bytes()[..], &length.to_be_bytes(), data].concat();
    if is_stream {
        message.resize(message.len().next_multiple_of(4), 0);
    }
    Some(message)
}

/// An indication (0x16 Send, 0x17 Data) of a peer and data; None when the length has no room for it.
pub fn indication(kind: u16, transaction: &[u8], peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let mask = [&COOKIE[..], transaction].concat();
    let value = xored(peer, &mask);
    let mut body = Vec::new();
    for (kind, value) in [(0x0012u16, &value[..]), (0x0013, data)] {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(body.len()).ok()?;
    Some([&kind.to_be_bytes()[..], &length.to_be_bytes(), &mask, &body].concat())
}
