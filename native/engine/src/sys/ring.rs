//! Another way into the kernel (io_uring): receives that are posted once and stay, and sends of many sockets in one call.
//!
//! A receive that is posted fills free slots until it is called off, so what it points to, the slots, lives as long as
//! the ring. The kernel fills them in wait() and forget() alone, in the thread that calls: the ring puts off its work
//! until then (DEFER_TASKRUN). Sends are over when submit() returns: they do not wait for room.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::arena::{Arena, Received, read_address};
use super::memory::Memory;
use super::sender::write_address;
use super::{HEAD, SLOT};

/// Slots of a ring: more than one turn receives from a listener, for all that comes in while it lasts.
const SLOTS: u16 = 128;
/// Operations that are handed to the kernel with one call.
const ENTRIES: u32 = 256;
/// What the kernel keeps room for; what is beyond that it keeps in a list.
const COMPLETIONS: u32 = 4096;
/// The head of a slot: lengths, a name and control messages, where headers of those may stand.
const LENGTHS: usize = 16;
const NAME: usize = 32;
const CONTROL: usize = HEAD - LENGTHS - NAME;

/// The upper two bits of what completions are known by where nobody else has given a token.
const OURS: u64 = 0b01 << 62;
const CALL_OFF: u64 = OURS | u32::MAX as u64;
/// The largest page that a kernel has: the list of free slots begins at one.
const PAGE: usize = 65536;
/// Sends do not wait for room, and nobody is killed by a signal.
const AT_ONCE: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// The kernel's flag for io_uring_enter(2) that has it do what it has put off.
const GET_EVENTS: u32 = 1;

/// A ring, and the slots that it fills. Made anywhere, it is used by the thread that enables it.
pub struct Ring {
    uring: IoUring,
    /// where the kernel takes free slots from
    free: Memory,
    freed: u16,
    slots: Arc<Memory>,
    /// what every receive wants
    form: Box<libc::msghdr>,
    /// slots in the hands of whoever has waited
    lent: Vec<u16>,
    /// receives that are to be posted
    wanted: Vec<(RawFd, u64)>,
    posted: HashSet<u64>,
    bell: Option<(RawFd, u64)>,
    is_bell_posted: bool,
    /// what has been completed while something else was waited for
    held: VecDeque<cqueue::Entry>,
}

