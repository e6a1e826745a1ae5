"""The two ends of the link over Redis, with the faces of the two ends over a socket."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fairlead.link.exchange import Exchange, Ways
from fairlead.link.messages import (
    Allocated,
    Budget,
    Command,
    Draining,
    End,
    Ended,
    Event,
    Fence,
    Message,
    Refused,
    Revoke,
    Usage,
)


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
        daemon: str = "turnd",
    ) -> None:
        """Raises ValueError for a URL that is none."""
        self._receive = receive
        self._exchange = Exchange(remote.url, Ways.of_turnd(remote.prefix), daemon, self._take, living)

    @property
    def connected(self) -> int:
        """1 while Redis answers."""
        return int(self._exchange.connected)

    @property
    def state(self) -> str:
        """In words: connected, or why not."""
        return "connected" if self._exchange.connected else self._exchange.problem or "not connected yet"

    @property
    def dropped(self) -> int:
        return self._exchange.outbox.dropped

    async def start(self) -> None:
        self._exchange.start()

    def publish(self, event: Event) -> None:
        self._exchange.send(event)

    async def stop(self) -> None:
        await self._exchange.stop()

    def _take(self, message: Message) -> None:
        if isinstance(message, Revoke | End | Fence | Budget):
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
