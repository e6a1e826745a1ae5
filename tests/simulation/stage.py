"""Model and relay side by side: whatever is asked of one is asked of the other, and their answers are compared."""

import math
from typing import Any

from fairlead.credentials import mint
from fairlead.datagram import Address, Transport
from fairlead.stun.attributes import DATA, LIFETIME, RESERVATION_TOKEN, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, Attribute
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import decode
from tests.simulation.model import (
    NONCE,
    PORT_HOLD,
    Asked,
    AskedAllocate,
    AskedChannel,
    AskedPermission,
    AskedRefresh,
    Model,
    ModelAllocation,
    Person,
)
from tests.simulation.relayed_world import RelayedWorld, bound_socket, loopback_hosts, received
from tests.turnd.kit import EPOCH, START, USERS, Client, Reply
from turnd.dataplane.contract import DataPlane
from turnd.protocol.authentication import Secret
from turnd.protocol.effects import EndReason
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.quotas import Limits
from turnd.protocol.settings import Expiry

PORTS = 24000, 24011
TRANSPORTS = (Transport.UDP, Transport.UDP, Transport.UDP, Transport.TCP)
#: Hosts on the loopback interface that the policy opens (one of them twice: two ports), and one that it leaves closed.
OPEN_HOSTS, CLOSED_HOST = ("127.0.0.2", "127.0.0.2", "127.0.0.3"), "127.0.0.9"
UNREACHABLE = Address("fc00::1", 9)

_SECRET = Secret("current", b"spring")
_ALLOCATIONS, _PER_USER, _PERMISSIONS, _CHANNELS = 4, 2, 2, 2


def _limited(user_id: str, until: int) -> Person:
    return Person(*mint(_SECRET.value, user_id, EPOCH + until), user_id, until=until)


PEOPLE = (
    Person("alice", USERS["alice"], "alice"),
    Person("bob", USERS["bob"], "bob"),
    _limited("carol", 500),
    _limited("carol", 5000),
    Person("alice", "a guess", "alice", knows_password=False),
)


#: Whose client each of them is.
_OWNERS = (PEOPLE[0], PEOPLE[2], PEOPLE[1], PEOPLE[0])


