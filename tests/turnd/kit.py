"""A relay in a world that is played: the core is real, down to its tables; clock, dice and sockets are ours.

A World carries out what the core asks for and after every step holds the core to its books. A Client speaks real STUN.
"""

import errno
import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from fairlead.buckets import BucketTable, Rate
from fairlead.clock import Entropy, Now
from fairlead.datagram import Address, Datagram, Family, FiveTuple, Transport, Via
from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    DATA,
    ERROR_CODE,
    NONCE,
    REALM,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    UDP,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    Attribute,
)
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1, PasswordAlgorithm, long_term_key
from fairlead.stun.message import Message, Signature, decode, encode, new_mask
from fairlead.turn_user import room_of
from turnd.protocol import effects as do
from turnd.protocol.authentication import Authenticator, Secret
from turnd.protocol.effects import Effect
from turnd.protocol.nonces import NonceMint
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.ports import Census, PortPool
from turnd.protocol.quotas import Limits, Quotas
from turnd.protocol.relay import Relay
from turnd.protocol.settings import RelayHost, Settings
from turnd.protocol.state import State
from turnd.routes import Channel, Permission, RelayId, Route

REALM_NAME = "fairlead.test"
USERS = {"alice": "wonderland", "bob": "builder"}
#: Unix time at which every world begins.
EPOCH = 1_800_000_000
#: What its monotonic clock shows then.
START = 1000.0
SERVER = Address("192.0.2.1", 3478)
HOSTS = {
    Family.IPV4: RelayHost("192.0.2.1", "192.0.2.1"),
    Family.IPV6: RelayHost("2001:db8::1", "2001:db8::1"),
}
#: Peers that the policy lets through.
PEER = Address("20.0.0.1", 9000)
OTHER_PEER = Address("20.0.0.2", 9000)
PEER6 = Address("2600::1", 9000)

Row: TypeAlias = tuple[Attribute[Any], Any]


def seeded(seed: str) -> Entropy:
    """Bytes that look like chance and are the same in every run."""
    serials = itertools.count()
    return lambda count: hashlib.shake_256(f"{seed} {next(serials)}".encode()).digest(count)


