"""What a transport adds to an outbox: order, the last words, and giving up."""

from signal_api.protocol.messages import PING, ServerFrame, server_frame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import Entry
from signal_api.transports.outgoing import Outgoing, until_gone
from tests.signal_api.socketless import Node


class _Plain(Outgoing):
    transport = "websocket"

    def __init__(self, node: Node) -> None:
        super().__init__(node.hub)
        self.given_up = 0

    def _encode(self, frame: ServerFrame, seq: int | None) -> bytes:
        return frame.encode(seq)

    def _give_up(self) -> None:
        self.given_up += 1

    async def written(self) -> list[bytes]:
        frames = []
        while (frame := await self._outbox.take()) is not None:
            frames.append(frame)
        return frames


async def test_what_was_missed_goes_first_and_a_close_last() -> None:
    node = Node()
    connection = _Plain(node)
    connection.send(PING)
    connection.catch_up(server_frame("welcome"), [Entry(3, server_frame("message"))])
    connection.close(CloseCode.DRAIN)
    connection.close(CloseCode.REPLACED)
    connection.send(PING)
    written = [b'{"type":"welcome"}', b'{"type":"message","seq":3}', b'{"type":"ping"}']
    assert await connection.written() == written
    assert node.instruments.closes["4200",] == 1
    assert node.instruments.closes["4009",] == 0


async def test_who_takes_nothing_is_given_up() -> None:
    node = Node(limits__queue_frames=1)
    connection = _Plain(node)
    connection.send(PING)
    assert not connection.is_closing
    connection.send(PING)
    assert connection.is_closing
    assert node.instruments.closes["4104",] == 1
    await node.pass_time(9.9)
    assert not connection.given_up
    await node.pass_time(0.1)
    assert connection.given_up == 1


async def test_a_request_is_read_until_its_client_goes() -> None:
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    await until_gone(receive)
    assert next(messages, None) is None
