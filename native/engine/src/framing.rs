//! The headers in front of what a peer sends to a client (RFC 8656 sections 11.6 and 12.4).

use std::net::{IpAddr, SocketAddr};

const COOKIE: u32 = 0x2112_a442;
const DATA_INDICATION: u16 = 0x0017;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const CHANNEL_HEADER: usize = 4;
/// Header, and what frames both attributes; the host of the first is not counted.
const INDICATION_HEADER: usize = 20 + 4 + 4 + 4;
/// The longest header: a Data indication's that names a peer of IPv6.
const HEADER: usize = INDICATION_HEADER + 16;

/// What stands around a peer's packet on its way to a client.
pub struct Frame {
    header: [u8; HEADER],
    used: usize,
    padding: usize,
}

/// Bytes that a packet of so many is framed with, in a channel or in an indication that names its peer.
#[must_use]
pub fn room_for(number: Option<u16>, peer: SocketAddr, length: usize) -> usize {
    match number {
        Some(_) => CHANNEL_HEADER,
        None => INDICATION_HEADER + if peer.is_ipv4() { 4 } else { 16 } + padding(length),
    }
}

impl Frame {
    /// That of ChannelData, padded for a stream.
    #[must_use]
    pub fn channel_data(number: u16, length: usize, is_stream: bool) -> Self {
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&number.to_be_bytes());
        header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        Frame { header, used: CHANNEL_HEADER, padding: if is_stream { padding(length) } else { 0 } }
    }

    /// That of a Data indication. None when the message's length has no room for them: the longest datagrams of IPv6 are
    /// longer than what fits.
    #[must_use]
    pub fn data_indication(transaction: u128, peer: SocketAddr, length: usize) -> Option<Self> {
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
        let (end, padding) = (INDICATION_HEADER + size, padding(length));
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&DATA_INDICATION.to_be_bytes());
        header[2..4].copy_from_slice(&u16::try_from(end - 20 + length + padding).ok()?.to_be_bytes());
        header[4..20].copy_from_slice(&mask);
        header[20..22].copy_from_slice(&XOR_PEER_ADDRESS.to_be_bytes());
        header[22..24].copy_from_slice(&(4 + size as u16).to_be_bytes());
        header[25] = family;
        header[26..28].copy_from_slice(&(peer.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
        for index in 0..size {
            header[28 + index] = host[index] ^ mask[index];
        }
        header[28 + size..30 + size].copy_from_slice(&DATA.to_be_bytes());
        header[30 + size..end].copy_from_slice(&(length as u16).to_be_bytes());
        Some(Frame { header, used: end, padding })
    }

    /// What stands in front of the data.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header[..self.used]
    }

    /// The zero bytes behind it.
    #[must_use]
    pub fn padding(&self) -> &'static [u8] {
        &[0; 3][..self.padding]
    }
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}
