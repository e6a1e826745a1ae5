//! One worker in the hands of a test: it is told what a thread is told, its packets come from a kernel that is played,
//! and what leaves it is read back. No packet goes over a socket.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use routes::{Challenger, Channel, Client, Moment, Permission, Rate, RelayId};
use socket2::{Domain, Socket, Type};

use super::{Challenges, Shared, Worker};
use crate::books::{Books, Tally, Totals};
use crate::limits::Sources;
use crate::mailbox::{Command, Mailbox};
use crate::sys::Epoll;
use crate::sys::played::{Arrival, Departure, Kernel, play, with};
use crate::upstairs::{Up, Upstairs};

/// The Unix time at which everything happens.
pub const NOW: u64 = 1_800_000_000;

/// Where packets come in, and where they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// a listener, by its number
    Listener(u32),
    /// a relay socket, by its name
    Relay(RelayId),
}

/// A worker, and the kernel that is played for it in the thread that it is made in.
pub struct Stage {
    worker: Worker,
    sockets: HashMap<Door, Arc<Socket>>,
    doors: HashMap<RawFd, Door>,
}

impl Stage {
    /// A worker that has nothing yet.
    pub fn new() -> io::Result<Self> {
        play(Some(Kernel::default()));
        let mailbox = Arc::new(Mailbox::new()?);
        let shared = Shared {
            thread: 0,
            mailbox: Arc::clone(&mailbox),
            mailboxes: Arc::new([mailbox]),
            upstairs: Arc::new(Upstairs::new()?),
            books: Arc::new(Books::default()),
            sources: Arc::new(Sources::new(1)),
            born: Instant::now(),
            wall: || NOW,
            stun_only: false,
        };
        let mut worker = Worker::new(shared, Some(Arc::new(Epoll::new()?)), &[], 0)?;
        worker.answering.answers = true;
        Ok(Stage { worker, sockets: HashMap::new(), doors: HashMap::new() })
    }

    /// Opens a listener or a relay socket at an address, or rather says that it is open.
    pub fn open(&mut self, door: Door, address: SocketAddr, wildcard: bool) -> io::Result<()> {
        let socket = match self.sockets.get(&door) {
            Some(socket) => Arc::clone(socket),
            None => self.socket(door)?,
        };
        self.worker.carry_out(match door {
            Door::Listener(listener) => Command::OpenListener { listener, socket, address, wildcard },
            Door::Relay(relay) => {
                Command::OpenRelay { relay, place: relay as u32, socket, address, tally: Tally::default() }
            }
        });
        Ok(())
    }

    /// Closes it; packets that were gathered for it leave first.
    pub fn close(&mut self, door: Door, address: SocketAddr) {
        let (answer, _) = mpsc::channel();
        match door {
            Door::Listener(listener) => self.worker.carry_out(Command::CloseListener(listener)),
            Door::Relay(relay) => {
                self.worker.carry_out(Command::CloseRelay(relay, answer));
                self.worker.carry_out(Command::Perish(address));
            }
        }
    }

    /// Says whose relay socket it is.
    pub fn set_client(&mut self, relay: RelayId, client: Client) {
        self.worker.carry_out(Command::SetClient(relay, client));
    }

    /// Moves the clock; what is judged from now on is judged by it.
    pub fn set_clock(&mut self, now: Moment) {
        with(|kernel| kernel.now = now);
        self.worker.obey();
    }

    /// Says until when a relay socket passes anything.
    pub fn set_deadline(&mut self, relay: RelayId, until: Moment) {
        self.worker.carry_out(Command::SetDeadline(relay, until));
    }

    /// Sets a permission until a moment, or clears it.
    pub fn permit(&mut self, permission: Permission, until: Option<Moment>) {
        self.worker.carry_out(match until {
            Some(until) => Command::Permit(permission, until),
            None => Command::Revoke(permission),
        });
    }

    /// Sets a channel until a moment, or clears it.
    pub fn bind(&mut self, channel: Channel, until: Option<Moment>) {
        self.worker.carry_out(match until {
            Some(until) => Command::Bind(channel, until),
            None => Command::Unbind(channel),
        });
    }

    /// Denies exactly these peers.
    pub fn deny(&mut self, peers: &[SocketAddr]) {
        self.worker.carry_out(Command::Deny(peers.into()));
    }

    /// Challenges strangers from now on, all that come.
    pub fn challenge(&mut self, challenger: Challenger) {
        let rate = Rate::default();
        self.worker.carry_out(Command::Challenge(Arc::new(Challenges { challenger, rate })));
    }

    /// Brings a stream client's message.
    pub fn deliver(&mut self, client: Client, data: &[u8]) {
        self.worker.carry_out(Command::Deliver { client, data: data.into() });
    }

    /// Sends application data for the core.
    pub fn send_from_relay(&mut self, relay: RelayId, peer: SocketAddr, data: &[u8]) {
        let (answer, _) = mpsc::channel();
        let data = data.into();
        self.worker.carry_out(Command::SendFromRelay { relay, peer, data, dont_fragment: false, answer });
    }

    /// Lets datagrams and trains arrive, all at once; they are judged, and what they become is gathered.
    pub fn arrive(&mut self, door: Door, arrivals: Vec<Arrival>) {
        with(|kernel| kernel.arrivals = VecDeque::from(arrivals));
        loop {
            let before = left();
            match door {
                Door::Listener(number) => self.worker.read_listener(number),
                Door::Relay(relay) => {
                    if let Some(&place) = self.worker.places.get(&relay) {
                        self.worker.read_relay(place);
                    }
                }
            }
            if left() == before || left() == 0 {
                break;
            }
        }
        with(|kernel| kernel.arrivals.clear());
    }

    /// The errors that the next sends meet, 0 for none.
    pub fn refuse(&mut self, errors: impl IntoIterator<Item = i32>) {
        with(|kernel| kernel.refusals = errors.into_iter().collect());
    }

    /// Ends the turn; returns what has left since the last one ended, by the door that it left by, and what was
    /// handed up.
    pub fn end_turn(&mut self) -> (Vec<(Door, Departure)>, Vec<Up>) {
        self.worker.flush();
        self.worker.arena.clear();
        // All that arrived has been read.
        self.worker.unfinished.clear();
        self.worker.hand_up();
        let departures = with(|kernel| std::mem::take(&mut kernel.departures)).unwrap_or_default();
        let departures = departures.into_iter().map(|departure| (self.doors[&departure.socket], departure)).collect();
        let upstairs = &self.worker.shared.upstairs;
        let handed_up = std::iter::repeat_with(|| upstairs.take(usize::MAX)).take_while(|taken| !taken.is_empty());
        (departures, handed_up.flatten().collect())
    }

    /// How much has been dropped, by the number of its reason, since the stage was made.
    #[must_use]
    pub fn dropped(&self) -> Vec<u64> {
        let mut totals = Totals::default();
        self.worker.shared.books.add_to(&mut totals);
        totals.dropped
    }

    /// A descriptor for a door, which nothing is ever sent to.
    fn socket(&mut self, door: Door) -> io::Result<Arc<Socket>> {
        let socket = Arc::new(Socket::pair(Domain::UNIX, Type::STREAM, None)?.0);
        self.sockets.insert(door, Arc::clone(&socket));
        self.doors.insert(socket.as_raw_fd(), door);
        Ok(socket)
    }
}

fn left() -> usize {
    with(|kernel| kernel.arrivals.len()).unwrap_or_default()
}
