"""sig.v1 as Server-Sent Events (HTML standard section 9.2): one reply that does not end, frames as one-line events."""

import asyncio
import contextlib

from signal_api.clients import Client, Dismissal
from signal_api.node.hub import Hub
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import Position
from signal_api.transports.closing import close_frame, is_final
from signal_api.transports.outgoing import Outgoing, until_gone
from signal_api.web.asgi import Receive, Send

#: seconds between comments that keep proxies from ending a quiet stream
_HEARTBEAT = 15.0
#: seconds that a stream lives, and by which share of them that differs from stream to stream
_LIFETIME = 600.0
_SPREAD = 0.1
#: seconds for which a stream that was told to stay away may ask again and is answered by 204
_DISMISSED_FOR = 30.0
_RETRY = b"retry: 2000\n\n"
_COMMENT = b": hb\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(Outgoing):
    """The way out of one event stream; satisfies signal_api.clients.Connection."""

    transport = "sse"

    def __init__(self, hub: Hub, client: Client, send: Send) -> None:
        super().__init__(hub)
        self._client = client
        self._send = send
        self._at = Position(client.session.epoch, client.session.seq)
        dice = int.from_bytes(hub.entropy(4)) / 0xFFFFFFFF
        lifetime = _LIFETIME * (1 + _SPREAD * (2 * dice - 1))
        self._rotation = hub.timers.after(lifetime, self._rotate)
        self._heartbeat = hub.timers.after(_HEARTBEAT, self._beat)

    async def serve(self, receive: Receive) -> None:
        """Writes until the queue ends or the client goes; then the session waits."""
        gone = asyncio.create_task(until_gone(receive))
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((gone, writer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._rotation.cancel()
            self._heartbeat.cancel()
            self._give_up()
            gone.cancel()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await writer

    async def _write(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._send({"type": "http.response.body", "body": _RETRY, "more_body": True})
        while (event := await self._outbox.take()) is not None:
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
        code, reason = self._closed_as()
        if is_final(code):
            until = self._hub.clock.now().monotonic + _DISMISSED_FOR
            self._client.dismissal = Dismissal(self._at, until)
        last = self._encode(close_frame(code, reason), None)
        await self._send({"type": "http.response.body", "body": last})

    def _encode(self, frame: ServerFrame, seq: int | None) -> bytes:
        if seq is None:
            return b"data: %b\n\n" % frame.encode(None)
        epoch = self._client.session.epoch
        self._at = Position(epoch, seq)
        return b"id: %b.%d\ndata: %b\n\n" % (epoch.encode(), seq, frame.encode(seq))

    def _give_up(self) -> None:
        """The session does not wait for a socket that nobody reads; the kernel ends that in its own time."""
        self._hub.detach(self._client, self)

    def _beat(self) -> None:
        self._put(_COMMENT)
        self._heartbeat = self._hub.timers.after(_HEARTBEAT, self._beat)

    def _rotate(self) -> None:
        self.close(CloseCode.ROTATE)