class Clock:
    """Both clocks of one machine, moved by hand."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    @property
    def now(self) -> Now:
        return Now(monotonic=START + self.elapsed, wall=EPOCH + self.elapsed)


class World:
    """A relay, and everything outside of it as a record of what the core asked for."""

    #: Where clients send to.
    server = SERVER

    def __init__(
        self,
        *,
        hosts: Mapping[Family, RelayHost] = HOSTS,
        ports: tuple[int, int] = (50000, 50099),
        port_hold: float = 30.0,
        users: Mapping[str, str] = USERS,
        secrets: Iterable[Secret] = (),
        policy: PeerPolicy | None = None,
        limits: Limits | None = None,
        challenges: tuple[float, int] = (0, 1),
        failures: tuple[float, int] = (0, 1),
        **settings: Any,
    ) -> None:
        """`challenges` and `failures` are the rate and the burst of the limits on unauthenticated replies."""
        self.clock = Clock()
        entropy = seeded("world")
        self.state = State(
            settings=Settings(
                realm=REALM_NAME,
                hosts=hosts,
                challenge_rate=Rate(*challenges),
                failure_rate=Rate(*failures),
                **settings,
            ),
            entropy=entropy,
            authenticator=Authenticator(REALM_NAME, users, secrets),
            nonces=NonceMint(entropy(32)),
            policy=policy or PeerPolicy.parse(own_relays=[host.bound for host in hosts.values()]),
            ports={family: PortPool(*ports, port_hold) for family in hosts},
            quotas=Quotas(limits or Limits()),
            challenges=BucketTable(1024, entropy(32)),
            failures=BucketTable(1024, entropy(32)),
        )
        self.relay = Relay(self.state)
        #: Ports that other programs have, and whether the machine gives sockets at all.
        self.foreign_ports: set[int] = set()
        self.gives_sockets = True
        self.sockets: dict[RelayId, Address] = {}
        self.owners: dict[RelayId, FiveTuple] = {}
        self.routes: set[Route] = set()
        #: When relay sockets and routes end by themselves, as the engine was told.
        self.deadlines: dict[RelayId | Route, float] = {}
        self.done: list[Effect] = []
        self.numbers = itertools.count()
        self._carry_out: dict[type[Any], Callable[[Any], object]] = {
            do.OpenRelaySocket: self._open_relay_socket,
            do.CloseRelaySocket: lambda effect: self.close_socket(effect.relay),
            do.AttachClient: lambda effect: self.attach(*effect),
            do.SetDeadline: lambda effect: self.set_deadline(*effect),
            do.SetRoute: lambda effect: self.set_route(*effect),
            do.ClearRoute: lambda effect: self.clear_route(effect.route),
            do.Send: self.send,
            do.SendFromRelay: self.send_from_relay,
        }

    @property
    def now(self) -> Now:
        return self.clock.now

    def take(self, datagram: Datagram) -> list[Effect]:
        """Hands a client's message to the core; returns what was done about it."""
        return self.carry_out(self.relay.receive(datagram, self.now))

    def advance(self, seconds: float) -> list[Effect]:
        """Lets time pass; the core is woken at each of its deadlines, as it asked to be."""
        end = self.clock.elapsed + seconds
        done: list[Effect] = []
        while (deadline := self.relay.deadline()) is not None and deadline <= START + end:
            self.clock.elapsed = deadline - START
            done += self.carry_out(self.relay.expire(self.now))
        self.clock.elapsed = end
        return done

    def carry_out(self, effects: Iterable[Effect]) -> list[Effect]:
        """Does what the core asks for, in its order, and returns all of it; then the books must be right."""
        start = len(self.done)
        self._execute(effects)
        self.check()
        return self.done[start:]

    def _execute(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.done.append(effect)
            self._carry_out.get(type(effect), lambda effect: None)(effect)

    def _open_relay_socket(self, effect: do.OpenRelaySocket) -> None:
        try:
            self.open_socket(effect.relay, effect.address)
        except OSError as error:
            answer = self.relay.relay_socket_failed(effect.relay, error.errno == errno.EADDRINUSE, str(error.strerror))
        else:
            answer = self.relay.relay_socket_opened(effect.relay)
        self._execute(answer)

    def open_socket(self, relay: RelayId, address: Address) -> None:
        if not self.gives_sockets:
            raise OSError(errno.EMFILE, "too many open files")
        if address.port in self.foreign_ports or address in self.sockets.values():
            raise OSError(errno.EADDRINUSE, "address already in use")
        self.sockets[relay] = address

    def close_socket(self, relay: RelayId) -> None:
        del self.sockets[relay]
        self.owners.pop(relay, None)
        self.routes = {route for route in self.routes if route.relay != relay}
        self.deadlines.pop(relay, None)

    def attach(self, relay: RelayId, five_tuple: FiveTuple, via: Via) -> None:
        assert relay in self.sockets
        self.owners[relay] = five_tuple

    def set_deadline(self, relay: RelayId, until: float) -> None:
        assert relay in self.owners
        self.deadlines[relay] = until

    def set_route(self, route: Route, until: float) -> None:
        assert route.relay in self.owners, "a route leads from a socket that has a client"
        if isinstance(route, Permission):
            self.routes = {r for r in self.routes if not (isinstance(r, Permission) and r[:2] == route[:2])}
        self.routes.add(route)
        self.deadlines[route] = until

    def clear_route(self, route: Route) -> None:
        self.routes.remove(route)

    def send_from_relay(self, effect: do.SendFromRelay) -> None:
        assert effect.relay in self.owners

    def send(self, effect: do.Send) -> None:
        """Nothing is promised before it is true: routes and sockets are there when the client is told."""
        assert self.routes == self.relay.active_routes(self.now)
        message = decode(effect.data)
        if message.method == Method.ALLOCATE and message.message_class is Class.SUCCESS:
            told = message.first(XOR_RELAYED_ADDRESS)
            hosts = {host.told: host.bound for host in self.state.settings.hosts.values()}
            assert told is not None
            bound = Address(hosts[told.host], told.port)
            assert [self.owners.get(relay) for relay, address in self.sockets.items() if address == bound] == [
                effect.five_tuple
            ]

    def census(self, family: Family = Family.IPV4) -> Census:
        return self.state.ports[family].census(self.now)

    def check(self) -> None:
        """What holds after every step, whatever it was."""
        allocations = self.state.allocations
        assert self.routes == self.relay.active_routes(self.now)
        self._check_deadlines()
        for row in allocations.by_id.values():
            assert row in allocations.of_name(row.account.user_id)
            assert row in allocations.of_name(row.account.username)
        rooms = {room for row in allocations.by_id.values() if (room := room_of(row.account.user_id))}
        assert allocations.by_room.keys() == rooms
        living = [allocation.relay for allocation in allocations.by_id.values()]
        living += [reservation.relay for reservation in allocations.reservations.values()]
        assert dict(living) == self.sockets
        for family, pool in self.state.ports.items():
            census = pool.census(self.now)
            assert sum(census) == len(pool)
            assert census.used == sum(relay.address.family is family for relay in living)
        assert len(self.state.quotas) == len(living)
        assert not self.state.openings
        deadline = self.relay.deadline()
        assert deadline is None or deadline > self.now.monotonic

    def _check_deadlines(self) -> None:
        """Whatever lives ends for the engine when it ends for the core, were nobody to withdraw it."""
        for allocation in self.state.allocations.by_id.values():
            relay = allocation.relay.id
            assert self.deadlines[relay] == allocation.expires
            for host, permission in allocation.permissions.items():
                assert self.deadlines[Permission(relay, host, permission.ports)] == permission.expires
            for number, channel in allocation.channels.items():
                assert self.deadlines[Channel(relay, number, channel.peer)] == channel.expires


class Reply(Message):
    """What a client reads of an answer."""

    @property
    def code(self) -> int:
        """The error code, 0 of a success."""
        error = self.first(ERROR_CODE)
        return 0 if error is None else error.code


class Client:
    """A TURN client at one address; it learns realm and nonce from the server and signs what it asks."""

    def __init__(
        self,
        world: World,
        username: str = "alice",
        password: str | None = None,
        *,
        address: Address | None = None,
        transport: Transport = Transport.UDP,
    ) -> None:
        self.world = world
        number = next(world.numbers)
        self.five_tuple = FiveTuple(transport, address or Address("198.51.100.7", 20000 + number), world.server)
        self.via = Via(1 + number % 2, number)
        self.username = username
        self.password = USERS.get(username, "") if password is None else password
        self.realm = REALM_NAME
        self.nonce: str | None = None
        self._entropy = seeded(f"client {number}")

    @property
    def key(self) -> bytes:
        return long_term_key(self.username, self.realm, self.password, PasswordAlgorithm.MD5)

    def message(self, method: int, *rows: Row, kind: Class = Class.REQUEST, fingerprint: bool = False) -> bytes:
        """A message without credentials."""
        return encode(method, kind, self._new_mask(), rows, with_fingerprint=fingerprint)

    def signed(
        self,
        method: int,
        *rows: Row,
        nonce: str | None = None,
        mask: bytes | None = None,
        fingerprint: bool = False,
    ) -> bytes:
        """A request with credentials; with `nonce` in place of the one that the client was given, and with `mask`
        in place of a new transaction id's."""
        named = ((USERNAME, self.username), (REALM, self.realm), (NONCE, nonce or self.learned_nonce()))
        signature = Signature(SHA1, self.key)
        return encode(method, Class.REQUEST, mask or self._new_mask(), (*rows, *named), signature, fingerprint)

    def say(self, data: bytes) -> list[Effect]:
        """Sends bytes; returns everything that the core had done about them."""
        return self.world.take(Datagram(data, self.five_tuple, self.via))

    def exchange(self, data: bytes) -> Reply:
        """Sends a request and reads its one answer, which must be its answer."""
        replies = [effect for effect in self.say(data) if isinstance(effect, do.Send)]
        assert len(replies) == 1, replies
        assert replies[0].five_tuple == self.five_tuple
        return read_reply(replies[0].data, data)

    def ask(self, method: int, *rows: Row) -> Reply:
        """Sends a signed request, with a fresh nonce if the old one has become stale, as clients do."""
        reply = self.exchange(self.signed(method, *rows))
        if reply.code == 438:
            self.nonce = reply.first(NONCE)
            reply = self.exchange(self.signed(method, *rows))
        assert reply.is_intact(SHA1, self.key) is (reply.code != 401)
        return reply

    def allocate(self, *rows: Row, family: Family | None = None) -> Reply:
        asked = () if family is None else ((REQUESTED_ADDRESS_FAMILY, family),)
        return self.ask(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), *asked, *rows)

    def allocated(self, *rows: Row, family: Family | None = None) -> Address:
        """Allocates, which must succeed; returns the relayed address."""
        reply = self.allocate(*rows, family=family)
        relayed = reply.first(XOR_RELAYED_ADDRESS)
        assert relayed is not None, reply.code
        return relayed

    def refresh(self, *rows: Row) -> Reply:
        return self.ask(Method.REFRESH, *rows)

    def permit(self, *peers: Address) -> Reply:
        return self.ask(Method.CREATE_PERMISSION, *((XOR_PEER_ADDRESS, peer) for peer in peers))

    def bind(self, number: int, peer: Address) -> Reply:
        return self.ask(Method.CHANNEL_BIND, (CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, peer))

    def send(self, peer: Address, data: bytes = b"data", *rows: Row) -> list[do.SendFromRelay]:
        """Sends an indication, which is never answered; returns what was relayed of it."""
        indication = self.message(Method.SEND, (XOR_PEER_ADDRESS, peer), (DATA, data), *rows, kind=Class.INDICATION)
        effects = self.say(indication)
        assert not [effect for effect in effects if isinstance(effect, do.Send)]
        return [effect for effect in effects if isinstance(effect, do.SendFromRelay)]

    def disconnect(self) -> list[Effect]:
        return self.world.carry_out(self.world.relay.disconnected(self.five_tuple, self.world.now))

    def learned_nonce(self) -> str:
        """The nonce that the server gave; asks for one at first."""
        if self.nonce is None:
            challenge = self.exchange(self.message(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP)))
            assert challenge.code == 401
            self.nonce = challenge.first(NONCE)
            assert self.nonce is not None
        return self.nonce

    def _new_mask(self) -> bytes:
        return new_mask(self._entropy(12))


def read_reply(data: bytes, request: bytes) -> Reply:
    """Decodes an answer, which must be one to this request."""
    answer, asked = decode(data), decode(request)
    assert answer.method == asked.method
    assert answer.transaction_id == asked.transaction_id
    assert answer.message_class in (Class.SUCCESS, Class.ERROR)
    reply = Reply(*answer)
    assert reply.has(ERROR_CODE) is (answer.message_class is Class.ERROR)
    return reply


def raw(attribute: Attribute[Any] | int, value: bytes) -> Row:
    """An attribute, or whatever has this type, with exactly these bytes for its value."""
    kind = attribute if isinstance(attribute, int) else attribute.type
    return Attribute(kind, f"0x{kind:04x}", DATA.kind), value
