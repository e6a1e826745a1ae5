//! One thread: its sockets, its table, and the turn that moves packets between them.

mod bindings;
mod commands;
mod elsewhere;
mod intake;
mod packets;
#[cfg(feature = "played-kernel")]
pub mod stage;
mod strangers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use routes::{Reason, RelayId, Table};

use crate::books::{Books, Tally, way};
use crate::faults::catch;
use crate::limits::{Limits, Sources};
use crate::mailbox::{Command, Mailbox, Stray};
use crate::outbox::{Account, Ledger, Outbox};
use crate::sockets::Handle;
use crate::sys::{Arena, Epoll};
use crate::upstairs::{Fault, Up, Upstairs};
use elsewhere::Elsewhere;

pub use bindings::Answering;
pub use intake::Intake;
pub use strangers::{Challenges, unix_seconds};

// What is ready: the bell, the place of a relay socket, or the number of a listener.
const BELL: u64 = u64::MAX;
pub const RELAY: u64 = 1 << 63;

/// What a thread shares with its owner.
pub struct Shared {
    /// which thread it is
    pub thread: u64,
    /// what it is told
    pub mailbox: Arc<Mailbox>,
    /// what each thread is told, this one too
    pub mailboxes: Arc<[Arc<Mailbox>]>,
    /// where it hands up
    pub upstairs: Arc<Upstairs>,
    /// what it counts
    pub books: Arc<Books>,
    /// what each source has left, for all threads
    pub sources: Arc<Sources>,
    /// when the clock of the buckets began
    pub born: Instant,
    /// Unix time in seconds
    pub wall: fn() -> u64,
    /// whether ChannelData is no message here
    pub stun_only: bool,
}

impl Shared {
    /// A moment in nanoseconds, as buckets know it.
    fn now(&self, moment: Instant) -> u64 {
        moment.duration_since(self.born).as_nanos() as u64
    }
}

struct Listener {
    socket: Handle,
    address: SocketAddr,
    wildcard: bool,
    token: u64,
}

struct RelaySocket {
    id: RelayId,
    token: u64,
    socket: Handle,
    address: SocketAddr,
    tally: Tally,
    limits: Option<Limits>,
}

impl RelaySocket {
    /// Whether so many bytes may pass; they are spent then.
    fn spend(&self, bytes: usize) -> Result<(), Reason> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.spend(bytes as u32))
    }
}

/// After a turn of a few packets a thread looks so often for the next one before it sleeps, some microseconds: to fall
/// asleep and be woken takes longer, and a call hears it. Where packets come in crowds or trains, sleep gathers them.
const LOOKS: u32 = 32;
const FEW: usize = 4;

/// What a thread owns. Relay sockets are kept in places, and the table knows them by their place.
pub struct Worker {
    shared: Shared,
    intake: Intake,
    /// what is to be read in this turn, or watched again
    tokens: Vec<u64>,
    /// which sockets a ring has filled slots from, and how many of those slots have been judged
    sources: Vec<u64>,
    judged: usize,
    /// how many sockets a ring was given
    serial: u64,
    /// relay sockets that hold more than their share of this turn: epoll speaks of arrivals only
    unfinished: Vec<u64>,
    commands: VecDeque<Command>,
    /// what other threads received and this one is to forward
    strays: VecDeque<Stray>,
    elsewhere: Elsewhere,
    table: Table,
    listeners: BTreeMap<u32, Listener>,
    relays: Vec<Option<RelaySocket>>,
    places: HashMap<RelayId, u32>,
    arena: Arena,
    outbox: Outbox,
    up: Vec<Up>,
    answering: Answering,
    /// None: the owner challenges strangers by itself
    challenges: Option<Arc<Challenges>>,
    transaction: u128,
    /// who wants to know when nothing is left to do
    waiting: Vec<Sender<()>>,
    is_stopping: bool,
    /// how often it is looked for more before the thread sleeps
    looks: u32,
    /// packets of this turn
    sent: usize,
    #[cfg(feature = "panic-injection")]
    panics_while_opening: bool,
}

/// The books of a batch: totals of the thread, and of each relay socket.
struct Accounts<'a> {
    books: &'a Books,
    relays: &'a mut [Option<RelaySocket>],
}

impl Ledger for Accounts<'_> {
    fn sent(&mut self, account: Account, bytes: u32) {
        match account {
            Account::Binding { ipv6, signed } => self.books.answered(ipv6, signed),
            Account::Answer => {}
            Account::Challenge { method } => self.books.challenged(method),
            Account::Relayed { relay, to_peer, by_channel } => {
                let way = way(to_peer, by_channel);
                self.books.relayed(way, u64::from(bytes));
                if let Some(relay) = &mut self.relays[relay as usize] {
                    relay.tally.packets[way] += 1;
                    relay.tally.bytes[way] += u64::from(bytes);
                }
            }
        }
    }

    fn dropped(&mut self, reason: Reason) {
        self.books.dropped(reason);
    }
}