// The pointers in `form` are null.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring with its slots, all of them free; an error where the kernel has none, or is told to refuse it.
    pub fn new() -> io::Result<(Self, Arena)> {
        let uring = IoUring::builder()
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(ENTRIES)?;
        let arena = Arena::with_slots(usize::from(SLOTS));
        let free = Memory::zeroed(usize::from(SLOTS) * size_of::<BufRingEntry>(), PAGE);
        // SAFETY: the entries are where they are until the ring is closed: it is dropped before them.
        unsafe { uring.submitter().register_buf_ring_with_flags(free.pointer() as u64, SLOTS, 0, 0)? };
        // SAFETY: a plain C structure for which zero bytes are a value.
        let mut form: Box<libc::msghdr> = Box::new(unsafe { zeroed() });
        form.msg_namelen = NAME as _;
        form.msg_controllen = CONTROL as _;
        let slots = Arc::clone(arena.memory());
        let ring = Ring {
            uring,
            free,
            freed: 0,
            slots,
            form,
            lent: (0..SLOTS).collect(),
            wanted: Vec::new(),
            posted: HashSet::new(),
            bell: None,
            is_bell_posted: false,
            held: VecDeque::new(),
        };
        Ok((ring, arena))
    }

    /// Whether this kernel can all that a ring wants of it; older ones lack one or the other.
    pub fn probe() -> io::Result<()> {
        let (from, to) = UnixDatagram::pair()?;
        let (mut ring, mut arena) = Ring::new()?;
        ring.enable()?;
        ring.watch(to.as_raw_fd(), 0);
        from.send(&[0])?;
        ring.wait(&mut arena, &mut Vec::new(), &mut Vec::new(), false)?;
        let sent = ring.probe_sending()?;
        // Whether a packet gets through is no matter: it may be that nothing has a network yet.
        let can_send = !matches!(sent, libc::EINVAL | libc::EOPNOTSUPP);
        if can_send && arena.len() == 1 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOSYS)) }
    }

    /// What the kernel says to a datagram that goes nowhere.
    fn probe_sending(&mut self) -> io::Result<i32> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let mut said = [0];
        // SAFETY: all that the header points to lives until submit() has returned.
        unsafe {
            let mut name: libc::sockaddr_storage = zeroed();
            let mut vector = libc::iovec { iov_base: (&raw mut said).cast(), iov_len: 0 };
            let mut header: libc::msghdr = zeroed();
            header.msg_namelen = write_address(&mut name, SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
            (header.msg_name, header.msg_iov, header.msg_iovlen) = ((&raw mut name).cast(), &raw mut vector, 1);
            self.post_lone(socket.as_raw_fd(), 0, &header, &mut said);
            self.submit(&mut said);
        }
        Ok(said[0])
    }

    /// Has the calling thread use the ring from now on, and no other.
    pub fn enable(&self) -> io::Result<()> {
        self.uring.submitter().register_enable_rings()
    }

    /// Receives from a socket from the next wait() on; `token` comes with what it gets.
    pub fn watch(&mut self, socket: RawFd, token: u64) {
        debug_assert!(!is_ours(token), "{token:x} is taken");
        self.wanted.push((socket, token));
    }

    /// Receives no more; the socket is nobody's but the caller's when this returns.
    pub fn forget(&mut self, token: u64) {
        self.wanted.retain(|&(_, wanted)| wanted != token);
        while self.posted.contains(&token) {
            // The receive ends with a completion of its own, once the kernel has let go of the socket. What calls it off
            // completes as well, so that this never waits for nothing.
            let entry = opcode::AsyncCancel::new(token).build().user_data(CALL_OFF);
            // SAFETY: it points to nothing.
            unsafe { self.push(&entry, &mut []) };
            if self.enter(1).is_err() {
                break;
            }
            self.hold(&mut []);
        }
    }

    /// Has the bell's ringing end a wait().
    pub fn watch_bell(&mut self, bell: RawFd, token: u64) {
        self.bell = Some((bell, token));
    }

    /// Frees what the arena had, waits for something if there is nothing else to do, and writes what there is: into
    /// the arena what was received, into `sources` the token of each; into `tokens` those whose receiving has ended,
    /// for want of slots most likely, and the bell's when it has rung.
    pub fn wait(
        &mut self,
        arena: &mut Arena,
        tokens: &mut Vec<u64>,
        sources: &mut Vec<u64>,
        is_idle: bool,
    ) -> io::Result<()> {
        arena.clear();
        tokens.clear();
        sources.clear();
        self.free_slots();
        self.post_wanted();
        self.enter(usize::from(is_idle && self.held.is_empty()))?;
        self.hold(&mut []);
        while let Some(completion) = self.held.pop_front() {
            let (token, flags) = (completion.user_data(), completion.flags());
            if let Some(slot) = cqueue::buffer_select(flags) {
                self.lent.push(slot);
                arena.add(self.read(slot));
                sources.push(token);
            }
            let is_bell = self.bell.is_some_and(|(_, bell)| bell == token);
            if is_bell || !cqueue::more(flags) {
                tokens.push(token);
            }
        }
        Ok(())
    }

    /// Posts a datagram of one piece for a socket.
    ///
    /// # Safety
    /// All that the header points to is readable, and stays until submit() has returned.
    pub(super) unsafe fn post_lone(&mut self, socket: RawFd, number: usize, header: &libc::msghdr, said: &mut [i32]) {
        // SAFETY: the header has one vector.
        let vector = unsafe { *header.msg_iov };
        let entry = opcode::Send::new(Fd(socket), vector.iov_base.cast(), vector.iov_len as u32)
            .flags(AT_ONCE)
            .dest_addr(header.msg_name.cast())
            .dest_addr_len(header.msg_namelen);
        // SAFETY: as the caller says.
        unsafe { self.push(&numbered(entry.build(), number), said) };
    }

    /// Posts a datagram or a train for a socket.
    ///
    /// # Safety
    /// As for post_lone(), and the header itself stays too.
    pub(super) unsafe fn post(&mut self, socket: RawFd, number: usize, header: &libc::msghdr, said: &mut [i32]) {
        let entry = opcode::SendMsg::new(Fd(socket), header).flags(AT_ONCE as u32);
        // SAFETY: as the caller says.
        unsafe { self.push(&numbered(entry.build(), number), said) };
    }

    /// Has the kernel do what is posted; writes the errors of sends by their numbers.
    pub(super) fn submit(&mut self, said: &mut [i32]) {
        loop {
            let count = self.uring.submission().len();
            if count == 0 {
                break;
            }
            // SAFETY: whoever posted has said that it may be carried out. No events are asked for, so that nothing
            // is received now.
            if unsafe { self.uring.submitter().enter::<libc::sigset_t>(count as u32, 0, 0, None) }.is_err() {
                std::thread::yield_now(); // without memory, or interrupted
            }
        }
        self.hold(said);
    }

    fn post_wanted(&mut self) {
        if let Some((bell, token)) = self.bell.filter(|_| !self.is_bell_posted) {
            let entry = opcode::PollAdd::new(Fd(bell), libc::POLLIN as u32).multi(true).build().user_data(token);
            // SAFETY: it points to nothing.
            unsafe { self.push(&entry, &mut []) };
            self.is_bell_posted = true;
        }
        for (socket, token) in std::mem::take(&mut self.wanted) {
            let entry = opcode::RecvMsgMulti::new(Fd(socket), &raw const *self.form, 0).build().user_data(token);
            // SAFETY: the form and the slots are ours, and outlive the ring.
            unsafe { self.push(&entry, &mut []) };
            self.posted.insert(token);
        }
    }

    /// SAFETY: what the entry points to stays until it is completed.
    unsafe fn push(&mut self, entry: &squeue::Entry, said: &mut [i32]) {
        // SAFETY: as the caller says.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.submit(said);
        }
    }

    /// Hands over what is posted, has the kernel do what it has put off, and waits until so much is completed.
    fn enter(&mut self, least: usize) -> io::Result<()> {
        let count = self.uring.submission().len() as u32;
        // SAFETY: as in submit(). What is received goes to slots that nobody has in hands.
        let entered = unsafe { self.uring.submitter().enter::<libc::sigset_t>(count, least as u32, GET_EVENTS, None) };
        match entered.map_err(|error| error.raw_os_error()) {
            Ok(_) | Err(Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => Ok(()),
            Err(error) => Err(io::Error::from_raw_os_error(error.unwrap_or(libc::EIO))),
        }
    }

    /// Takes what is completed: errors of sends go where they are wanted, the rest is kept for wait().
    fn hold(&mut self, said: &mut [i32]) {
        for completion in self.uring.completion() {
            let token = completion.user_data();
            if is_ours(token) {
                if let Some(place) = said.get_mut(token as u32 as usize) {
                    *place = -completion.result();
                }
                continue;
            }
            if !cqueue::more(completion.flags()) {
                self.is_bell_posted &= self.bell.is_none_or(|(_, bell)| bell != token);
                self.posted.remove(&token);
            }
            self.held.push_back(completion);
        }
    }

    fn free_slots(&mut self) {
        let entries: *mut BufRingEntry = self.free.pointer().cast();
        for slot in self.lent.drain(..) {
            // SAFETY: there are SLOTS entries and as many slots. The kernel reads none from the tail on.
            unsafe {
                let entry = &mut *entries.add(usize::from(self.freed % SLOTS));
                entry.set_addr(self.slots.pointer().add(usize::from(slot) * SLOT) as u64);
                entry.set_len(SLOT as u32);
                entry.set_bid(slot);
            }
            self.freed = self.freed.wrapping_add(1);
        }
        // SAFETY: the tail is a part of the first entry that set_...() leaves alone.
        unsafe { &*BufRingEntry::tail(entries).cast::<AtomicU16>() }.store(self.freed, Ordering::Release);
    }

    /// What the kernel has written into a slot: lengths, name, control messages, and the datagram.
    fn read(&self, slot: u16) -> Received {
        let place = usize::from(slot) * SLOT;
        // SAFETY: the slot was filled, in the form that was asked for, and is aligned for all of these.
        unsafe {
            let base = self.slots.pointer().add(place);
            let [_, control, length, _] = base.cast::<[u32; 4]>().read();
            let length = (length as usize).min(SLOT - HEAD);
            let source = read_address(&*base.add(LENGTHS).cast());
            let mut received = Received::lone(place + HEAD, length, source);
            if control > 0 {
                let mut header: libc::msghdr = zeroed();
                header.msg_control = base.add(LENGTHS + NAME).cast();
                header.msg_controllen = CONTROL.min(control as usize) as _;
                received.read_controls(&header);
            }
            received
        }
    }
}

impl Drop for Ring {
    /// No socket is held by the kernel any more when this returns.
    fn drop(&mut self) {
        for token in self.posted.clone() {
            self.forget(token);
        }
    }
}

fn is_ours(token: u64) -> bool {
    token >> 62 == OURS >> 62
}

/// An entry that is heard of only if it fails.
fn numbered(entry: squeue::Entry, number: usize) -> squeue::Entry {
    entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(OURS | number as u64)
}
