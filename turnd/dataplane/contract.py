"""The promise that every engine keeps: what it is told, what it forwards by itself, what it hands up.

An engine is a mirror. turnd.protocol alone knows which allocations, permissions and channels are alive; the engine
forwards what the routes it was given allow, drops with a named reason what they forbid, and hands up everything
that it does not know. Nothing crosses this border that could not cross the border of a process.

It has no timers. What ends is withdrawn from it, and what ends by itself has a deadline besides: from that moment on no
packet passes that comes in, however late its owner comes to withdraw it. Moments are seconds of time.monotonic(), which
an engine may know to a tick of the kernel's (hundredths of a second) and reads once for what it receives together.

An engine works when turn() is called, or all the time in threads of its own. Either way a verb that has returned counts
for every packet that is sent from then on, and numbers that are read count every packet that had come out by then.

Clients are told apart by their 5-tuple. What they send is one of these:
  ChannelData      4 bytes or more, the first from 0x40 to 0x7F. Its data goes to the peer of the channel, when
                   the peer's host has a permission too. What follows the data is padding and ignored.
  plain Send       a Send indication that holds XOR-PEER-ADDRESS and DATA, once each and in either order, and nothing
                   else but a FINGERPRINT, which is right. Its data goes to the peer, when its host has a permission.
  plain Binding    a Binding request over UDP that holds nothing but a right FINGERPRINT, or nothing. It is answered as
                   fairlead.stun.binding does. Where limit_bindings() has set a limit, every Binding request over
                   UDP, plain or not, takes a token of its source first.
  unsigned request Allocate, Refresh, CreatePermission or ChannelBind over UDP without MESSAGE-INTEGRITY of either
                   generation, whose FINGERPRINT, if any, is right and its last attribute. Where challenge() was
                   called an engine may answer it 401 by itself, as turnd.protocol.admission does; otherwise:
  all else         is handed up as it came, be it well formed or not. An engine may prefer clients that have a relay
                   socket, and then those that bring back a nonce which they were given, to strangers.
                   Over UDP each of the former has a share (turnd.dataplane.shares), and each stream has its share of
                   what waits for turn(): no client's messages or packets take the room of another's.
What a peer sends to a relay socket goes to the client when the peer's host has a permission: as ChannelData when a
channel is bound to the peer, else as a Data indication of XOR-PEER-ADDRESS and DATA (RFC 8656 sections 11.3, 12.6).
Empty data is data. In indications a client writes and reads the advertised host in place of the bound one.

What is not forwarded is dropped and counted, under the first of these that fits:
  EMPTY, NOT_STUN, MALFORMED, BAD_COOKIE
                      what is wrong with the header of a datagram, in the words of fairlead.stun.message.decode
  MALFORMED           ChannelData that is longer than what arrived
  NO_ALLOCATION       ChannelData or plain Send of a client without a relay socket; a peer's packet on a relay socket
                      without a client. One whose deadline has passed is none.
  PEER_FAMILY         plain Send to a peer of a family that the client has no relay socket of
  NO_CHANNEL          ChannelData of a number that is not bound, or not any more
  NO_PERMISSION       the host of the peer has none, or none any more
  PEER_DENIED         deny() names the peer: judged for each packet, whatever permissions say
  PORT_ZERO           the port of the peer, or of a client whose message would be handed up, is 0
  BANDWIDTH           the relay socket has used up the bytes that limit() gives it
  USER_BANDWIDTH      its user has used up the bytes that limit() gives all relay sockets of that name
  RATE_LIMITED        a Binding request of a source that has sent too many; what would be answered with a challenge, and
                      all else for the core of a client without a relay socket, if the source has had too many of them;
                      or it comes over UDP, and the share of its client is used up
  PEER_NOT_ALLOCATED  the permission says Ports.OWN_RELAYED, and no open relay socket has the peer's address: judged
                      for each packet, in both directions
  SEND_BUFFER         the kernel has no room; or too much is waiting for turn() to hand it up
  TOO_LARGE           the path has none; or a message that would be handed up has more than LARGEST_REQUEST bytes
                      (fairlead.stun.header), and comes over UDP from a client without a relay socket
  UNREACHABLE         whatever else makes the kernel refuse
No error on a socket, and no ICMP message, ever ends it.
"""

