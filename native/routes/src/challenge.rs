//! The first round of the long-term credential mechanism (RFC 8489 section 9.2.4): the 401 that says realm and nonce,
//! as turnd/protocol/admission.py writes it, and what a request says of its sender before anybody looks at a key.

use std::net::SocketAddr;

use crate::message::{FINGERPRINT, HEADER, STAMP, attributes, is_stamped, stamp};
use crate::nonce::{NONCE as NONCE_SIZE, NonceMint};

/// Allocate, Refresh, CreatePermission, ChannelBind: what is not answered to just anybody.
pub const METHODS: [u16; 4] = [0x0003, 0x0004, 0x0008, 0x0009];
/// The class bits of an error.
const ERROR: u16 = 0x0110;
/// What has more of them is for the core, which drops it: MOST_ATTRIBUTES of fairlead.stun.message.
const MOST_ATTRIBUTES: usize = 320;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
/// Reserved bits, class, number, and the phrase.
const UNAUTHORIZED: &[u8] = b"\0\0\x04\x01Unauthorized";

/// What a message says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A request without integrity: how every client begins. It is to be challenged.
    Unsigned {
        /// the place of its method in METHODS
        method: usize,
        /// whether it has a FINGERPRINT, which is right
        stamped: bool,
    },
    /// A request with integrity, and with a nonce that was given to this very source.
    Introduced,
    /// One with any other nonce, or none: whoever sent it, the answer will be a challenge.
    Stranger,
    /// Anything else, and what cannot be read.
    Other,
}

/// Challenges whoever asks, and knows again whom it has challenged.
pub struct Challenger {
    nonces: NonceMint,
    /// ERROR-CODE, REALM, and what stands in front of the nonce
    body: Box<[u8]>,
}

