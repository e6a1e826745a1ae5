//! Nonces without memory, as turnd/protocol/nonces.py mints them; what is minted here is checked there.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Characters of a nonce.
pub const NONCE: usize = BYTES / 3 * 4;
const TIME: usize = 5;
const BYTES: usize = TIME + 16;
/// Seconds for which a nonce is good, and by which the clocks of a fleet may differ.
const LIFETIME: u64 = 600;
const SKEW: u64 = 60;
const PURPOSE: &[u8] = b"fairlead nonce 1\0";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Mints and checks nonces under one key.
#[derive(Clone)]
pub struct NonceMint(Hmac<Sha256>);

impl NonceMint {
    /// `key`: at least 16 unpredictable bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        NonceMint(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// A nonce for this client and this second of Unix time.
    #[must_use]
    pub fn mint(&self, client: SocketAddr, now: u64) -> [u8; NONCE] {
        let mut sealed = [0; BYTES];
        sealed[..TIME].copy_from_slice(&now.to_be_bytes()[8 - TIME..]);
        let mac = self.mac(&sealed[..TIME], client).finalize().into_bytes();
        sealed[TIME..].copy_from_slice(&mac[..BYTES - TIME]);
        encode(&sealed)
    }

    /// Whether the nonce was given to this address and port, and is not too old.
    #[must_use]
    pub fn check(&self, nonce: &[u8], client: SocketAddr, now: u64) -> bool {
        let Some(sealed) = decode(nonce) else { return false };
        let (stamp, mac) = sealed.split_at(TIME);
        let issued = stamp.iter().fold(0, |time, byte| time << 8 | u64::from(*byte));
        issued <= now + SKEW && now <= issued + LIFETIME && self.mac(stamp, client).verify_truncated_left(mac).is_ok()
    }

    fn mac(&self, stamp: &[u8], client: SocketAddr) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(PURPOSE);
        mac.update(stamp);
        mac.update(&client.port().to_be_bytes());
        match client.ip() {
            IpAddr::V4(host) => mac.update(&host.octets()),
            IpAddr::V6(host) => mac.update(&host.octets()),
        }
        mac
    }
}

/// Base64 for URLs; three bytes are four characters, and nothing is left over.
fn encode(sealed: &[u8; BYTES]) -> [u8; NONCE] {
    let mut text = [0; NONCE];
    for (three, four) in sealed.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for (place, character) in four.iter_mut().enumerate() {
            *character = ALPHABET[bits >> (18 - 6 * place) & 63];
        }
    }
    text
}

/// There is one text for each nonce, so that what can be decoded need not be compared as text.
fn decode(text: &[u8]) -> Option<[u8; BYTES]> {
    let text: &[u8; NONCE] = text.try_into().ok()?;
    let mut sealed = [0; BYTES];
    for (three, four) in sealed.chunks_exact_mut(3).zip(text.chunks_exact(4)) {
        let mut bits = 0;
        for character in four {
            bits = bits << 6 | sextet(*character)?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(sealed)
}

fn sextet(character: u8) -> Option<u32> {
    let place = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_core_mints_the_same() {
        // NonceMint(bytes(range(32))).mint(Address(...), Now(0, 1_800_000_000)) of turnd.protocol.nonces
        let mint = NonceMint::new(&std::array::from_fn::<u8, 32, _>(|place| place as u8));
        for (at, nonce) in [
            ("192.0.2.1:4660", "AGtJ0gDVepRdV_XEZmY9SrGmtW5E"),
            ("[2001:db8::1]:65535", "AGtJ0gBAeLrY7y59DpImkBT_bJRj"),
        ] {
            assert_eq!(std::str::from_utf8(&mint.mint(client(at), NOW)).unwrap(), nonce);
        }
    }

    #[test]
    fn a_nonce_is_good_for_its_client_and_ten_minutes() {
        let (mint, at) = (NonceMint::new(b"sixteen bytes...."), client("192.0.2.1:4660"));
        let nonce = mint.mint(at, NOW);
        for (now, is_good) in [(NOW - 61, false), (NOW - 60, true), (NOW + 600, true), (NOW + 601, false)] {
            assert_eq!(mint.check(&nonce, at, now), is_good, "{now}");
        }
        for other in ["192.0.2.1:4661", "192.0.2.2:4660", "[::ffff:192.0.2.1]:4660"] {
            assert!(!mint.check(&nonce, client(other), NOW));
        }
        assert!(!NonceMint::new(b"another sixteen b").check(&nonce, at, NOW));
    }

    #[test]
    fn nothing_else_is_good() {
        let (mint, at) = (NonceMint::new(b"sixteen bytes...."), client("[2001:db8::1]:1"));
        let nonce = mint.mint(at, NOW);
        for place in 0..NONCE {
            // Miri takes its time for each.
            for byte in (0..=255).step_by(if cfg!(miri) { 85 } else { 1 }) {
                let mut changed = nonce;
                changed[place] = byte;
                assert_eq!(mint.check(&changed, at, NOW), byte == nonce[place]);
            }
        }
        for wrong in [&nonce[..27], &[nonce, nonce].concat(), b""] {
            assert!(!mint.check(wrong, at, NOW));
        }
    }
}