import enum
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fairlead.buckets import Rate
from fairlead.datagram import Address, Datagram, FiveTuple, Via
from fairlead.reasons import Reason
from turnd.routes import Bandwidth, RelayId, Route


class StreamData(NamedTuple):
    """Bytes for a client behind a TCP or TLS connection, to be written to the stream `via.path` as they are:
    ChannelData is already padded to 4 bytes (RFC 8656 section 12.5)."""

    via: Via
    data: bytes


class Fault(NamedTuple):
    """What must not happen has happened in a thread of the engine: at most one batch of packets is lost, and the
    thread goes on with its sockets and routes. `text` says what and where."""

    thread: int
    text: str


HandUp = Datagram | StreamData

#: A message for a UDP client, out of where its own came in and from the address that it wrote to.
Answer = tuple[Via, FiveTuple, bytes]


class Framing(enum.StrEnum):
    CHANNEL = "channel"
    INDICATION = "indication"


class Direction(enum.StrEnum):
    """Where a relayed packet went."""

    TO_PEER = "to_peer"
    TO_CLIENT = "to_client"


@dataclass(slots=True)
class Usage:
    """What passed one relay socket: packets and bytes of application data, without TURN's and IP's framing."""

    packets_to_peer: int = 0
    bytes_to_peer: int = 0
    packets_to_client: int = 0
    bytes_to_client: int = 0


@dataclass(slots=True)
class Counters:
    """Running totals of an engine since it was made; they never shrink."""

    packets: Mapping[tuple[Direction, Framing], int] = field(default_factory=dict)
    #: bytes of application data, by the same keys
    bytes: Mapping[tuple[Direction, Framing], int] = field(default_factory=dict)
    dropped: Mapping[Reason, int] = field(default_factory=dict)
    #: faults
    panics: int = 0
    #: Binding requests that were answered
    bindings: int = 0
    #: packets that came in at one thread of the engine and were forwarded by another, which has the relay socket
    handed_over: int = 0
    #: requests without integrity that were challenged, by their STUN method
    challenges: Mapping[int, int] = field(default_factory=dict)
    #: challenges that a source had too many of: to requests without integrity, and to others
    unsigned_withheld: int = 0
    strangers_withheld: int = 0


class Challenges(NamedTuple):
    """What a request without integrity is answered with: 401, the realm, and a nonce under this key
    (turnd.protocol.nonces). Each source has so many of them."""

    realm: str
    nonce_key: bytes
    rate: Rate


class Io(enum.StrEnum):
    """How the native engine gets packets in and out of the kernel; `auto` is epoll."""

    AUTO = "auto"
    EPOLL = "epoll"
    IO_URING = "io_uring"


class IoRefusedError(Exception):
    """The kernel, or who watches over this process, refuses io_uring, or the engine has none."""

    remedy = "write io: auto, or have kernel.io_uring_disabled=0 and a seccomp profile that allows io_uring"


