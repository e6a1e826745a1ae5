//! A course of commands and packets for one worker, beside a model that says what must come of them.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use engine::sys::played::Arrival;
use engine::{Channel, Client, Door, FiveTuple, Moment, NEVER, Permission, Ports, Reason, RelayId, Stage, Transport};

use crate::comparison::{compare_departures, compare_up};
use crate::input::Input;
use crate::model::Model;
use crate::plain;
use crate::requests;

/// Listeners: number, address, whether it hears all addresses.
const LISTENERS: [(u32, SocketAddr, bool); 3] = [
    (1, ipv4(1, 3478), false),
    (2, SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 3479)), true),
    (3, ipv6(3478), false),
];
const RELAYS: [(RelayId, SocketAddr); 5] =
    [(10, ipv4(1, 4010)), (11, ipv4(1, 4011)), (12, ipv4(2, 4012)), (20, ipv6(4020)), (21, ipv6(4021))];
/// Clients: transport, listener, theirs, ours. Two differ in our address alone; one has a port that nobody can have.
const CLIENTS: [(Transport, u32, SocketAddr, SocketAddr); 7] = [
    (Transport::Udp, 1, ipv4(8, 5000), ipv4(1, 3478)),
    (Transport::Udp, 1, ipv4(8, 5001), ipv4(1, 3478)),
    (Transport::Udp, 2, ipv4(8, 5000), ipv4(1, 3479)),
    (Transport::Udp, 2, ipv4(8, 5000), ipv4(2, 3479)),
    (Transport::Udp, 3, ipv6(5000), ipv6(3478)),
    (Transport::Udp, 1, ipv4(8, 0), ipv4(1, 3478)),
    (Transport::Tcp, 9, ipv4(8, 5002), ipv4(1, 3478)),
];
const STREAM: usize = 6;
const PEERS: [SocketAddr; 8] =
    [ipv4(9, 6000), ipv4(9, 6001), ipv4(9, 0), ipv4(1, 4011), ipv4(2, 4012), ipv6(6000), ipv6(0), ipv6(4021)];
const NUMBERS: [u16; 3] = [0x4000, 0x4001, 0x7fff];
/// Binding requests without and with a FINGERPRINT.
const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transactions";
const STAMPED: &[u8] = b"\x00\x01\x00\x08\x21\x12\xa4\x42transactions\x80\x28\x00\x04\x23\xd7\x25\xd5";
/// What sends meet: nothing mostly, or a full buffer, a path too narrow, a device that cannot cut, an ICMP error.
const ERRORS: [i32; 8] =
    [0, 0, libc::ENOBUFS, libc::EMSGSIZE, libc::EINVAL, libc::EAGAIN, libc::ECONNREFUSED, libc::EINTR];
/// Bytes of one sender at once, and after which nothing more arrives.
const MOST_BYTES_AT_ONCE: usize = 1 << 13;
const MOST_BYTES: usize = 1 << 15;

thread_local! {
    // A worker is made once: its arena is large.
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

const fn ipv4(last: u8, port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port))
}

const fn ipv6(port: u16) -> SocketAddr {
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0))
}

fn client(index: usize) -> Client {
    let (transport, listener, theirs, ours) = CLIENTS[index];
    Client { five_tuple: FiveTuple { transport, client: theirs, server: ours }, listener, path: 5 }
}

/// Runs a course.
pub fn run(bytes: &[u8]) {
    STAGE.with(|kept| {
        // One that panicked is not kept.
        let stage = kept.borrow_mut().take().unwrap_or_else(|| {
            let mut stage = Stage::new().expect("descriptors");
            stage.challenge(requests::challenger());
            stage
        });
        let mut course = Course { before: stage.dropped(), stage, model: Model::default(), bytes: 0 };
        course.stage.set_clock(0);
        let mut input = Input(bytes);
        while !input.is_empty() && course.bytes < MOST_BYTES {
            course.step(&mut input);
        }
        course.end_turn(&[]);
        course.clear();
        *kept.borrow_mut() = Some(course.stage);
    });
}

struct Course {
    stage: Stage,
    model: Model,
    /// what had been dropped when the turn began
    before: Vec<u64>,
    /// how much has arrived
    bytes: usize,
}

impl Course {
    fn step(&mut self, input: &mut Input<'_>) {
        let step = input.byte();
        if step / 16 % 4 == 3 {
            self.model.now += 1;
            self.stage.set_clock(self.model.now);
        }
        match step % 16 {
            0 => self.listener(input.pick(&LISTENERS), true),
            1 => self.listener(input.pick(&LISTENERS), false),
            2 => self.relay(input.pick(&RELAYS), true),
            3 => self.relay(input.pick(&RELAYS), false),
            4 => self.attach(input),
            5 => self.permit(input, true),
            6 => self.permit(input, false),
            7 => self.bind(input, true),
            8 => self.bind(input, false),
            9 => self.deny(input),
            10 => self.deliver(input),
            11 => self.send_from_relay(input),
            12 | 13 => self.clients_speak(input),
            14 => self.peer_speaks(input),
            _ => {
                let count = usize::from(input.byte() % 4);
                let refusals: Vec<i32> = (0..count).map(|_| input.pick(&ERRORS)).collect();
                self.end_turn(&refusals);
            }
        }
    }

