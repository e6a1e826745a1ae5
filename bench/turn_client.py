"""A TURN client that makes allocations for the load and then gets out of the way. It blocks; it retransmits."""

import os
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

from bench.trouble import BenchError
from fairlead.datagram import Address
from fairlead.stun import attributes
from fairlead.stun.attributes import Attribute
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1, PasswordAlgorithm, long_term_key
from fairlead.stun.message import Message, Signature, decode, encode, new_mask

_UNAUTHORIZED, _MISMATCH, _STALE_NONCE = 401, 437, 438
_ATTEMPTS, _SECONDS_PER_ATTEMPT = 6, 0.5


class TurnError(BenchError):
    """The server refused a request, with `code`, or did not answer it (code 0)."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Account(NamedTuple):
    """A user of the server, by long-term credentials."""

    username: str
    password: str


class TurnClient:
    """One allocation over UDP. `socket` is connected to the server and is the load's when the requests are done."""

    def __init__(self, server: Address, account: Account) -> None:
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(_SECONDS_PER_ATTEMPT)
        self.socket.connect(tuple(server))
        self._account = account
        self._proof: list[tuple[Attribute[Any], Any]] = []
        self._signature: Signature | None = None

    def allocate(self) -> Address:
        """Returns the relayed address; raises TurnError."""
        reply = self._request(Method.ALLOCATE, [(attributes.REQUESTED_TRANSPORT, attributes.UDP)])
        relayed = reply.first(attributes.XOR_RELAYED_ADDRESS)
        if relayed is None:
            raise TurnError("the success of Allocate names no relayed address")
        return relayed

    @classmethod
    def with_allocation(cls, server: Address, account: Account) -> tuple["TurnClient", Address]:
        """A client and its relayed address, from a port that the server does not remember. Raises TurnError."""
        for _ in range(_ATTEMPTS):
            client = cls(server, account)
            try:
                return client, client.allocate()
            except TurnError as error:
                client.socket.close()
                if error.code != _MISMATCH:
                    raise
        raise TurnError(f"the server remembers each of {_ATTEMPTS} new ports", _MISMATCH)

    def permit(self, peer: Address) -> None:
        self._request(Method.CREATE_PERMISSION, [(attributes.XOR_PEER_ADDRESS, peer)])

    def bind_channel(self, number: int, peer: Address) -> None:
        self._request(Method.CHANNEL_BIND, [(attributes.CHANNEL_NUMBER, number), (attributes.XOR_PEER_ADDRESS, peer)])

    def release(self) -> None:
        """Ends the allocation and closes the socket."""
        try:
            self._request(Method.REFRESH, [(attributes.LIFETIME, 0)])
        finally:
            self.socket.close()

    def _request(self, method: Method, asked: list[tuple[Attribute[Any], Any]]) -> Message:
        reply = self._exchange(method, [*asked, *self._proof])
        error = reply.first(attributes.ERROR_CODE)
        if error is not None and error.code in (_UNAUTHORIZED, _STALE_NONCE):
            self._take_challenge(reply)
            reply = self._exchange(method, [*asked, *self._proof])
            error = reply.first(attributes.ERROR_CODE)
        if error is not None:
            raise TurnError(f"{method.name} was refused: {error.code} {error.phrase}", error.code)
        return reply

    def _take_challenge(self, reply: Message) -> None:
        realm, nonce = reply.first(attributes.REALM), reply.first(attributes.NONCE)
        if realm is None or nonce is None:
            raise TurnError("a challenge without realm and nonce")
        username, password = self._account
        self._proof = [(attributes.USERNAME, username), (attributes.REALM, realm), (attributes.NONCE, nonce)]
        self._signature = Signature(SHA1, long_term_key(username, realm, password, PasswordAlgorithm.MD5))

    def _exchange(self, method: Method, content: Iterable[tuple[Attribute[Any], Any]]) -> Message:
        mask = new_mask(os.urandom(12))
        request = encode(method, Class.REQUEST, mask, content, self._signature)
        for _ in range(_ATTEMPTS):
            self.socket.send(request)
            try:
                while True:
                    data = self.socket.recv(2048)
                    if data[4:20] == mask:
                        return decode(data)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                break
        raise TurnError(f"no answer to {method.name}")
