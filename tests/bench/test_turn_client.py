"""The client of the benchmark against a server that is played."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.turn_client import Account, TurnClient, TurnError
from fairlead.datagram import Address
from fairlead.stun.attributes import ERROR_CODE, NONCE, REALM, USERNAME, XOR_RELAYED_ADDRESS, Attribute, ErrorCode
from fairlead.stun.header import Class
from fairlead.stun.integrity import SHA1, PasswordAlgorithm, long_term_key
from fairlead.stun.message import Message, decode, encode

RELAYED = Address("127.0.0.1", 50000)
ACCOUNT = Account("alice", "wonderland")
KEY = long_term_key("alice", "realm", "wonderland", PasswordAlgorithm.MD5)
CHALLENGE: list[tuple[Attribute[Any], Any]] = [
    (ERROR_CODE, ErrorCode(401, "Unauthorized")),
    (REALM, "realm"),
    (NONCE, "nonce"),
]

Answer = Callable[[Message], bytes | None]
Serve = Callable[[Answer], Address]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers each request; None is silence."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    threads = []

    def start(answer: Answer) -> Address:
        def loop() -> None:
            while True:
                data, source = sock.recvfrom(2048)
                if not data:
                    return
                reply = answer(decode(data))
                if reply is not None:
                    sock.sendto(reply, source)

        threads.append(threading.Thread(target=loop))
        threads[0].start()
        return Address(*sock.getsockname())

    yield start
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closer:
        closer.sendto(b"", sock.getsockname())
    for thread in threads:
        thread.join()
    sock.close()


def success(request: Message) -> bytes:
    return encode(request.method, Class.SUCCESS, request.mask, [(XOR_RELAYED_ADDRESS, RELAYED)])


def error(request: Message, code: int) -> bytes:
    return encode(request.method, Class.ERROR, request.mask, [(ERROR_CODE, ErrorCode(code, "no"))])


def test_it_answers_the_challenge(serve: Serve) -> None:
    def answer(request: Message) -> bytes:
        if not request.has(USERNAME):
            return encode(request.method, Class.ERROR, request.mask, CHALLENGE)
        assert request.is_intact(SHA1, KEY)
        return success(request)

    client, relayed = TurnClient.with_allocation(serve(answer), ACCOUNT)
    assert relayed == RELAYED
    client.release()


def test_it_asks_again_when_nothing_comes(serve: Serve) -> None:
    requests: list[bytes] = []

    def answer(request: Message) -> bytes | None:
        requests.append(request.data)
        return success(request) if len(requests) == 2 else None

    client, _ = TurnClient.with_allocation(serve(answer), ACCOUNT)
    client.socket.close()
    assert len(set(requests)) == 1


def test_a_port_that_the_server_remembers_is_given_up(serve: Serve) -> None:
    transactions: list[bytes] = []

    def answer(request: Message) -> bytes:
        transactions.append(request.transaction_id)
        return error(request, 437) if len(set(transactions)) < 3 else success(request)

    client, _ = TurnClient.with_allocation(serve(answer), ACCOUNT)
    client.socket.close()
    assert len(set(transactions)) == 3


def test_a_refusal_is_said(serve: Serve) -> None:
    address = serve(lambda request: error(request, 486))
    with pytest.raises(TurnError, match="ALLOCATE was refused: 486 no"):
        TurnClient.with_allocation(address, ACCOUNT)
