//! The route table of a TURN data plane (RFC 8656) and the verdict on every packet, without sockets and clocks.
//!
//! It is a mirror: whoever owns the allocations says what is open, permitted and bound; here it is looked up.
#![forbid(unsafe_code)]

mod binding;
mod buckets;
mod challenge;
mod hash;
mod message;
mod nonce;
mod reason;
mod share;
mod table;

pub use binding::{Answer, answer_binding, is_binding};
pub use buckets::{Bucket, BucketTable, Rate};
pub use challenge::{Asked, Challenger, METHODS};
pub use hash::Keyed;
pub use message::{Message, read};
pub use nonce::NonceMint;
pub use reason::Reason;
pub use share::Share;
pub use table::{
    Channel, Client, FiveTuple, Forward, FromClient, FromPeer, Moment, NEVER, Permission, Ports, RelayId, Routes,
    Table, Transport,
};
