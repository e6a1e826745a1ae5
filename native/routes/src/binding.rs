//! Binding requests that need no thought (RFC 8489 section 12): what fairlead.stun.binding.answer_plain_request does.

use std::net::{IpAddr, SocketAddr};

use crate::message::{COOKIE, HEADER, STAMP, stamp};
use crate::reason::Reason;

const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const LONGEST: usize = HEADER + 24 + STAMP;

/// A success: the address that a request came from, and a FINGERPRINT if it had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; LONGEST],
    length: usize,
    /// whether the request had a FINGERPRINT
    pub signed: bool,
}

impl Answer {
    /// The message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn to(request: &[u8], source: SocketAddr, signed: bool) -> Self {
        let mut answer = Answer { bytes: [0; LONGEST], length: HEADER, signed };
        let (family, host): (u8, &[u8]) = match source.ip() {
            IpAddr::V4(host) => (1, &host.octets()),
            IpAddr::V6(host) => (2, &host.octets()),
        };
        let body = 8 + host.len() + if signed { STAMP } else { 0 };
        answer.bytes[..2].copy_from_slice(&SUCCESS);
        answer.bytes[2..4].copy_from_slice(&(body as u16).to_be_bytes());
        answer.bytes[4..HEADER].copy_from_slice(&request[4..HEADER]);
        answer.append(&XOR_MAPPED_ADDRESS.to_be_bytes());
        answer.append(&(4 + host.len() as u16).to_be_bytes());
        answer.append(&[0, family]);
        answer.append(&(source.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]])).to_be_bytes());
        for (byte, mask) in host.iter().zip(&request[4..HEADER]) {
            answer.append(&[byte ^ mask]);
        }
        if signed {
            answer.append(&stamp(answer.bytes()));
        }
        answer
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// Whether a message with a good header is a Binding request.
#[must_use]
pub fn is_binding(message: &[u8]) -> bool {
    message.starts_with(&REQUEST)
}

/// The answer to a Binding request of nothing but a FINGERPRINT; None when there is more in it, a reason when the
/// FINGERPRINT is wrong.
pub fn answer_binding(request: &[u8], source: SocketAddr) -> Result<Option<Answer>, Reason> {
    let Some((header, body)) = request.split_at_checked(HEADER) else { return Ok(None) };
    match body {
        [] => Ok(Some(Answer::to(header, source, false))),
        [0x80, 0x28, 0, 4, ..] if body.len() == STAMP => {
            if *body == stamp(header) {
                Ok(Some(Answer::to(header, source, true)))
            } else {
                Err(Reason::BadFingerprint)
            }
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fingerprint: Option<u8>) -> Vec<u8> {
        let mut message = vec![0, 1, 0, if fingerprint.is_some() { 8 } else { 0 }];
        message.extend(COOKIE);
        message.extend(b"transactions");
        if let Some(error) = fingerprint {
            message.extend(stamp(&message));
            message[27] ^= error;
        }
        message
    }

    #[test]
    fn the_address_is_masked_by_cookie_and_transaction() {
        let answer = answer_binding(&request(None), "192.0.2.1:4660".parse().unwrap()).unwrap().unwrap();
        let mut expected = vec![1, 1, 0, 12];
        expected.extend(&request(None)[4..]);
        expected.extend([0, 0x20, 0, 8, 0, 1, 0x12 ^ 0x21, 0x34 ^ 0x12, 192 ^ 0x21, 0x12, 2 ^ 0xa4, 1 ^ 0x42]);
        assert_eq!(answer.bytes(), expected);
        let answer = answer_binding(&request(None), "[2001:db8::1]:1".parse().unwrap()).unwrap().unwrap();
        assert_eq!((answer.bytes().len(), answer.signed), (44, false));
    }

    #[test]
    fn a_fingerprint_is_answered_by_one() {
        let answer = answer_binding(&request(Some(0)), "192.0.2.1:1".parse().unwrap()).unwrap().unwrap();
        let (head, end) = answer.bytes().split_at(32);
        assert_eq!(*end, stamp(head));
        let wrong = answer_binding(&request(Some(1)), "192.0.2.1:1".parse().unwrap());
        assert_eq!(wrong, Err(Reason::BadFingerprint));
    }

    #[test]
    fn what_holds_more_is_for_others() {
        for more in [&[0, 6, 0, 0][..], &[0x80, 0x22, 0, 4, 1, 2, 3, 4], &[0x80, 0x28, 0, 3, 1, 2, 3, 0]] {
            let message = [&request(None), more].concat();
            assert_eq!(answer_binding(&message, "192.0.2.1:1".parse().unwrap()), Ok(None));
        }
    }
}