impl Worker {
    /// A thread without sockets; `seed` is where its transaction ids begin.
    pub fn new(
        shared: Shared,
        epoll: Option<Arc<Epoll>>,
        aliases: &[(IpAddr, IpAddr)],
        seed: u128,
    ) -> io::Result<Self> {
        let (intake, arena) = Intake::new(epoll, shared.mailbox.as_raw_fd())?;
        Ok(Worker {
            shared,
            intake,
            tokens: Vec::new(),
            sources: Vec::new(),
            judged: 0,
            serial: 0,
            unfinished: Vec::new(),
            commands: VecDeque::new(),
            strays: VecDeque::new(),
            elsewhere: Elsewhere::default(),
            table: Table::new(aliases),
            listeners: BTreeMap::new(),
            relays: Vec::new(),
            places: HashMap::new(),
            arena,
            outbox: Outbox::default(),
            up: Vec::new(),
            answering: Answering::default(),
            challenges: None,
            transaction: seed,
            waiting: Vec::new(),
            is_stopping: false,
            looks: 0,
            sent: 0,
            #[cfg(feature = "panic-injection")]
            panics_while_opening: false,
        })
    }

    /// Turns until it is told to stop. A panic costs the batch that it happened in; the sockets stay, and so do the
    /// routes and the commands behind the one that was carried out.
    pub fn run(mut self, ready: &Sender<io::Result<()>>) {
        let enabled = self.intake.ring().map_or(Ok(()), |ring| ring.enable());
        self.is_stopping = enabled.is_err();
        // The owner waits for it.
        let _ = ready.send(enabled);
        while !self.is_stopping {
            if let Err(text) = catch(|| self.turn()) {
                self.confess(text);
                if self.intake.ring().is_none() {
                    self.arena.clear();
                }
                self.outbox = Outbox::default();
                self.up.clear();
                self.unfinished.append(&mut self.tokens);
            }
        }
    }

    fn confess(&self, text: String) {
        self.shared.books.panicked();
        self.shared.upstairs.confess(Fault { thread: self.shared.thread, text });
    }

    fn turn(&mut self) {
        let asked = self.waiting.len();
        let is_idle = asked == 0 && self.commands.is_empty() && self.strays.is_empty() && self.unfinished.is_empty();
        let waited = match &mut self.intake {
            Intake::Calls(epoll) => epoll.wait(&mut self.tokens, if is_idle && self.looks == 0 { -1 } else { 0 }),
            // A panic has ended the last turn before its time.
            Intake::Ring(_) if self.judged < self.sources.len() => Ok(()),
            Intake::Ring(ring) => {
                self.judged = 0;
                ring.wait(&mut self.arena, &mut self.tokens, &mut self.sources, is_idle)
            }
        };
        if let Err(error) = waited {
            // The kernel is out of memory. Whoever asked something is answered all the same.
            self.confess(format!("nothing can be waited for: {error}"));
        }
        self.tokens.append(&mut self.unfinished);
        if self.tokens.contains(&BELL) {
            self.shared.mailbox.silence();
        }
        if self.sources.is_empty() && self.tokens.iter().all(|&token| token == BELL) {
            self.waiting.drain(..asked).for_each(|waiting| waiting.send(()).unwrap_or_default());
        }
        self.obey();
        match self.intake.ring() {
            Some(_) => self.read_ring(),
            None => self.read_sockets(),
        }
        self.send();
        self.hand_up();
        self.looks = match std::mem::take(&mut self.sent) {
            0 => self.looks.saturating_sub(1),
            1..=FEW => LOOKS,
            _ => 0,
        };
    }

    /// Reads what epoll finds ready. Listeners go first, and what they had leaves at once: by as many calls as relay
    /// sockets it leaves by, so that there is nothing to be gained from what those hold, and it need not wait for it.
    fn read_sockets(&mut self) {
        // They stay where they are: after a panic all of them are read again.
        for index in 0..self.tokens.len() {
            if self.tokens[index] & RELAY == 0 {
                self.read_listener(self.tokens[index] as u32);
                self.send();
            }
        }
        for index in 0..self.tokens.len() {
            let token = self.tokens[index];
            if token & RELAY != 0 && token != BELL {
                self.read_relay((token & !RELAY) as u32);
            }
        }
    }

    /// Sends what is gathered, and empties the slots that it stands in.
    fn send(&mut self) {
        self.sent += self.outbox.waiting();
        self.flush();
        self.arena.clear();
    }
}