    fn listener(&mut self, (number, at, wildcard): (u32, SocketAddr, bool), opens: bool) {
        if opens && self.model.listeners.insert(number) {
            self.stage.open(Door::Listener(number), at, wildcard).expect("descriptors");
        } else if !opens && self.model.listeners.remove(&number) {
            self.stage.close(Door::Listener(number), at);
        }
    }

    fn relay(&mut self, (relay, at): (RelayId, SocketAddr), opens: bool) {
        let is_open = self.model.relays.contains_key(&relay);
        if opens && !is_open {
            self.stage.open(Door::Relay(relay), at, false).expect("descriptors");
            self.model.open(relay, at);
        } else if !opens && is_open {
            self.stage.close(Door::Relay(relay), at);
            self.model.close(relay);
        }
    }

    /// One that never comes, mostly, or is over, or soon will be.
    fn deadline(&self, choice: u8) -> Moment {
        match choice % 8 {
            0 => self.model.now,
            soon @ 1..=2 => self.model.now + Moment::from(soon),
            _ => NEVER,
        }
    }

    /// An owner names an open listener, or a stream.
    fn attach(&mut self, input: &mut Input<'_>) {
        let (relay, how) = (input.pick(&RELAYS).0, input.byte());
        let (index, until) = (usize::from(how) % CLIENTS.len(), self.deadline(!how / 8));
        self.stage.set_deadline(relay, until);
        self.model.set_deadline(relay, until);
        if index == STREAM || self.model.listeners.contains(&CLIENTS[index].1) {
            self.stage.set_client(relay, client(index));
            self.model.attach(relay, client(index));
        }
    }

    fn permit(&mut self, input: &mut Input<'_>, is_set: bool) {
        let (relay, peer, how) = (input.pick(&RELAYS), input.pick(&PEERS), input.byte());
        let ports = if how % 2 == 0 { Ports::Any } else { Ports::OwnRelayed };
        let until = is_set.then(|| self.deadline(!how / 8));
        // An owner never mixes families.
        if relay.1.is_ipv4() == peer.is_ipv4() {
            let permission = Permission { relay: relay.0, host: peer.ip(), ports };
            self.stage.permit(permission, until);
            self.model.permit(permission, until);
        }
    }

    fn bind(&mut self, input: &mut Input<'_>, is_set: bool) {
        let (relay, how, peer) = (input.pick(&RELAYS), input.byte(), input.pick(&PEERS));
        let number = NUMBERS[usize::from(how) % NUMBERS.len()];
        let until = is_set.then(|| self.deadline(!how / 8));
        if relay.1.is_ipv4() == peer.is_ipv4() {
            let channel = Channel { relay: relay.0, number, peer };
            self.stage.bind(channel, until);
            self.model.bind(channel, until);
        }
    }

    fn deny(&mut self, input: &mut Input<'_>) {
        let count = usize::from(input.byte() % 3);
        self.model.denied = (0..count).map(|_| input.pick(&PEERS)).collect();
        self.stage.deny(&self.model.denied);
    }

    fn deliver(&mut self, input: &mut Input<'_>) {
        self.end_turn(&[]);
        let message = self.message(input);
        if message.len() <= usize::from(u16::MAX) && !matches!(plain::read(&message), plain::Said::Nothing(_)) {
            self.stage.deliver(client(STREAM), &message);
            self.model.stream_says(client(STREAM), &message);
        }
    }

    /// What the core sends does not wait for the end of a turn, and may overtake what does.
    fn send_from_relay(&mut self, input: &mut Input<'_>) {
        self.end_turn(&[]);
        let (relay, peer) = (input.pick(&RELAYS), input.pick(&PEERS));
        let data = self.data(input);
        self.stage.send_from_relay(relay.0, peer, &data);
        self.model.send(relay.0, peer, &data);
    }

    /// Several datagrams of one listener's clients, one after the other.
    fn clients_speak(&mut self, input: &mut Input<'_>) {
        let (number, _, wildcard) = input.pick(&LISTENERS);
        let heard: Vec<usize> = (0..CLIENTS.len()).filter(|&index| CLIENTS[index].1 == number).collect();
        let mut arrivals = Vec::new();
        for _ in 0..input.byte() % 4 + 1 {
            let index = input.pick(&heard);
            let message = self.message(input);
            let repeats = repeats(input);
            let local = wildcard.then(|| CLIENTS[index].3.ip());
            let coupled = self.couple(&message, repeats, input, CLIENTS[index].2, local);
            for arrival in coupled {
                if self.model.listeners.contains(&number) {
                    packets(&arrival).for_each(|packet| self.model.client_says(client(index), packet));
                }
                arrivals.push(arrival);
            }
        }
        self.stage.arrive(Door::Listener(number), arrivals);
    }

