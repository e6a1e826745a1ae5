"""Asks a server for a real Binding, as its clients do: behind /readyz, and as a command for container health checks.

    python -m fairlead.probe 127.0.0.1:3478 [--transport udp|tcp|tls]

exits with 0 when the answer is right and with 3 when there is none or a wrong one.
"""

import argparse
import asyncio
import os
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import asyncio_dgram

from fairlead.clock import Entropy
from fairlead.datagram import Address, Transport, parse_address
from fairlead.metrics import LabelSet, Metrics
from fairlead.stun.attributes import XOR_MAPPED_ADDRESS, AttributeValueError
from fairlead.stun.framing import FrameDecoder
from fairlead.stun.header import TRANSACTION_ID_LENGTH, Class, DecodeError, Method
from fairlead.stun.message import decode, encode, new_mask
from fairlead.udp import address_of, is_wildcard

TIMEOUT = 2.0
#: Seconds for which the verdict of a self-probe stands.
REMEMBERED = 10.0
EXIT_OK, EXIT_USAGE, EXIT_UNREACHABLE = 0, 2, 3

_READ_SIZE = 2048


class ProbeError(Exception):
    """No answer or a wrong one; the text is a sentence."""


class Answer(NamedTuple):
    """What a server said: the address that it saw, and the seconds that it took."""

    mapped: Address
    seconds: float