class Stage:
    """One world and one model of it, with clients and with peers that have sockets."""

    def __init__(self, expiry: Expiry, engine: DataPlane) -> None:
        hosts = loopback_hosts()
        own = [host.bound for host in hosts.values()]
        self.world = RelayedWorld(
            engine,
            hosts=hosts,
            ports=PORTS,
            port_hold=PORT_HOLD,
            secrets=[_SECRET],
            policy=PeerPolicy.parse(allow=OPEN_HOSTS, own_relays=own),
            limits=Limits(allocations=_ALLOCATIONS, allocations_per_user=_PER_USER),
            expiry=expiry,
            max_permissions=_PERMISSIONS,
            max_channels=_CHANNELS,
        )
        self.model = Model(
            hosts={family: host.bound for family, host in hosts.items()},
            ports=PORTS,
            expiry=expiry,
            per_user=_PER_USER,
            total=_ALLOCATIONS,
            permissions=_PERMISSIONS,
            channels=_CHANNELS,
            reachable=frozenset([*OPEN_HOSTS, *own]),
        )
        self.clients = [
            Client(self.world, address=self.world.new_client_address(), transport=transport) for transport in TRANSPORTS
        ]
        self.peers = [bound_socket(Address(host, 0)) for host in (*OPEN_HOSTS, CLOSED_HOST)]
        self.tokens = [bytes(8)]
        self._nonces = dict.fromkeys(self.clients, -math.inf)
        self._last: dict[Client, tuple[bytes, Asked]] = {}

    def close(self) -> None:
        self.world.close()
        for peer in self.peers:
            peer.close()

    def client(self, number: int) -> Client:
        """Clients by number, and behind them those that have allocations, over and over."""
        if number < len(self.clients):
            return self.clients[number]
        living = [client for client in self.clients if self.allocation(client)] or self.clients
        return living[number % len(living)]

    def allocation(self, client: Client) -> ModelAllocation | None:
        return self.model.allocations.get(client.five_tuple)

    def peer(self, number: int) -> Address:
        """Peers by number: those with sockets, the relayed addresses of the clients, and one out of reach."""
        if number < len(self.peers):
            return Address(*self.peers[number].getsockname())
        number -= len(self.peers)
        if number == len(self.clients):
            return UNREACHABLE
        allocation = self.allocation(self.clients[number])
        return allocation.relayed if allocation else Address("127.0.0.1", PORTS[0])

    def ask(
        self,
        place: int,
        sender: Person | None,
        method: Method,
        rows: list[tuple[Attribute[Any], Any]],
        kind: type[Asked],
        **asked: Any,
    ) -> None:
        """Sends a request of a client (of somebody else at its address, if there is a sender) with a good nonce, and
        compares. Rows without a value are left out."""
        client = self.client(place)
        person = sender or _OWNERS[self.clients.index(client)]
        if self.model.now - self._nonces[client] > NONCE:
            client.nonce = None
            client.learned_nonce()
            self._nonces[client] = math.floor(self.model.now)
        client.username, client.password = person.username, person.password
        data = client.signed(method, *(row for row in rows if row[1] is not None))
        request = kind(person, client.five_tuple, data[8:20], int(self._nonces[client]), **asked)
        self._last[client] = data, request
        self._settle(client, data, request)

    def ask_again(self, place: int) -> None:
        """The last request of this client comes once more."""
        client = self.client(place)
        if client in self._last:
            self._settle(client, *self._last[client])

    def _settle(self, client: Client, data: bytes, asked: Asked) -> None:
        self.world.attempts.clear()
        client.username, client.password = asked.person.username, asked.person.password
        reply = client.exchange(data)
        assert reply.code == self._foretold(asked, reply)
        assert reply.is_intact(SHA1, client.key) is (reply.code not in (401, 438))
        if not reply.code:
            self._hold_to_its_word(asked, reply)

    def _foretold(self, asked: Asked, reply: Reply) -> int:
        match asked:
            case AskedAllocate():
                token = reply.first(RESERVATION_TOKEN)
                self.tokens += [token] if token else []
                return self.model.allocate(asked, self.world.attempts, token)
            case AskedRefresh():
                return self.model.refresh(asked)
            case AskedPermission():
                return self.model.permit(asked)
            case AskedChannel():
                return self.model.bind(asked)
        raise TypeError(asked)

    def _hold_to_its_word(self, asked: Asked, reply: Reply) -> None:
        """What a success says is so; a repeated Allocate hears what it heard before."""
        allocation, lifetime = self.model.allocations.get(asked.five_tuple), reply.first(LIFETIME)
        left = allocation.until - self.model.now if allocation else 0
        if isinstance(asked, AskedRefresh):
            assert lifetime == left
        elif isinstance(asked, AskedAllocate):
            assert allocation is not None
            assert reply.first(XOR_RELAYED_ADDRESS) == allocation.relayed
            assert lifetime == left or allocation.reply
            allocation.reply = allocation.reply or reply.data
            assert reply.data == allocation.reply

    def end(self, username: str) -> None:
        world, living = self.world, self.model.allocations
        mine = [five_tuple for five_tuple, row in living.items() if row.person.username == username]
        named = [row for row in world.state.allocations.of_name(username) if row.account.username == username]
        world.carry_out(world.relay.end(named, EndReason.ADMIN, world.now))
        for five_tuple in mine:
            self.model.end(five_tuple)

    def revoke(self, name: str, until: float) -> None:
        self.world.carry_out(self.world.relay.revoke(name, EPOCH + until, self.world.now))
        self.model.revoke(name, until)

    def relayed(self, allocation: ModelAllocation | None, peer: Address | None, data: bytes) -> None:
        """A client has sent data to a peer: it is there when the allocation permits the peer, and nowhere else."""
        may = allocation is not None and peer is not None and peer.port and peer.host in allocation.permissions
        self.arrived(allocation.relayed if allocation and may else None, peer, data)

    def arrived(self, source: Address | None, destination: Address | None, data: bytes) -> None:
        """What was sent from here to there is there, and nobody else has got anything; no source: nothing was sent."""
        for peer in self.peers:
            hit = source is not None and Address(*peer.getsockname()) == destination
            assert received(peer) == ([(data, source)] if hit else [])
        for client in self.clients:
            allocation = self.allocation(client)
            hit = source is not None and allocation is not None and allocation.relayed == destination
            framed = _framing(allocation, source) if hit and allocation and source else None
            assert [_unframed(message) for message in self._heard(client)] == ([(framed, data)] if framed else [])

    def _heard(self, client: Client) -> list[bytes]:
        """What the relay has sent to a client since the last time."""
        if not client.five_tuple.transport.is_stream:
            return [message for message, _ in received(self.world.clients[client.five_tuple.client])]
        mine = [written for written in self.world.written if written.via == client.via]
        self.world.written = [written for written in self.world.written if written.via != client.via]
        return [written.data for written in mine]

    def compare(self) -> None:
        """The books of the core are those of the model, and the engine has what follows from them."""
        self.world.check()
        state, model = self.world.state, self.model
        assert {
            row.five_tuple: (
                (row.account.username, row.relay.address, row.expires - START),
                {host: permission.expires - START for host, permission in row.permissions.items()},
                {number: (channel.peer, channel.expires - START) for number, channel in row.channels.items()},
            )
            for row in state.allocations.by_id.values()
        } == {
            five_tuple: ((row.person.username, row.relayed, row.until), row.permissions, row.channels)
            for five_tuple, row in model.allocations.items()
        }
        assert {token: row.relay.address for token, row in state.allocations.reservations.items()} == {
            token: row.relayed for token, row in model.reservations.items()
        }
        for family, book in model.books.items():
            assert list(self.world.census(family)) == book.census(model.now)
        assert len(state.quotas) == model.claims()
        for person in PEOPLE:
            assert state.quotas.of_user(person.user_id) == model.claims(person.user_id)
        sockets = self.world.sockets
        assert {(sockets[route.relay], *route[1:]) for route in self.world.engine.routes()} == model.routes()


def _framing(allocation: ModelAllocation, source: Address) -> int | Address | None:
    """What a client is told of the source of a packet: its channel, else its address; None where nothing may pass."""
    if source.host not in allocation.permissions:
        return None
    return next((number for number, (peer, _) in allocation.channels.items() if peer == source), source)


def _unframed(message: bytes) -> tuple[int | Address | None, bytes | None]:
    """The channel or the address that a packet from a peer carries, and its data; over streams there is padding."""
    if message[0] >= 0x40:
        length = int.from_bytes(message[2:4])
        assert len(message) - 4 - length < 4
        return int.from_bytes(message[:2]), message[4 : 4 + length]
    indication = decode(message)
    assert (indication.message_class, indication.method) == (Class.INDICATION, Method.DATA)
    return indication.first(XOR_PEER_ADDRESS), indication.first(DATA)
