"""The soak's program and its clients: what they say is TURN, what goes through them is tagged and checked."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from bench.programs import ProgramError, compiled
from bench.turn_client import TurnError
from fairlead.credentials import Credential
from fairlead.datagram import Address, Transport
from fairlead.stun.attributes import (
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

_SOURCE = "soak.c"
_ATTEMPTS, _SECONDS_PER_ATTEMPT = 8, 0.7
_UNAUTHORIZED, _STALE_NONCE = 401, 438
#: Nothing that it says is longer: a message in hexadecimal.
_LONGEST_LINE = 1 << 18

Rows = Iterable[tuple[Attribute[Any], Any]]


class Orders(NamedTuple):
    """What the program is started with; `plant` is none, or what it has to find: wrong, altered or late."""

    seed: int
    packets: int
    window: int
    plant: str


class Gone(Exception):  # noqa: N818 - nothing is wrong: somebody closed the connection
    """The client's connection has ended."""


class Program:
    """bench/soak.c at work: its sockets are the clients' and the peers'."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        #: set when all packets have been sent, or something was found
        self.done = asyncio.Event()
        self.findings: list[str] = []
        self.report: dict[str, Any] = {}
        self._numbers = itertools.count()
        self._flows = itertools.count()
        self._ended: set[int] = set()
        self._opened: dict[int, asyncio.Future[int]] = {}
        self._clients: dict[int, TurnClient] = {}

    async def start(self) -> None:
        words = [str(word) for word in self.orders]
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.to_thread(compiled, _SOURCE)
        self._process = await asyncio.create_subprocess_exec(
            program, *words, stdin=pipe, stdout=pipe, limit=_LONGEST_LINE
        )
        self._reader = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Ends the program; `report` is there then. Raises ProgramError."""
        self.tell("stop")
        await asyncio.wait_for(self._reader, 30)
        if await self._process.wait():
            raise ProgramError(f"{_SOURCE} ended with {self._process.returncode}; what it said stands above")

    def tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")

    async def open_peer(self, host: str) -> tuple[int, Address]:
        number = next(self._numbers)
        return number, Address(host, await self._open(number, "peer", number, host))

    async def open_client(self, transport: Transport, host: str, server: Address, who: Credential) -> "TurnClient":
        number = next(self._numbers)
        await self._open(number, "client", number, transport, host, *server)
        self._clients[number] = client = TurnClient(self, number, transport, who)
        return client

    def close_client(self, number: int) -> None:
        self._clients.pop(number, None)
        self.tell("close", number)

    def open_flow(self, client: int, peer: int, at: Address, channel: int, relayed: Address) -> int:
        """Packets may pass between a client and a peer, which is at an address; returns the flow's number."""
        number = next(self._flows)
        mask = new_mask(os.urandom(12))
        prefix = encode(Method.SEND, Class.INDICATION, mask, [(XOR_PEER_ADDRESS, at)])
        self.tell("flow", number, client, peer, channel, *relayed, prefix.hex())
        return number

    def say_ended(self, flow: int, at: float, way: str) -> None:
        """From a moment of the monotonic clock on nothing may pass; only the first word about a flow counts."""
        if flow not in self._ended:
            self._ended.add(flow)
            self.tell("end", flow, int(at * 1e9), way)

    def forget(self, flow: int) -> None:
        """It is tried no more."""
        self._ended.discard(flow)
        self.tell("forget", flow)

    async def _open(self, number: int, *words: object) -> int:
        opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._opened[number] = opened
        self.tell(*words)
        return await opened

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := (await self._process.stdout.readline()).decode():
                self._take(*line.rstrip("\n").partition(" ")[::2])
        finally:
            self.done.set()
            for opened in self._opened.values():
                if not opened.done():  # whoever waited may be over, as at the end of a soak
                    opened.set_exception(Gone())

    def _take(self, word: str, rest: str) -> None:
        if word == "opened":
            number, port = map(int, rest.split())
            opened = self._opened.pop(number)
            if not opened.done():
                opened.set_result(port)
        elif word == "heard":
            number_text, message = rest.split()
            if client := self._clients.get(int(number_text)):
                client.take(decode(bytes.fromhex(message)))
        elif word == "closed":
            if client := self._clients.get(int(rest)):
                client.lose()
        elif word == "finding":
            self.findings.append(rest)
        elif word == "progress":
            print(rest, file=sys.stderr)
        elif word == "report":
            self.report = json.loads(rest)
        else:
            self.done.set()


class TurnClient:
    """One client; its socket is the program's. Its verbs raise TurnError when they are refused, and Gone."""

    def __init__(self, program: Program, number: int, transport: Transport, who: Credential) -> None:
        self.number = number
        self.transport = transport
        self.username = who.username
        self._password = who.password
        self._program = program
        self._proof: list[tuple[Attribute[Any], Any]] = []
        self._signature: Signature | None = None
        self._asked: dict[bytes, asyncio.Future[Message]] = {}
        #: Whether something was said more than once, since no answer came in time.
        self.has_repeated = False

    def take(self, message: Message) -> None:
        """Called with each message that is no data."""
        answer = self._asked.get(message.mask)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def lose(self) -> None:
        """Called when the connection has ended."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(Gone())

    async def allocate(self, family: int) -> Address:
        asked = [(REQUESTED_TRANSPORT, UDP), (REQUESTED_ADDRESS_FAMILY, family)]
        relayed = (await self.ask(Method.ALLOCATE, asked)).first(XOR_RELAYED_ADDRESS)
        assert relayed is not None
        return relayed

    async def ask(self, method: Method, rows: Rows) -> Message:
        rows = list(rows)
        reply = await self._exchange(method, [*rows, *self._proof])
        error = reply.first(ERROR_CODE)
        if error is not None and error.code in (_UNAUTHORIZED, _STALE_NONCE):
            self._take_challenge(reply)
            reply = await self._exchange(method, [*rows, *self._proof])
            error = reply.first(ERROR_CODE)
        if error is not None:
            raise TurnError(f"{method.name} was refused: {error.code} {error.phrase}", error.code)
        return reply

    def _take_challenge(self, reply: Message) -> None:
        realm, nonce = reply.first(REALM), reply.first(NONCE)
        assert realm is not None
        assert nonce is not None
        self._proof = [(USERNAME, self.username), (REALM, realm), (NONCE, nonce)]
        self._signature = Signature(SHA1, long_term_key(self.username, realm, self._password, PasswordAlgorithm.MD5))

    async def _exchange(self, method: Method, rows: Rows) -> Message:
        mask = new_mask(os.urandom(12))
        request = encode(method, Class.REQUEST, mask, rows, self._signature)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[mask] = answer
        try:
            for attempt in range(_ATTEMPTS):
                self.has_repeated |= attempt > 0
                self._program.tell("say", self.number, request.hex())
                done, _ = await asyncio.wait([answer], timeout=_SECONDS_PER_ATTEMPT)
                if done:
                    return answer.result()
        finally:
            del self._asked[mask]
        raise TurnError(f"no answer to {method.name}")