async def probe(transport: Transport, server: Address, entropy: Entropy, own_address: bool = False) -> Answer:
    """Sends one Binding request and judges the answer; `own_address` also wants the reflected address to be ours, as
    it is when no NAT lies between. Raises ProbeError."""
    mask = new_mask(entropy(TRANSACTION_ID_LENGTH))
    request = encode(Method.BINDING, Class.REQUEST, mask, with_fingerprint=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    exchange = _exchange_stream if transport.is_stream else _exchange_datagram
    try:
        async with asyncio.timeout(TIMEOUT):
            reply, local = await exchange(transport, server, request)
    except TimeoutError:
        raise ProbeError(f"no answer from {transport}://{server} within {TIMEOUT:g} s") from None
    except (OSError, asyncio_dgram.TransportClosed) as error:
        raise ProbeError(f"{transport}://{server} does not answer ({error})") from None
    mapped = _judge(reply, mask)
    # A zone is known to each machine by its own number, and not told.
    if own_address and mapped != local._replace(host=local.host.partition("%")[0]):
        raise ProbeError(f"{transport}://{server} reflects {mapped} where {local} asked")
    return Answer(mapped, loop.time() - began)


def _judge(reply: bytes, mask: bytes) -> Address:
    try:
        message = decode(reply)
        mapped = message.first(XOR_MAPPED_ADDRESS)
    except (DecodeError, AttributeValueError) as error:
        raise ProbeError(f"the answer is no STUN message ({error})") from None
    if message.mask != mask:
        raise ProbeError("the answer belongs to another transaction")
    if message.method != Method.BINDING or message.message_class is not Class.SUCCESS:
        raise ProbeError("the answer is no Binding success")
    if mapped is None:
        raise ProbeError("the answer has no XOR-MAPPED-ADDRESS")
    return mapped


async def _exchange_datagram(transport: Transport, server: Address, request: bytes) -> tuple[bytes, Address]:
    """One datagram out, one in; returns it with our own address."""
    stream = await asyncio_dgram.connect(tuple(server))
    try:
        await stream.send(request)
        reply, _ = await stream.recv()
        return reply, address_of(stream.sockname)
    finally:
        stream.close()
        await asyncio.sleep(0)  # in which the loop closes the socket


async def _exchange_stream(transport: Transport, server: Address, request: bytes) -> tuple[bytes, Address]:
    """One message out, one in; returns it with our own address."""
    context = _unverified() if transport is Transport.TLS else None
    reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
    try:
        writer.write(request)
        decoder = FrameDecoder(_READ_SIZE)
        while (reply := decoder.next_message()) is None:
            received = await reader.read(_READ_SIZE)
            if not received:
                raise ConnectionResetError("the connection was closed without an answer")
            decoder.feed(received)
        return reply, address_of(writer.get_extra_info("sockname"))
    except DecodeError as error:
        raise ProbeError(f"the answer is no STUN message ({error})") from None
    finally:
        writer.transport.abort()  # there is nothing more to say, not even in TLS
        await asyncio.sleep(0)


def _unverified() -> ssl.SSLContext:
    """A probe asks whether the server speaks TLS; whose name is on its certificate is not its question."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Target(NamedTuple):
    """One listener to ask; the wildcard address is asked over loopback."""

    transport: Transport
    address: Address

    @property
    def reachable(self) -> Address:
        if not is_wildcard(self.address.host):
            return self.address
        return Address("::1" if ":" in self.address.host else "127.0.0.1", self.address.port)


class SelfProbe:
    """Whether a daemon's own listeners answer; the verdict is remembered for REMEMBERED seconds."""

    def __init__(self, targets: Callable[[], Sequence[Target]], entropy: Entropy) -> None:
        self._targets = targets
        self._entropy = entropy
        self._lock = asyncio.Lock()
        self._asked_at: float | None = None
        self._reasons: list[str] = []
        #: the longest round trip of the last probe, in seconds by transport; None where a listener failed
        self.round_trips: dict[Transport, float | None] = {}

    async def reasons(self) -> list[str]:
        """Why the daemon is not ready, a sentence each; empty when all listeners answer."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._asked_at is None or now - self._asked_at >= REMEMBERED:
                self._reasons = await self._ask()
                self._asked_at = asyncio.get_running_loop().time()
            return self._reasons

    def forget(self) -> None:
        """The listeners have changed: ask anew when next asked."""
        self._asked_at = None

    async def _ask(self) -> list[str]:
        targets = list(self._targets())
        if not targets:
            return ["nothing is listened to: see `listen` in the configuration"]
        asked = (probe(target.transport, target.reachable, self._entropy, own_address=True) for target in targets)
        results = await asyncio.gather(*asked, return_exceptions=True)
        reasons = []
        self.round_trips = {target.transport: 0.0 for target in targets}
        for target, result in zip(targets, results, strict=True):
            before = self.round_trips[target.transport]
            if isinstance(result, Answer):
                self.round_trips[target.transport] = None if before is None else max(before, result.seconds)
            elif isinstance(result, ProbeError):
                self.round_trips[target.transport] = None
                reasons.append(str(result))
            else:
                raise result
        return reasons


def declare_probe(metrics: Metrics, probe: SelfProbe) -> None:
    """Declares what the last self-probe found; no series before the first, and none for what is not listened to."""

    def success() -> Mapping[LabelSet, float]:
        return {(str(transport),): trip is not None for transport, trip in probe.round_trips.items()}

    def seconds() -> Mapping[LabelSet, float]:
        return {(str(transport),): trip for transport, trip in probe.round_trips.items() if trip is not None}

    text = "1 where every listener of a transport answered when it was last probed."
    metrics.gauge("probe_success", text, success, ("transport",))
    text = "The longest round trip of the last probe of a transport's listeners."
    metrics.gauge("probe_round_trip_seconds", text, seconds, ("transport",))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m fairlead.probe", description="Asks a STUN server for a Binding.")
    parser.add_argument("server", metavar="HOST:PORT", help="an IP address with a port")
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    options = parser.parse_args(arguments)
    try:
        server = parse_address(options.server)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    try:
        answer = asyncio.run(probe(Transport(options.transport), server, os.urandom))
    except ProbeError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNREACHABLE
    sys.stdout.write(f"{options.transport}://{server} sees {answer.mapped} ({answer.seconds * 1000:.1f} ms)\n")
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
