"""The program that floods: `python -m bench.junk HOST PORT`, packets at a steady rate from many sources of 127/8."""

import argparse
import enum
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from fairlead.datagram import Address
from fairlead.stun import attributes
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import Signature, encode, new_mask

#: Seconds between two handfuls.
_BEAT = 0.002
_VARIETY = 64


class Kind(enum.StrEnum):
    """What a flood is made of."""

    #: what no parser can read: media of others, broken headers, random bytes
    NOISE = "noise"
    #: ChannelData and Send indications of nobody
    DATA = "data"
    #: requests that have an answer
    BINDING = "binding"
    #: Allocates without credentials
    ALLOCATE = "allocate"
    #: Allocates with a nonce and a signature that are made up
    FORGED = "forged"


class Sent(NamedTuple):
    """How many packets the kernel took, and the seconds that it was at it."""

    packets: int
    seconds: float


def packets(kind: Kind) -> Iterator[bytes]:
    """Without end; no two of one transaction among a few dozen."""
    return itertools.cycle([packet for _ in range(_VARIETY) for packet in _some(kind)])


def _some(kind: Kind) -> list[bytes]:
    mask = new_mask(os.urandom(12))
    data = (attributes.DATA, os.urandom(100))
    peer = (attributes.XOR_PEER_ADDRESS, Address("127.0.0.1", 9))
    udp = (attributes.REQUESTED_TRANSPORT, attributes.UDP)
    names = (
        (attributes.USERNAME, "4102444800:nobody"),
        (attributes.REALM, "bench.invalid"),
        (attributes.NONCE, "x" * 40),
    )
    match kind:
        case Kind.NOISE:
            return [b"\x80\x60" + os.urandom(170), b"\xff" * 100, os.urandom(3), bytes(20)]
        case Kind.DATA:
            return [
                b"\x40\x00\x00\x64" + os.urandom(100),
                encode(Method.SEND, Class.INDICATION, mask, [peer, data]),
            ]
        case Kind.BINDING:
            return [encode(Method.BINDING, Class.REQUEST, mask)]
        case Kind.ALLOCATE:
            return [encode(Method.ALLOCATE, Class.REQUEST, mask, [udp])]
        case Kind.FORGED:
            return [encode(Method.ALLOCATE, Class.REQUEST, mask, [udp, *names], Signature(SHA1, os.urandom(16)))]


def flood(server: Address, kinds: Sequence[Kind], rate: int, seconds: float, sources: int) -> Sent:
    """Sends `rate` packets a second, all kinds in turn; who was held up sends what was due meanwhile."""
    mixed = itertools.chain.from_iterable(zip(*map(packets, kinds), strict=True))
    destination, sent, asked, total = tuple(server), 0, 0, int(rate * seconds)
    with ExitStack() as stack:
        senders = itertools.cycle([stack.enter_context(_source(number)) for number in range(sources)])
        began = time.monotonic()
        while asked < total:
            for _ in range(min(total, int((time.monotonic() - began) * rate)) - asked):
                asked += 1
                with suppress(BlockingIOError):
                    next(senders).sendto(next(mixed), destination)
                    sent += 1
            time.sleep(_BEAT)
        return Sent(sent, time.monotonic() - began)


def _source(number: int) -> socket.socket:
    """A socket on an address that no client of a benchmark has. What comes back waits in it until it is full."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sender.bind((f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 0))
    return sender


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.junk", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--kind", nargs="+", type=Kind, choices=list(Kind), default=list(Kind))
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sources", type=int, default=1000)
    options = parser.parse_args()
    server = Address(options.host, options.port)
    print(json.dumps(flood(server, options.kind, options.rate, options.seconds, options.sources)))


if __name__ == "__main__":
    main()