    fn peer_speaks(&mut self, input: &mut Input<'_>) {
        let (relay, at) = input.pick(&RELAYS);
        let mut arrivals = Vec::new();
        for _ in 0..input.byte() % 3 + 1 {
            let peer = input.pick(&PEERS);
            let data = self.data(input);
            let repeats = repeats(input);
            if peer.is_ipv4() == at.is_ipv4() {
                arrivals.extend(self.couple(&data, repeats, input, peer, None));
            }
        }
        for arrival in &arrivals {
            packets(arrival).for_each(|packet| self.model.peer_says(relay, arrival.source, packet));
        }
        self.stage.arrive(Door::Relay(relay), arrivals);
    }

    /// One packet so many times more: each for itself, or as trains, of which the last packet may be shorter.
    fn couple(
        &mut self,
        packet: &[u8],
        repeats: u8,
        input: &mut Input<'_>,
        source: SocketAddr,
        local: Option<IpAddr>,
    ) -> Vec<Arrival> {
        let longest = if source.is_ipv4() { 65_507 } else { 65_527 };
        let packet = &packet[..packet.len().min(longest)];
        let count = usize::from(repeats).min(MOST_BYTES_AT_ONCE / packet.len().max(1)) + 1;
        self.bytes += packet.len() * count;
        let arrival = |bytes: Vec<u8>, segment| Arrival { source, local, bytes, segment };
        if input.byte() % 2 == 0 || packet.is_empty() {
            return vec![arrival(packet.to_vec(), 0); count];
        }
        let cut = usize::from(input.byte()) % packet.len();
        let mut train = packet.repeat(count.min(longest / packet.len()).min(64));
        train.truncate(train.len() - cut);
        vec![arrival(train, packet.len())]
    }

    fn data(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let length = input.length();
        let first = input.byte();
        (0..length).map(|index| first.wrapping_add(index as u8)).collect()
    }

    /// What a client says: a frame that is right, or almost, or any bytes.
    fn message(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let lie = |input: &mut Input<'_>, mut message: Vec<u8>| {
            if input.byte() % 8 == 0 && !message.is_empty() {
                let at = usize::from(input.byte()) % message.len();
                message[at] = input.byte();
            }
            message
        };
        match input.byte() % 4 {
            0 => {
                let length = usize::from(input.byte() % 64);
                match length {
                    56.. => lie(input, STAMPED.to_vec()),
                    48.. => lie(input, BINDING.to_vec()),
                    40.. => {
                        let (_, _, source, _) = input.pick(&CLIENTS);
                        let request = requests::write(input, source);
                        lie(input, request)
                    }
                    _ => input.take(length).to_vec(),
                }
            }
            1 | 2 => {
                let (number, data) = (input.pick(&NUMBERS), self.data(input));
                let message = plain::channel_data(number, &data, input.byte() % 2 == 0);
                lie(input, message.unwrap_or_default())
            }
            _ => {
                let (peer, data) = (input.pick(&PEERS), self.data(input));
                lie(input, plain::indication(0x16, &[7; 12], peer, &data).unwrap_or_default())
            }
        }
    }

    /// Compares what has left, was handed up and was dropped with what the model says.
    fn end_turn(&mut self, refusals: &[i32]) {
        self.stage.refuse(refusals.iter().copied());
        let (departures, up) = self.stage.end_turn();
        self.stage.refuse([]);
        let after = self.stage.dropped();
        let mut dropped: Vec<u64> = after.iter().zip(&self.before).map(|(after, before)| after - before).collect();
        self.before = after;
        let expected = std::mem::take(&mut self.model.outcome);
        for (reason, times) in expected.dropped.values() {
            let count = &mut dropped[*reason as usize];
            *count = count.checked_sub(*times).unwrap_or_else(|| panic!("{reason:?} is to be counted {times} times"));
        }
        compare_up(&expected, &up);
        let missing = compare_departures(&expected, departures);
        // What is left was refused by the kernel, and counted so.
        let refused = [Reason::SendBuffer, Reason::TooLarge, Reason::Unreachable].map(|reason| reason as usize);
        assert_eq!(refused.iter().map(|&reason| dropped[reason]).sum::<u64>(), missing);
        assert_eq!(dropped.iter().sum::<u64>(), missing, "{dropped:?}");
        assert!(!refusals.is_empty() || missing == 0, "{missing} packets got lost");
    }

    /// Closes everything, so that the next course begins with nothing.
    fn clear(&mut self) {
        LISTENERS.into_iter().for_each(|row| self.listener(row, false));
        RELAYS.into_iter().for_each(|row| self.relay(row, false));
        self.stage.deny(&[]);
    }
}

/// How often a packet is repeated: mostly not often.
fn repeats(input: &mut Input<'_>) -> u8 {
    match input.byte() {
        few @ 0..=223 => few % 4,
        many => (many - 223) * 2,
    }
}

/// The packets of a train.
fn packets(arrival: &Arrival) -> Box<dyn Iterator<Item = &[u8]> + '_> {
    if arrival.segment == 0 {
        return Box::new(std::iter::once(&arrival.bytes[..]));
    }
    Box::new(arrival.bytes.chunks(arrival.segment))
}
