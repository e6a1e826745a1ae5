"""RFC 8656 once more, in the plainest way: what a relay answers, and what is alive afterwards.

Nothing here is shared with turnd but its words. Time is seconds since the beginning, `until` the moment at which
something is over; whatever is over stays in the tables until end_what_is_over() is called, as in the relay.
"""

import enum
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fairlead.datagram import Address, Family, FiveTuple
from turnd.protocol.settings import Expiry
from turnd.routes import Ports

DEFAULT_LIFETIME, MAX_LIFETIME = 600, 3600
PERMISSION, CHANNEL, RESERVATION, NONCE = 300.0, 600.0, 30.0, 600.0
#: A port rests for less than LEAST_REST, so that none is lent before its time: which of those that came back in one
#: moment would be lent first is no matter of this model.
PORT_HOLD, FOREIGN = 1.5, 60.0
TRIES = 17


class Person(NamedTuple):
    """Somebody with a user name, and until when the credential is good; the password may be a guess."""

    username: str
    password: str
    user_id: str
    knows_password: bool = True
    until: float = math.inf


@dataclass(frozen=True)
class Asked:
    """One request as it was sent; sent again, it is the same request. `nonce` is the second of its nonce."""

    person: Person
    five_tuple: FiveTuple
    transaction: bytes
    nonce: int


@dataclass(frozen=True)
class AskedAllocate(Asked):
    lifetime: int | None = None
    family: Family | None = None
    even: bool | None = None
    token: bytes | None = None


@dataclass(frozen=True)
class AskedRefresh(Asked):
    lifetime: int | None = None
    family: Family | None = None


@dataclass(frozen=True)
class AskedPermission(Asked):
    peers: tuple[Address, ...] = ()


@dataclass(frozen=True)
class AskedChannel(Asked):
    number: int
    peer: Address


class Bound(enum.Enum):
    """What became of an attempt to bind a relay socket."""

    BOUND = enum.auto()
    IN_USE = enum.auto()
    NO_SOCKETS = enum.auto()


class Attempt(NamedTuple):
    address: Address
    outcome: Bound


@dataclass
class ModelAllocation:
    person: Person
    relayed: Address
    transaction: bytes
    until: float
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, tuple[Address, float]] = field(default_factory=dict)
    #: what its Allocate was answered with
    reply: bytes = b""


class Reserved(NamedTuple):
    person: Person
    relayed: Address
    until: float


class Hand(enum.Enum):
    FREE = enum.auto()
    USED = enum.auto()
    HELD = enum.auto()
    FOREIGN = enum.auto()


class Book:
    """The ports of one relay address, and in whose hand each is."""

    def __init__(self, first: int, last: int) -> None:
        self._hands = dict.fromkeys(range(first, last + 1), (Hand.FREE, math.inf))

    def hand(self, port: int, now: float) -> Hand | None:
        """None for a port outside of the range."""
        hand, until = self._hands.get(port, (None, math.inf))
        return Hand.FREE if until <= now else hand

    def give(self, port: int, hand: Hand, until: float = math.inf) -> None:
        self._hands[port] = hand, until

    def census(self, now: float) -> list[int]:
        hands = [self.hand(port, now) for port in self._hands]
        return [hands.count(hand) for hand in Hand]

    def suitable(self, even: bool | None, now: float) -> list[int]:
        """The ports that EVEN-PORT, with its R bit or without, or its absence leaves to choose from."""
        free = [port for port in self._hands if self.hand(port, now) is Hand.FREE]
        if even is None:
            return free
        return [port for port in free if port % 2 == 0 and (not even or port + 1 in free)]