impl Challenger {
    /// `key` is that of the nonces.
    #[must_use]
    pub fn new(realm: &str, key: &[u8]) -> Self {
        let mut body = Vec::new();
        for (kind, value) in [(ERROR_CODE, UNAUTHORIZED), (REALM, realm.as_bytes())] {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body.extend(NONCE.to_be_bytes());
        body.extend((NONCE_SIZE as u16).to_be_bytes());
        Challenger { nonces: NonceMint::new(key), body: body.into() }
    }

    /// What a message with a good header is; `now` is Unix time in seconds.
    #[must_use]
    pub fn judge(&self, message: &[u8], client: SocketAddr, now: u64) -> Asked {
        let Some(method) = METHODS.iter().position(|method| message.starts_with(&method.to_be_bytes())) else {
            return Asked::Other;
        };
        let (mut nonce, mut stamped) = (None, false);
        for (number, attribute) in attributes(message).enumerate() {
            match attribute {
                _ if number == MOST_ATTRIBUTES => return Asked::Other,
                // Nothing that stands behind them is looked at.
                Some((MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256, _)) => {
                    let is_ours = nonce.is_some_and(|nonce| self.nonces.check(nonce, client, now));
                    return if is_ours { Asked::Introduced } else { Asked::Stranger };
                }
                Some((NONCE, value)) => nonce = nonce.or(Some(&message[value])),
                Some((FINGERPRINT, value)) if is_stamped(message, &value) => stamped = true,
                None | Some((FINGERPRINT, _)) => return Asked::Other,
                Some(_) => {}
            }
        }
        Asked::Unsigned { method, stamped }
    }

    /// Appends the answer to a request without integrity.
    pub fn challenge(&self, request: &[u8], stamped: bool, client: SocketAddr, now: u64, answer: &mut Vec<u8>) {
        let start = answer.len();
        let length = self.body.len() + NONCE_SIZE + if stamped { STAMP } else { 0 };
        answer.extend((u16::from_be_bytes([request[0], request[1]]) | ERROR).to_be_bytes());
        answer.extend((length as u16).to_be_bytes());
        answer.extend(&request[4..HEADER]);
        answer.extend(&*self.body);
        answer.extend(self.nonces.mint(client, now));
        if stamped {
            answer.extend(stamp(&answer[start..]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"sixteen bytes....";
    const NOW: u64 = 1_800_000_000;
    const REQUESTED_TRANSPORT: (u16, &[u8]) = (0x0019, &[17, 0, 0, 0]);
    const INTEGRITY: (u16, &[u8]) = (MESSAGE_INTEGRITY, &[7; 20]);

    fn client() -> SocketAddr {
        "192.0.2.1:4660".parse().unwrap()
    }

    fn request(kind: u16, rows: &[(u16, &[u8])], stamped: bool) -> Vec<u8> {
        let mut message = [&kind.to_be_bytes()[..], b"\0\0\x21\x12\xa4\x42transactions"].concat();
        for (kind, value) in rows {
            message.extend(kind.to_be_bytes());
            message.extend((value.len() as u16).to_be_bytes());
            message.extend(*value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message[3] = (message.len() - HEADER + if stamped { STAMP } else { 0 }) as u8;
        if stamped {
            message.extend(stamp(&message));
        }
        message
    }

    /// A request of that many empty attributes.
    fn lots(count: usize) -> Vec<u8> {
        let mut message = [&request(METHODS[0], &[], false)[..], &b"\x7f\0\0\0".repeat(count)].concat();
        message[2..4].copy_from_slice(&(4 * count as u16).to_be_bytes());
        message
    }

    fn judge(message: &[u8]) -> Asked {
        Challenger::new("realm", KEY).judge(message, client(), NOW)
    }

    #[test]
    fn what_has_no_integrity_is_to_be_challenged() {
        for (method, kind) in METHODS.into_iter().enumerate() {
            for stamped in [false, true] {
                for rows in [&[][..], &[REQUESTED_TRANSPORT], &[(0x7abc, b"unknown"), (NONCE, b"none"), (NONCE, b"")]] {
                    assert_eq!(judge(&request(kind, rows, stamped)), Asked::Unsigned { method, stamped });
                }
            }
        }
        assert_eq!(judge(&lots(MOST_ATTRIBUTES)), Asked::Unsigned { method: 0, stamped: false });
    }

    #[test]
    fn who_brings_the_nonce_back_is_introduced() {
        let nonce = NonceMint::new(KEY).mint(client(), NOW - 30);
        let given = (NONCE, &nonce[..]);
        for integrity in [INTEGRITY, (MESSAGE_INTEGRITY_SHA256, &[7; 32])] {
            for (rows, asked) in [
                (&[REQUESTED_TRANSPORT, given, integrity][..], Asked::Introduced),
                (&[given, (NONCE, b"another"), integrity, (0x7abc, b"unseen")], Asked::Introduced),
                (&[(NONCE, b"another"), given, integrity], Asked::Stranger),
                (&[integrity, given], Asked::Stranger),
                (&[integrity], Asked::Stranger),
            ] {
                assert_eq!(judge(&request(METHODS[0], rows, false)), asked, "{rows:?}");
            }
        }
    }

    #[test]
    fn everything_else_is_for_the_core() {
        let wrong = (FINGERPRINT, &[0; 4][..]);
        for message in [
            request(0x0001, &[], false),
            request(0x0016, &[], false),
            request(0x0013, &[], false),
            request(0x0103, &[], false),
            request(METHODS[0], &[wrong], false),
            lots(MOST_ATTRIBUTES + 1),
            request(METHODS[0], &[(FINGERPRINT, &[0; 5])], false),
            [&request(METHODS[0], &[REQUESTED_TRANSPORT], true)[..], b"\0\x06\0\0"].concat(),
            [&request(METHODS[0], &[], false)[..], b"\0\x06\0\x04"].concat(),
            [&request(METHODS[0], &[], false)[..], b"\0\x06\xff\xff\0\0\0\0"].concat(),
        ] {
            assert_eq!(judge(&message), Asked::Other, "{message:?}");
        }
    }

    #[test]
    fn a_challenge_says_realm_and_nonce() {
        let challenger = Challenger::new("realm", KEY);
        let (plain, stamped) = (request(METHODS[3], &[], false), request(METHODS[3], &[], true));
        let mut answer = b"before".to_vec();
        challenger.challenge(&plain, false, client(), NOW, &mut answer);
        let mut expected = b"before\x01\x19\0\x40\x21\x12\xa4\x42transactions".to_vec();
        expected.extend(b"\0\x09\0\x10\0\0\x04\x01Unauthorized\0\x14\0\x05realm\0\0\0\0\x15\0\x1c");
        expected.extend(NonceMint::new(KEY).mint(client(), NOW));
        assert_eq!(answer, expected);
        expected.drain(..6);
        expected[3] += STAMP as u8;
        expected.extend(stamp(&expected));
        answer.clear();
        challenger.challenge(&stamped, true, client(), NOW, &mut answer);
        assert_eq!(answer, expected);
    }
}
