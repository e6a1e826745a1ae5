"""The two ends of the link over Redis, with the faces of the two ends over a socket."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from fairlead.clock import Entropy
from fairlead.link.exchange import Exchange, Ways
from fairlead.link.messages import (
    Allocated,
    Budget,
    Command,
    Draining,
    End,
    EndBy,
    Ended,
    Event,
    Fence,
    Message,
    Refused,
    Revoke,
    Usage,
)

#: Numbers of one turnd; they begin at a multiple of it that chance has drawn, since several number their own.
_SPAN = 1 << 21


class Remote(NamedTuple):
    """The Redis of a link, and what the names of its streams begin with."""

    url: str
    prefix: str


class RemoteLinkServer:
    """turnd's end. See fairlead.link.server.LinkServer."""

    def __init__(
        self,
        remote: Remote,
        receive: Callable[[Command], None],
        living: Callable[[], Iterable[Event]],
        entropy: Entropy,
        daemon: str = "turnd",
    ) -> None:
        """Raises ValueError for a URL that is none."""
        self._receive = receive
        self._living = living
        self._base = (int.from_bytes(entropy(4)) + 1) * _SPAN
        self._exchange = Exchange(remote.url, Ways.of_turnd(remote.prefix), daemon, self._take, self._standing)

    @property
    def connected(self) -> int:
        """1 while Redis answers."""
        return int(self._exchange.connected)

    @property
    def dropped(self) -> int:
        return self._exchange.outbox.dropped

    async def start(self) -> None:
        self._exchange.start()

    def publish(self, event: Event) -> None:
        self._exchange.send(self._outward(event))

    async def stop(self) -> None:
        await self._exchange.stop()

    def _standing(self) -> Iterable[Message]:
        return map(self._outward, self._living())

    def _outward(self, event: Event) -> Event:
        if isinstance(event, Allocated | Usage | Ended):
            return msgspec.structs.replace(event, allocation=self._base + event.allocation)
        return event

    def _take(self, message: Message) -> None:
        if isinstance(message, Budget):
            self._receive(msgspec.structs.replace(message, allocation=message.allocation - self._base))
        elif isinstance(message, End) and message.by is EndBy.ALLOCATION and message.value.isdecimal():
            self._receive(msgspec.structs.replace(message, value=str(int(message.value) - self._base)))
        elif isinstance(message, Revoke | End | Fence):
            self._receive(message)


class RemoteLinkClient:
    """signal_api's end. See fairlead.link.client.LinkClient."""

    def __init__(
        self,
        remote: Remote,
        receive: Callable[[Event], None],
        standing: Callable[[], Iterable[Command]],
        daemon: str = "signal_api",
    ) -> None:
        """Raises ValueError for a URL that is none."""
        self._receive = receive
        self._exchange = Exchange(remote.url, Ways.of_signal_api(remote.prefix), daemon, self._take, standing)

    @property
    def connected(self) -> bool:
        return self._exchange.connected

    @property
    def dropped(self) -> int:
        return self._exchange.outbox.dropped

    def start(self) -> None:
        self._exchange.start()

    def send(self, command: Command) -> None:
        self._exchange.send(command)

    async def stop(self) -> None:
        await self._exchange.stop()

    def _take(self, message: Message) -> None:
        if isinstance(message, Allocated | Refused | Usage | Ended | Draining):
            self._receive(message)
