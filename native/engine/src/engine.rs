//! The owner's side: opens sockets, and says to the threads what is theirs.

mod answers;
mod listeners;

pub use answers::Answer;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use routes::{Channel, Client, FiveTuple, Message, Moment, NEVER, Permission, Rate, Reason, RelayId};
use socket2::Socket;

use crate::books::{Tally, Totals};
use crate::limits::{Limits, Sources, Users};
use crate::mailbox::{Command, Mailbox};
use crate::outbox::Outbox;
use crate::sockets::{Buffers, local_address, udp_socket};
use crate::thread::{Place, Thread};
use crate::upstairs::{Fault, Up, Upstairs};
use crate::worker::{Shared, unix_seconds};

/// What an engine is made with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// pairs of the host that clients are told and the one that is bound (1:1 NAT)
    pub aliases: Vec<(IpAddr, IpAddr)>,
    /// of each listener
    pub listener_buffers: Buffers,
    /// of each relay socket
    pub relay_buffers: Buffers,
    /// whether packets go by rings (io_uring) instead of by calls for what epoll finds ready
    pub by_ring: bool,
    /// how many threads share the work, for the life of the engine; at least one
    pub threads: usize,
    /// where the transaction ids of indications begin: unpredictable
    pub seed: u128,
    /// whether it is a STUN server alone, for which ChannelData is no message
    pub stun_only: bool,
    /// buckets for the sources of requests; more sources than this share them
    pub buckets: usize,
}

/// What a caller got wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It is open already.
    Open(u64),
    /// No such relay socket, or listener, is open.
    Unknown(u64),
}

struct Listener {
    sockets: Vec<Arc<Socket>>,
    wildcard: bool,
}

struct Relay {
    thread: usize,
    place: Place,
    socket: Arc<Socket>,
    address: SocketAddr,
    client: Option<FiveTuple>,
    limits: Option<Limits>,
    until: Moment,
}

/// The owner's handle. Its methods are called from one thread at a time.
pub struct Engine {
    options: Options,
    threads: Vec<Thread>,
    upstairs: Arc<Upstairs>,
    listeners: HashMap<u32, Listener>,
    relays: HashMap<RelayId, Relay>,
    users: Users,
    outbox: Outbox,
}

impl Engine {
    /// Starts the threads.
    pub fn new(options: Options) -> io::Result<Self> {
        let upstairs = Arc::new(Upstairs::new()?);
        let mailboxes = (0..options.threads.max(1)).map(|_| Mailbox::new().map(Arc::new));
        let mailboxes: Arc<[Arc<Mailbox>]> = mailboxes.collect::<io::Result<_>>()?;
        let mut threads = Vec::new();
        let (sources, born) = (Arc::new(Sources::new(options.buckets)), Instant::now());
        for (number, mailbox) in mailboxes.iter().enumerate() {
            // Far apart, so that the ids of two threads never meet.
            let seed = options.seed.wrapping_add((number as u128) << 88);
            let shared = Shared {
                thread: number as u64,
                mailbox: Arc::clone(mailbox),
                mailboxes: Arc::clone(&mailboxes),
                upstairs: Arc::clone(&upstairs),
                books: Arc::default(),
                sources: Arc::clone(&sources),
                born,
                wall: unix_seconds,
                stun_only: options.stun_only,
            };
            threads.push(Thread::start(shared, &options.aliases, seed, options.by_ring)?);
        }
        let (listeners, relays) = (HashMap::new(), HashMap::new());
        Ok(Engine { options, threads, upstairs, listeners, relays, users: Users::new(), outbox: Outbox::default() })
    }

