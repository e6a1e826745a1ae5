"""A node that sends its clients to the others, and may think better of it."""

import asyncio
from collections.abc import Sequence

import msgspec

from fairlead.clock import Entropy
from signal_api.clients import Client
from signal_api.node.roster import Roster
from signal_api.pacing import paced
from signal_api.protocol.messages import server_frame
from signal_api.protocol.refusals import CloseCode

#: milliseconds within which drained clients are asked to come back
_SPREAD = 2000


class Drain:
    """The drain that is under way, if any; a new one takes the place of the last."""

    def __init__(self, roster: Roster, entropy: Entropy) -> None:
        self._roster = roster
        self._entropy = entropy
        #: set when everybody is gone, or the drain is called off
        self._over: asyncio.Event | None = None

    @property
    def is_on(self) -> bool:
        return self._over is not None

    def begin(self) -> asyncio.Event:
        """From now on nobody is let in; the event is set at the end."""
        self.call_off()
        self._over = asyncio.Event()
        return self._over

    def call_off(self) -> None:
        """Clients are let in again, and those who are still here stay."""
        if self._over is not None:
            self._over.set()
        self._over = None

    async def run(self, window: float, alternatives: Sequence[str] = ()) -> None:
        """Sends every client away, within `window` seconds, and returns when all are gone or it was called off. They
        are told `alternatives`, entrances that they may try first."""
        over = self.begin()
        elsewhere = msgspec.json.encode(alternatives)
        clients = [client for client in self._roster if client.connection is not None]
        async for client in paced(clients, window):
            if self._over is not over:
                return
            self._send_away(client, elsewhere)
        if self._roster.connected():
            await over.wait()

    def note_departure(self) -> None:
        """A client has gone."""
        if self._over is not None and not self._roster.connected():
            self._over.set()

    def _send_away(self, client: Client, elsewhere: bytes) -> None:
        if client.connection is not None:
            retry = int.from_bytes(self._entropy(4)) % _SPREAD
            client.answer(server_frame("drain", b'{"retry_ms":%d,"alternatives":%b}' % (retry, elsewhere)))
            client.connection.close(CloseCode.DRAIN)