class Model:
    """What a relay with these settings does. Every verb returns the code of the answer, 0 for success."""

    def __init__(self, *, hosts: dict[Family, str], ports: tuple[int, int], expiry: Expiry, per_user: int, total: int,
                 permissions: int, channels: int, reachable: frozenset[str]) -> None:  # fmt: skip
        self.now = 0.0
        self.hosts = hosts
        self.books = {family: Book(*ports) for family in hosts}
        self.allocations: dict[FiveTuple, ModelAllocation] = {}
        self.reservations: dict[bytes, Reserved] = {}
        self.revoked: dict[str, float] = {}
        self.draining = False
        self._expiry, self._per_user, self._total = expiry, per_user, total
        self._permissions, self._channels, self._reachable = permissions, channels, reachable

    # Time

    def ends(self) -> Iterator[float]:
        """When something is over, each time once for each thing."""
        for allocation in self.allocations.values():
            yield allocation.until
            yield from allocation.permissions.values()
            yield from (until for _, until in allocation.channels.values())
        yield from (reserved.until for reserved in self.reservations.values())

    def advance(self, to: float, awake: bool) -> None:
        """Awake, the relay sees each end at its time; asleep, all of them when it wakes up."""
        while awake and (over := min(self.ends(), default=math.inf)) <= to:
            self.now = over
            self.end_what_is_over()
        self.now = to
        self.end_what_is_over()

    def end_what_is_over(self) -> None:
        for five_tuple, allocation in list(self.allocations.items()):
            if allocation.until <= self.now:
                self.end(five_tuple)
            allocation.permissions = {h: until for h, until in allocation.permissions.items() if until > self.now}
            allocation.channels = {n: row for n, row in allocation.channels.items() if row[1] > self.now}
        self._give_back(lambda reserved: reserved.until <= self.now)

    def end(self, five_tuple: FiveTuple) -> None:
        self._hold(self.allocations.pop(five_tuple).relayed)

    def _hold(self, relayed: Address) -> None:
        self.books[relayed.family].give(relayed.port, Hand.HELD, self.now + PORT_HOLD)

    def revoke(self, name: str, until: float) -> None:
        self.revoked[name] = max(until, self.revoked.get(name, 0.0))
        for five_tuple, allocation in list(self.allocations.items()):
            if name in (allocation.person.username, allocation.person.user_id):
                self.end(five_tuple)
        self._give_back(lambda reserved: reserved.person.user_id == name)

    def _give_back(self, is_over: Callable[[Reserved], bool]) -> None:
        for token, reserved in list(self.reservations.items()):
            if is_over(reserved):
                del self.reservations[token]
                self._hold(reserved.relayed)

    # Requests

    def _admit(self, asked: Asked, deletes_or_refreshes: bool = False) -> int:
        """401, 438 or 0."""
        person, allocation = asked.person, self.allocations.get(asked.five_tuple)
        expired = person.until <= self.now
        if allocation is not None and allocation.person.username == person.username:
            asked_anew = {Expiry.ALLOCATE: False, Expiry.REFRESH: deletes_or_refreshes, Expiry.CUT: True}
            expired = expired and asked_anew[self._expiry]
        revoked = any(self.now < self.revoked.get(name, 0.0) for name in (person.username, person.user_id))
        if not person.knows_password or expired or revoked:
            return 401
        return 438 if self.now - asked.nonce > NONCE else 0

    def _mine(self, asked: Asked) -> ModelAllocation | int:
        """437, 441 or the allocation."""
        allocation = self.allocations.get(asked.five_tuple)
        if allocation is None:
            return 437
        return allocation if allocation.person.username == asked.person.username else 441

    def _granted(self, lifetime: int | None, person: Person) -> float:
        granted = DEFAULT_LIFETIME if lifetime is None else min(max(lifetime, DEFAULT_LIFETIME), MAX_LIFETIME)
        return min(granted, math.ceil(person.until - self.now)) if self._expires(person) else granted

    def _expires(self, person: Person) -> bool:
        return self._expiry is Expiry.CUT and person.until < math.inf

    def allocate(self, asked: AskedAllocate, attempts: list[Attempt], token: bytes | None) -> int:
        """`attempts` and `token` are what the relay was seen to do; they are judged."""
        refused = self._admit(asked) or self._refuse_allocate(asked)
        if refused is not None:
            assert not attempts
            return refused
        if asked.token is not None:
            assert not attempts
            relayed = self.reservations.pop(asked.token).relayed
        else:
            family = asked.family or Family.IPV4
            port = self._bind(family, asked.even, attempts)
            if port is None:
                return 508
            relayed = Address(self.hosts[family], port)
            if asked.even:
                assert token is not None
                self.reservations[token] = Reserved(
                    asked.person, Address(relayed.host, port + 1), self.now + RESERVATION
                )
        until = self.now + self._granted(asked.lifetime, asked.person)
        self.allocations[asked.five_tuple] = ModelAllocation(asked.person, relayed, asked.transaction, until)
        return 0

    def _refuse_allocate(self, asked: AskedAllocate) -> int | None:
        """The code that is known before a socket is asked for, 0 for a retransmission; None to go on."""
        living = self.allocations.get(asked.five_tuple)
        if living is not None:
            again = living.transaction == asked.transaction and living.person.username == asked.person.username
            return 0 if again else 437
        if asked.token is not None and (asked.even is not None or asked.family is not None):
            return 400
        if self.draining:
            return 508
        if asked.token is not None:
            reserved = self.reservations.get(asked.token)
            return None if reserved and reserved.person.user_id == asked.person.user_id else 508
        if (asked.family or Family.IPV4) not in self.hosts:
            return 440
        wanted = 2 if asked.even else 1
        full = self.claims() + wanted > self._total or self.claims(asked.person.user_id) + wanted > self._per_user
        return 486 if full else None

    def claims(self, user_id: str | None = None) -> int:
        """How many ports are allocated or reserved, in all or for one user."""
        owners = [allocation.person.user_id for allocation in self.allocations.values()]
        owners += [reserved.person.user_id for reserved in self.reservations.values()]
        return len(owners) if user_id is None else owners.count(user_id)

    def _bind(self, family: Family, even: bool | None, attempts: list[Attempt]) -> int | None:
        """Follows the attempts through: the port that was bound at last, None where there was none."""
        book, seen = self.books[family], iter(attempts)
        for _ in range(TRIES):
            suitable = book.suitable(even, self.now)
            if not suitable:
                break
            pair: list[int] = []
            for step in range(2 if even else 1):
                (host, port), outcome = next(seen)
                assert host == self.hosts[family]
                assert port in suitable if not step else port == pair[0] + 1
                pair.append(port)
                if outcome is not Bound.BOUND:
                    break
            if outcome is Bound.BOUND:
                for port in pair:
                    book.give(port, Hand.USED)
                assert list(seen) == []
                return pair[0]
            # The one before was bound; what never was need not rest.
            for port in pair[:-1]:
                book.give(port, Hand.HELD, self.now + PORT_HOLD)
            if outcome is Bound.NO_SOCKETS:
                break
            book.give(pair[-1], Hand.FOREIGN, self.now + FOREIGN)
        assert list(seen) == []
        return None

    def refresh(self, asked: AskedRefresh) -> int:
        allocation = self._admit(asked, deletes_or_refreshes=True) or self._mine(asked)
        if isinstance(allocation, int):
            return allocation
        if asked.family is not None and asked.family is not allocation.relayed.family:
            return 443
        if asked.lifetime == 0:
            self.end(asked.five_tuple)
        else:
            allocation.until = self.now + self._granted(asked.lifetime, allocation.person)
        return 0

    def permit(self, asked: AskedPermission) -> int:
        allocation = self._admit(asked) or self._mine(asked)
        if isinstance(allocation, int):
            return allocation
        hosts = {peer.host for peer in asked.peers}
        if not hosts:
            return 400
        if any(peer.family is not allocation.relayed.family for peer in asked.peers):
            return 443
        if not hosts <= self._reachable:
            return 403
        if len(hosts | allocation.permissions.keys()) > self._permissions:
            return 508
        allocation.permissions.update(dict.fromkeys(hosts, self.now + PERMISSION))
        return 0

    def bind(self, asked: AskedChannel) -> int:
        allocation = self._admit(asked) or self._mine(asked)
        if isinstance(allocation, int):
            return allocation
        number, peer, channels = asked.number, asked.peer, allocation.channels
        if not 0x4000 <= number <= 0x7FFF or peer.port == 0:
            return 400
        if any((other == number) is not (bound == peer) for other, (bound, _) in channels.items()):
            return 400
        if peer.family is not allocation.relayed.family:
            return 443
        if peer.host not in self._reachable:
            return 403
        if len(channels.keys() | {number}) > self._channels:
            return 508
        if len(allocation.permissions.keys() | {peer.host}) > self._permissions:
            return 508
        channels[number] = peer, self.now + CHANNEL
        allocation.permissions[peer.host] = self.now + PERMISSION
        return 0

    # What follows for packets

    def routes(self) -> set[tuple[Address, str, Ports] | tuple[Address, int, Address]]:
        """Permissions and channels, each behind its relayed address."""
        found: set[tuple[Address, str, Ports] | tuple[Address, int, Address]] = set()
        for allocation in self.allocations.values():
            for host in allocation.permissions:
                ports = Ports.OWN_RELAYED if host in self.hosts.values() else Ports.ANY
                found.add((allocation.relayed, host, ports))
            for number, (peer, _) in allocation.channels.items():
                found.add((allocation.relayed, number, peer))
        return found
