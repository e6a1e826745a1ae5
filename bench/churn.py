"""Lives of TURN clients, one after the other, each another way: what they may changes all the time, and ends."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bench.soak import Gone, Program, TurnClient
from bench.turn_client import TurnError
from fairlead.credentials import mint
from fairlead.datagram import Address, Family, Transport
from fairlead.stun.attributes import CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS
from fairlead.stun.header import Method

#: Seconds that a permission lives after it was given (RFC 8656 section 9).
PERMISSION = 300
#: Seconds for which it is tried whether something still passes. A port rests longer: nobody else has it by then.
TRIED = 4.0
PORT_HOLD = 8
_FIRST_CHANNEL, _CHANNELS = 0x4000, 0x3FFF
_PEERS_AT_MOST = 4
_WORTH_A_DAY = 86400
#: How an allocation ends that does not wait for its expiry.
_ENDS = {Transport.UDP: ["refresh", "refresh", "revoke"], Transport.TCP: ["refresh", "refresh", "revoke", "close"]}

Card = TypeVar("Card")


@dataclass
class Ground:
    """Where the lives take place: the servers, the hosts of clients and peers of each family. `revoke` revokes a user
    name and returns when what it had has ended. `patient` is the part of the clients that wait until permissions
    expire."""

    servers: list[tuple[Transport, Address]]
    clients: dict[Family, list[str]]
    peers: dict[Family, list[str]]
    secret: bytes
    revoke: Callable[[str], Awaitable[None]]
    patient: float
    seconds: float
    #: what ended allocations, and what went wrong on the way
    ends: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)


class Deck(Generic[Card]):
    """Deals each of its cards once before any comes again: chance decides the order, and a short soak sees all."""

    def __init__(self, cards: Iterable[Card], dice: random.Random) -> None:
        self._cards = list(cards)
        self._dice = dice
        self._left: list[Card] = []

    def deal(self) -> Card:
        if not self._left:
            self._left = self._dice.sample(self._cards, len(self._cards))
        return self._left.pop()


class Town:
    """So many clients at any time, and the peers that all of them write to."""

    def __init__(self, program: Program, ground: Ground, dice: random.Random) -> None:
        self._program = program
        self._ground = ground
        self._dice = dice
        self._born = 0
        self._servers = Deck(ground.servers, dice)
        self._ends = {transport: Deck(ways, dice) for transport, ways in _ENDS.items()}
        self._peers: dict[Family, list[tuple[int, Address]]] = {}

    async def live(self, clients: int, at_most: float | None) -> None:
        """Until the program has sent all of its packets, or so many seconds have passed."""
        for family, hosts in self._ground.peers.items():
            self._peers[family] = [await self._program.open_peer(host) for host in hosts]
        lives = [asyncio.create_task(self._one_after_the_other()) for _ in range(clients)]
        ending = asyncio.create_task(self._program.done.wait())
        done, _ = await asyncio.wait([ending, *lives], timeout=at_most, return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, *lives):
            task.cancel()
        await asyncio.gather(ending, *lives, return_exceptions=True)
        for task in done - {ending}:
            task.result()

    async def _one_after_the_other(self) -> None:
        while True:
            self._born += 1
            try:
                await self._client(f"soak{self._born}")
            except (TurnError, Gone) as trouble:
                self._ground.troubles[str(trouble) or "gone"] += 1

    async def _client(self, name: str) -> None:
        ground, dice = self._ground, self._dice
        transport, server = self._servers.deal()
        who = mint(ground.secret, name, int(time.time()) + _WORTH_A_DAY)
        client = await self._program.open_client(transport, dice.choice(ground.clients[server.family]), server, who)
        try:
            for _ in range(dice.randint(1, 3)):
                if not await self._allocation(client):
                    break
        finally:
            self._program.close_client(client.number)

    async def _allocation(self, client: TurnClient) -> bool:
        """One allocation from its birth to its end; whether the client can have another."""
        dice = self._dice
        family = dice.choice(list(self._peers))
        relayed = await client.allocate(family)
        flows: dict[int, str] = {}
        given: dict[str, float] = {}
        try:
            channels = iter(dice.sample(range(_FIRST_CHANNEL, _FIRST_CHANNEL + _CHANNELS), _PEERS_AT_MOST))
            for number, peer in dice.sample(self._peers[family], dice.randint(1, _PEERS_AT_MOST)):
                channel = next(channels) if dice.random() < 0.6 else 0
                await self._permit(client, peer, channel)
                given[peer.host] = time.monotonic()
                flow = self._program.open_flow(client.number, number, peer, channel, relayed)
                flows[flow] = peer.host
                await asyncio.sleep(dice.expovariate(4 / self._ground.seconds))
            if dice.random() < self._ground.patient:
                await self._expiry(client, flows, given)
            await asyncio.sleep(dice.expovariate(1 / self._ground.seconds))
            return await self._end(client, flows)
        finally:
            for flow in flows:
                self._program.forget(flow)

    async def _permit(self, client: TurnClient, peer: Address, channel: int) -> None:
        if channel:
            await client.ask(Method.CHANNEL_BIND, [(CHANNEL_NUMBER, channel), (XOR_PEER_ADDRESS, peer)])
        else:
            await client.ask(Method.CREATE_PERMISSION, [(XOR_PEER_ADDRESS, peer)])

    async def _expiry(self, client: TurnClient, flows: dict[int, str], given: dict[str, float]) -> None:
        """Nobody gives permissions again: those of each host end in their time, and are tried on."""
        self._ground.ends["expiry"] += 1
        if client.has_repeated:
            # A copy that was under way when its original was answered gives once more. None is, behind an answer.
            await client.ask(Method.REFRESH, [])
            given = dict.fromkeys(given, time.monotonic())
        for flow, host in flows.items():
            self._program.say_ended(flow, given[host] + PERMISSION, "expiry")
        await asyncio.sleep(PERMISSION + TRIED)

    async def _end(self, client: TurnClient, flows: Iterable[int]) -> bool:
        """Ends the allocation by one of the ways that there are, and tries for a while whether it has ended."""
        way = self._ends[client.transport].deal()
        self._ground.ends[way] += 1
        if way == "refresh":
            await client.ask(Method.REFRESH, [(LIFETIME, 0)])
        elif way == "revoke":
            await self._ground.revoke(client.username)
        else:
            self._program.close_client(client.number)
        for flow in flows:
            self._program.say_ended(flow, time.monotonic(), way)
        await asyncio.sleep(TRIED)
        return way == "refresh"