    /// The descriptor that is readable while take() has something.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.upstairs.as_raw_fd()
    }

    /// Takes at most `most` items that are handed up.
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<Up> {
        self.upstairs.take(most)
    }

    /// Takes what has gone wrong inside the threads; before take().
    #[must_use]
    pub fn take_faults(&self) -> Vec<Fault> {
        self.upstairs.take_faults()
    }

    /// Binds a relay socket.
    pub fn open_relay(&mut self, relay: RelayId, address: SocketAddr) -> io::Result<Result<(), Mistake>> {
        if self.relays.contains_key(&relay) {
            return Ok(Err(Mistake::Open(relay)));
        }
        let socket = udp_socket(address, self.options.relay_buffers)?;
        socket.bind(&address.into())?;
        let address = if address.port() == 0 { local_address(&socket)? } else { address };
        let socket = Arc::new(socket);
        let mut place = self.threads[0].reserve(&socket)?;
        self.threads[0].read_relay(relay, &mut place, address, Tally::default());
        let row = Relay { thread: 0, place, socket, address, client: None, limits: None, until: NEVER };
        self.relays.insert(relay, row);
        self.tell_all(|| Command::Live(address));
        Ok(Ok(()))
    }

    /// Says whose relay socket it is. Its listener may have been closed meanwhile. One whose client comes in by another thread moves there.
    pub fn set_client(&mut self, relay: RelayId, client: Client) -> Result<(), Mistake> {
        let thread = client.path as usize % self.threads.len();
        self.move_relay(relay, thread)?;
        self.settle_client(relay, Some(client.five_tuple));
        self.tell(relay, Command::SetClient(relay, client))
    }

    /// Has another thread read a relay socket. Where the kernel has no room for that it stays where it is, and what its
    /// client sends is handed over.
    fn move_relay(&mut self, relay: RelayId, to: usize) -> Result<(), Mistake> {
        let from = self.relay(relay)?.thread;
        let Some(row) = self.relays.get(&relay).filter(|_| from != to) else {
            return Ok(());
        };
        let Ok(place) = self.threads[to].reserve(&row.socket) else {
            return Ok(());
        };
        self.settle_client(relay, None);
        let (permissions, channels) = self.threads[from].ask(Command::Routes).unwrap_or_default();
        let Some(row) = self.relays.get_mut(&relay) else {
            return Ok(());
        };
        let tally = self.threads[from].leave_relay(relay, &row.place);
        (row.thread, row.place) = (to, place);
        let new = &self.threads[to];
        new.read_relay(relay, &mut row.place, row.address, tally);
        new.tell(Command::Limit(relay, row.limits.clone()));
        new.tell(Command::SetDeadline(relay, row.until));
        let mine = permissions.into_iter().filter(|(row, _)| row.relay == relay);
        mine.for_each(|(route, until)| new.tell_route(&row.place, Command::Permit(route, until)));
        let mine = channels.into_iter().filter(|(row, _)| row.relay == relay);
        mine.for_each(|(route, until)| new.tell_route(&row.place, Command::Bind(route, until)));
        self.threads[from].tell(Command::Live(row.address));
        Ok(())
    }

    /// Says to all other threads whose relay socket it is.
    fn settle_client(&mut self, relay: RelayId, client: Option<FiveTuple>) {
        let Some(row) = self.relays.get_mut(&relay) else {
            return;
        };
        let (home, former) = (row.thread, std::mem::replace(&mut row.client, client));
        if former == client {
            return;
        }
        for thread in self.threads.iter().enumerate().filter(|(number, _)| *number != home).map(|(_, thread)| thread) {
            former.into_iter().for_each(|former| thread.tell(Command::NowhereElse(former)));
            client.into_iter().for_each(|client| thread.tell(Command::Elsewhere(client, home)));
        }
    }

    /// Bounds the bytes that pass a relay socket, and those of all that its user has; see Rate.
    pub fn limit(&mut self, relay: RelayId, user: &str, own: Rate, shared: Rate) -> Result<(), Mistake> {
        let row = self.relays.get_mut(&relay).ok_or(Mistake::Unknown(relay))?;
        row.limits = self.users.limits(user, own, shared, row.limits.as_ref());
        let told = Command::Limit(relay, row.limits.clone());
        self.tell(relay, told)
    }

    /// Closes a relay socket; returns what passed it. Of one that is not open, nothing.
    pub fn close_relay(&mut self, relay: RelayId) -> Tally {
        self.settle_client(relay, None);
        let Some(row) = self.relays.remove(&relay) else {
            return Tally::default();
        };
        let address = row.address;
        let tally = self.threads[row.thread].leave_relay(relay, &row.place);
        self.tell_all(|| Command::Perish(address));
        tally
    }

    /// What has passed a relay socket so far.
    pub fn usage(&self, relay: RelayId) -> Result<Tally, Mistake> {
        let thread = &self.threads[self.relay(relay)?.thread];
        Ok(thread.ask(|answer| Command::Usage(relay, answer)).unwrap_or_default())
    }

    /// The address of a relay socket.
    pub fn address(&self, relay: RelayId) -> Result<SocketAddr, Mistake> {
        Ok(self.relay(relay)?.address)
    }

    /// From a moment on, of sys::now(), nothing passes a relay socket; at first that is NEVER.
    pub fn set_deadline(&mut self, relay: RelayId, until: Moment) -> Result<(), Mistake> {
        self.relays.get_mut(&relay).ok_or(Mistake::Unknown(relay))?.until = until;
        self.tell(relay, Command::SetDeadline(relay, until))
    }

    /// Sets a permission until a moment.
    pub fn permit(&self, permission: Permission, until: Moment) -> Result<(), Mistake> {
        self.tell_route(permission.relay, Command::Permit(permission, until))
    }

    /// Clears a permission; of a relay socket that is not open, nothing.
    pub fn revoke(&self, permission: Permission) {
        let _ = self.tell(permission.relay, Command::Revoke(permission));
    }

    /// Sets a channel until a moment.
    pub fn bind(&self, channel: Channel, until: Moment) -> Result<(), Mistake> {
        self.tell_route(channel.relay, Command::Bind(channel, until))
    }

    /// Clears a channel; of a relay socket that is not open, nothing.
    pub fn unbind(&self, channel: Channel) {
        let _ = self.tell(channel.relay, Command::Unbind(channel));
    }

    /// No indication passes to or from exactly these peers any more.
    pub fn deny(&self, peers: Vec<SocketAddr>) {
        let peers: Arc<[SocketAddr]> = peers.into();
        self.tell_all(|| Command::Deny(Arc::clone(&peers)));
    }

    /// Sends application data as a plain Send does. It is on its way when this returns, so that what is answered next
    /// does not overtake it.
    pub fn send_from_relay(&self, relay: RelayId, peer: SocketAddr, data: Box<[u8]>, dont_fragment: bool) {
        match self.relay(relay) {
            Ok(row) => {
                let command = |answer| Command::SendFromRelay { relay, peer, data, dont_fragment, answer };
                let _ = self.threads[row.thread].ask(command);
            }
            Err(_) => self.threads[0].books().dropped(Reason::NoAllocation),
        }
    }

    /// Takes a message of a stream client; false when it is not for the data plane.
    pub fn deliver(&self, client: Client, data: &[u8]) -> bool {
        let is_ours = !matches!(routes::read(data), Message::Junk(_) | Message::Other);
        if is_ours {
            let thread = client.path as usize % self.threads.len();
            self.threads[thread].order(Command::Deliver { client, data: data.into() });
        }
        is_ours
    }

    /// Every route of every thread.
    #[must_use]
    pub fn routes(&self) -> (Vec<Permission>, Vec<Channel>) {
        let (mut permissions, mut channels) = (Vec::new(), Vec::new());
        for thread in &self.threads {
            let (more_permissions, more_channels) = thread.ask(Command::Routes).unwrap_or_default();
            permissions.extend(more_permissions.into_iter().map(|(row, _)| row));
            channels.extend(more_channels.into_iter().map(|(row, _)| row));
        }
        (permissions, channels)
    }

    /// The totals of all threads, with everything that had left them by now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.sync();
        let mut totals = Totals::default();
        self.threads.iter().for_each(|thread| thread.books().add_to(&mut totals));
        totals
    }

    /// Returns when the threads have done all that was said.
    pub fn sync(&self) {
        for thread in &self.threads {
            let _ = thread.ask(Command::Sync);
        }
    }

    /// Returns when all that has arrived is dealt with, for tests: under a steady load, never.
    pub fn settle(&self) {
        // A packet may go from thread to thread, by way of two relay sockets.
        for thread in self.threads.iter().chain(&self.threads[..self.threads.len() - 1]) {
            let _ = thread.ask(Command::Settle);
        }
    }

    /// Makes a thread panic.
    #[cfg(feature = "panic-injection")]
    pub fn panic(&self, thread: usize) {
        self.threads[thread].order(Command::Panic);
    }

    /// Makes a thread panic when it is about to open a relay socket.
    #[cfg(feature = "panic-injection")]
    pub fn panic_while_opening(&self, thread: usize) {
        self.threads[thread].tell(Command::PanicWhileOpening);
    }

    /// Ends the threads; every socket is closed then.
    pub fn close(&mut self) {
        self.threads.iter().for_each(|thread| thread.order(Command::Stop));
        self.threads.iter_mut().for_each(Thread::join);
        self.listeners.clear();
        self.relays.clear();
    }

    fn relay(&self, relay: RelayId) -> Result<&Relay, Mistake> {
        self.relays.get(&relay).ok_or(Mistake::Unknown(relay))
    }

    fn tell(&self, relay: RelayId, command: Command) -> Result<(), Mistake> {
        self.threads[self.relay(relay)?.thread].tell(command);
        Ok(())
    }

    fn tell_route(&self, relay: RelayId, command: Command) -> Result<(), Mistake> {
        let row = self.relay(relay)?;
        self.threads[row.thread].tell_route(&row.place, command);
        Ok(())
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        self.threads.iter().for_each(|thread| thread.tell(command()));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
