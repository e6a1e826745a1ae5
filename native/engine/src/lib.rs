//! Threads that own listeners and relay sockets and move packets between them in batches.
//!
//! An owner opens sockets and says what may be forwarded; a thread receives many datagrams with one call, judges each
//! by its table, groups what goes the same way, and sends it with one call, in trains that the kernel cuts where
//! packets of one length follow each other. Nothing locks, waits or allocates on the way of a packet, except for what
//! is handed up.

mod books;
mod engine;
mod faults;
mod framing;
mod limits;
mod mailbox;
mod outbox;
mod sockets;
#[allow(unsafe_code, reason = "the one door to the kernel")]
pub mod sys;
mod thread;
mod upstairs;
mod worker;

pub use books::{Tally, Totals};
pub use engine::{Answer, Engine, Mistake, Options};
pub use routes::{
    Challenger, Channel, Client, FiveTuple, METHODS, Moment, NEVER, Permission, Ports, Rate, Reason, RelayId, Transport,
};
pub use sockets::Buffers;
pub use sys::Ring;
pub use upstairs::{Fault, Line, Up};
#[cfg(feature = "played-kernel")]
pub use worker::stage::{Door, NOW, Stage};
pub use worker::{Answering, Challenges};
