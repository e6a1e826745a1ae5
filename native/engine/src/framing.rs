//! The headers in front of what a peer sends to a client (RFC 8656 sections 11.6 and 12.4).

use std::net::{IpAddr, SocketAddr};

const COOKIE: u32 = 0x2112_a442;
const DATA_INDICATION: u16 = 0x0017;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
/// The longest header: a Data indication's that names a peer of IPv6.
pub const HEADER: usize = 48;

/// Writes the header of ChannelData; returns its length, and the padding that a stream wants behind the data.
#[must_use]
pub fn channel_header(header: &mut [u8; HEADER], number: u16, length: usize, is_stream: bool) -> (usize, usize) {
    header[..2].copy_from_slice(&number.to_be_bytes());
    header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    (4, if is_stream { padding(length) } else { 0 })
}

/// Writes what stands before the data of a Data indication; returns its length and the padding behind the data. None
/// when the message's length has no room for them: the longest datagrams of IPv6 are longer than what fits.
#[must_use]
pub fn data_indication_header(
    header: &mut [u8; HEADER],
    transaction: u128,
    peer: SocketAddr,
    length: usize,
) -> Option<(usize, usize)> {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&transaction.to_be_bytes()[4..]);
    let (family, host): (u8, [u8; 16]) = match peer.ip() {
        IpAddr::V4(host) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&host.octets());
            (1, bytes)
        }
        IpAddr::V6(host) => (2, host.octets()),
    };
    let size = if family == 1 { 4 } else { 16 };
    let end = 20 + 4 + 4 + size + 4;
    let padding = padding(length);
    header[..2].copy_from_slice(&DATA_INDICATION.to_be_bytes());
    header[2..4].copy_from_slice(&u16::try_from(end - 20 + length + padding).ok()?.to_be_bytes());
    header[4..20].copy_from_slice(&mask);
    header[20..22].copy_from_slice(&XOR_PEER_ADDRESS.to_be_bytes());
    header[22..24].copy_from_slice(&(4 + size as u16).to_be_bytes());
    header[24] = 0;
    header[25] = family;
    header[26..28].copy_from_slice(&(peer.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
    for index in 0..size {
        header[28 + index] = host[index] ^ mask[index];
    }
    header[28 + size..30 + size].copy_from_slice(&DATA.to_be_bytes());
    header[30 + size..end].copy_from_slice(&(length as u16).to_be_bytes());
    Some((end, padding))
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}