class DataPlane(Protocol):
    """An engine. Verbs that set, clear or close are idempotent; clearing and closing what is not there does nothing.

    To open what is open is a mistake of the caller's (ValueError), and so is to set something on a relay socket that is
    not open (KeyError).
    """

    #: The value of the metric label `datapath`.
    name: str
    #: How many threads move the packets, for the life of the engine.
    threads: int
    #: How it gets packets in and out, for the life of the engine; not AUTO.
    io: Io

    def fileno(self) -> int:
        """One descriptor that is readable while turn() has something to do."""
        ...

    def turn(self) -> Sequence[HandUp]:
        """Returns what is handed up: no more than the budget, and bounded in bytes.

        An engine without threads does its work in here, at most one budget of packets at a time. In every engine each
        socket that is ready gets its share, and what cannot be kept up with is shed: by the kernel's queues, which
        are full, or under SEND_BUFFER.
        """
        ...

    def faults(self) -> Sequence[Fault]:
        """What has gone wrong since this was last asked; of many the first ones. To be asked before turn()."""
        ...

    def open_listener(self, listener: int, address: Address) -> Address:
        """Binds a UDP listener; port 0 picks one. Returns the bound address; raises OSError.

        On 0.0.0.0 and :: it hears all addresses of that family, and answers from the one that was written to.
        """
        ...

    def receive_buffer(self, listener: int) -> int:
        """What the kernel gave of the buffer that was asked for, in bytes, for each socket of an open listener."""
        ...

    def close_listener(self, listener: int) -> None:
        """What would go out of it is dropped from now on (UNREACHABLE); its clients' relay sockets stay."""
        ...

    def open_relay(self, relay: RelayId, address: Address) -> None:
        """Binds a relay socket to exactly this address, without a client; raises OSError."""
        ...

    def set_client(self, relay: RelayId, client: FiveTuple, via: Via) -> None:
        """Says whose relay socket it is, and how packets get there: through a UDP listener, or as StreamData for `via`.

        What would go out of a listener that is not open is dropped (UNREACHABLE): it may have been closed while the
        request that came in by it waited. A client has at most one relay socket of each family. One that belonged to
        another client moves, routes and all.
        """
        ...

    def deny(self, peers: Collection[Address]) -> None:
        """From now on no indication passes to or from exactly these peers, and others are denied no longer. They are
        our own listeners: a permission names a host and cannot leave a port of it out. No channel is bound to them."""
        ...

    def limit_bindings(self, rate: Rate) -> None:
        """How many Binding requests a second each source may send from now on (fairlead.sources); at first any."""
        ...

    def challenge(self, challenges: Challenges) -> None:
        """Leave to answer unsigned requests; at first they are handed up, and so they are by an engine that could not
        do it faster than the core."""
        ...

    def set_deadline(self, relay: RelayId, until: float) -> None:
        """From that moment on nothing passes an open relay socket, unless another one is set before or after; at first
        there is none. Its routes stay where they are."""
        ...

    def limit(self, relay: RelayId, user: str, bandwidth: Bandwidth) -> None:
        """Bounds what passes an open relay socket from now on; at first nothing does.

        All relay sockets of one user share what that user has. A packet that does not fit is dropped whole. With other
        limits a bucket stays as full as it is.
        """
        ...

    def close_relay(self, relay: RelayId) -> Usage:
        """Withdraws the routes, closes the socket, returns what passed it."""
        ...

    def set_route(self, route: Route, until: float = math.inf) -> None:
        """Takes the place of what differs only in `ports`, and of channels with the same number or the same peer. From
        `until` on nothing passes by it: who sets it again sets another deadline.

        Raises ValueError for a host that is not of the relay socket's family, and for a channel to port 0.
        """
        ...

    def clear_route(self, route: Route) -> None:
        """Clears exactly this route: one that has taken its place stays."""
        ...

    def send(self, answers: Sequence[Answer]) -> None:
        """Sends to UDP clients, to each in this order; drops, counted, what the kernel refuses."""
        ...

    def send_from_relay(self, relay: RelayId, peer: Address, data: bytes, dont_fragment: bool) -> None:
        """Sends application data that the core has judged, as a plain Send does: the routes are asked again.

        `dont_fragment` sets the DF bit of the packet, which over IPv4 no other packet has; a path that is known to be
        too narrow drops it (TOO_LARGE).
        """
        ...

    def deliver(self, datagram: Datagram) -> Sequence[HandUp]:
        """Takes one framed message of a stream client as a listener takes a datagram: what is not to be forwarded or
        dropped is returned."""
        ...

    def usage(self, relay: RelayId) -> Usage:
        """What has passed an open relay socket so far."""
        ...

    def counters(self) -> Counters: ...

    def routes(self) -> frozenset[Route]:
        """Exactly what was set and has been neither cleared nor replaced, whatever its deadline."""
        ...

    def close(self) -> None:
        """Closes every socket; the engine cannot be used any more."""
        ...


class EngineSettings(NamedTuple):
    """What an engine is made with.

    `aliases` maps each advertised relay host to the host that is bound (1:1 NAT); clients write and read the
    advertised one. `listener_buffer` and `relay_buffer` are SO_RCVBUF of each listener and each relay socket and
    `send_buffer` SO_SNDBUF of both, in bytes; 0 leaves the system's. `budget` bounds the packets of one turn: those
    that it hands up, and where the turn does the work, all. `buckets` is how many sources of requests are told
    apart; more than this share them. `threads` and `io` are for engines that
    have a choice.
    """

    aliases: Mapping[str, str] = {}
    listener_buffer: int = 0
    relay_buffer: int = 0
    send_buffer: int = 0
    budget: int = 512
    buckets: int = 4096
    threads: int = 1
    io: Io = Io.AUTO
