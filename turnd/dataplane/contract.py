"""The promise that every engine keeps: what it is told, what it forwards by itself, what it hands up.

An engine is a mirror. turnd.protocol alone knows which allocations, permissions and channels are alive; the engine
forwards what the routes it was given allow, drops with a named reason what they forbid, and hands up everything
that it does not know. It has no timers: what ends is withdrawn from it. Nothing crosses this border that could not
cross the border of a process.

What an engine forwards by itself:
  client -> peer   ChannelData on a channel route; Send indications that hold XOR-PEER-ADDRESS and DATA and nothing
                   else but a FINGERPRINT, towards a host that a permission route names
  peer -> client   what arrives on a relay socket from a host that a permission route names: as ChannelData where a
                   channel route names the peer, as a Data indication otherwise (RFC 8656 sections 11.3, 12.6)
What it drops, counted: ChannelData and Send of clients without a relay socket or a route; packets of peers without
a permission; port 0; packets towards or from our own relay addresses at a port that no open relay socket owns
(Ports.OWN_RELAYED); what the kernel refuses to take. Never does an error on a relay socket end it.
What it hands up: every other message of a client.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fairlead.datagram import Address, Datagram, FiveTuple, Via
from fairlead.reasons import Reason
from turnd.routes import RelayId, Route

class StreamData(NamedTuple):
    """Bytes for a client behind a TCP or TLS connection, to be written to the stream `via.path` as they are:
    ChannelData is already padded to 4 bytes (RFC 8656 section 12.5)."""

    via: Via
    data: bytes


HandUp = Datagram | StreamData


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


class DataPlane(Protocol):
    """An engine. Verbs that set or clear are idempotent; clearing what is not there does nothing."""

    #: The value of the metric label `datapath`.
    name: str

    def fileno(self) -> int:
        """One descriptor that is readable while turn() has something to do."""
        ...

    def turn(self) -> Sequence[HandUp]:
        """Does at most one budget of work and returns what it hands up; bounded in time and in length."""
        ...

    def open_listener(self, listener: int, address: Address) -> Address:
        """Binds a UDP listener; port 0 picks one. Returns the bound address; raises OSError."""
        ...

    def close_listener(self, listener: int) -> None: ...

    def open_relay(self, relay: RelayId, address: Address) -> None:
        """Binds a relay socket to exactly this address; raises OSError. Packets that reach it before it has a
        client are dropped."""
        ...

    def set_client(self, relay: RelayId, client: FiveTuple, via: Via) -> None:
        """Says whose relay socket it is, and where its peers' packets go."""
        ...

    def close_relay(self, relay: RelayId) -> Usage:
        """Withdraws the routes, closes the socket, returns what passed it."""
        ...

    def set_route(self, route: Route) -> None: ...

    def clear_route(self, route: Route) -> None: ...

    def send(self, via: Via, client: FiveTuple, data: bytes) -> None:
        """Sends to a UDP client from the address that it wrote to; drops, counted, what the kernel refuses."""
        ...

    def send_from_relay(self, relay: RelayId, peer: Address, data: bytes, dont_fragment: bool) -> None:
        """Sends application data that the core has judged; the per-packet checks of the routes apply again."""
        ...

    def deliver(self, datagram: Datagram) -> Sequence[HandUp]:
        """Takes one framed message of a stream client as turn() takes a datagram: forwards it, or hands it up."""
        ...

    def usage(self, relay: RelayId) -> Usage: ...

    def counters(self) -> Counters: ...

    def routes(self) -> frozenset[Route]: ...

    def close(self) -> None: ...


class EngineSettings(NamedTuple):
    """What an engine is made with.

    `aliases` maps each advertised relay host to the host that is bound (1:1 NAT); clients write and read the
    advertised one. `receive_buffer` and `send_buffer` are SO_RCVBUF and SO_SNDBUF in bytes, 0 leaves the system's.
    `budget` bounds the packets of one turn.
    """

    aliases: Mapping[str, str] = {}
    receive_buffer: int = 0
    send_buffer: int = 0
    budget: int = 512
