"""What is done with any bytes, and what must be true of it: the Python side. native/fuzz has the engine's."""

import itertools
import json
from collections.abc import Callable

from fairlead.datagram import Address
from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    DATA,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    REGISTRY,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UDP,
    XOR_PEER_ADDRESS,
    AttributeValueError,
)
from fairlead.stun.framing import FrameDecoder
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.message import decode, encode
from signal_api.protocol import messages
from tests.turnd.kit import OTHER_PEER, PEER, PEER6, Client, Row, World
from turnd.protocol import effects as do

Target = Callable[[bytes], None]


def stun(data: bytes) -> None:
    """A message that can be read says the same when it is written again; a stream of it breaks nowhere else."""
    _read_in_pieces(data)
    try:
        message = decode(data)
    except DecodeError:
        return
    rows: list[Row] = []
    for raw in message.visible:
        attribute = REGISTRY.get(raw.type)
        if attribute is None or raw.type in _PROTECTION:
            continue
        try:
            rows.append((attribute, attribute.decode(raw.value, message.mask)))
        except AttributeValueError:
            continue
    again = decode(encode(message.method, message.message_class, message.mask, rows))
    assert [
        attribute.decode(raw.value, again.mask) for (attribute, _), raw in zip(rows, again.visible, strict=True)
    ] == [value for _, value in rows]


#: MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT: they are computed, not copied.
_PROTECTION = {0x0008, 0x001C, 0x8028}


def _read_in_pieces(data: bytes) -> None:
    whole, piecemeal = _frames([data]), _frames([bytes([each]) for each in data])
    assert whole == piecemeal


def _frames(pieces: list[bytes]) -> list[bytes | None]:
    """The messages of a stream, and None where it is broken; what is found wrong first depends on what has come."""
    decoder, found = FrameDecoder(), list[bytes | None]()
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (message := decoder.next_message()) is not None:
                found.append(message)
    except DecodeError:
        found.append(None)
    return found


def envelope(data: bytes) -> None:
    """A frame of sig.v1 that is taken is JSON on one line, says what it was read as, and nests as deep as may be."""
    try:
        frame = messages.decode(data)
    except (messages.MalformedFrameError, messages.InvalidFrameError):
        return
    said = json.loads(data)
    assert (frame.type, frame.id, frame.room, frame.ack) == tuple(
        said.get(key) for key in ("type", "id", "room", "ack")
    )
    assert _depth(said) <= messages.MAX_DEPTH
    line = messages.server_frame(frame.type, bytes(frame.data), room=frame.room, sender="m").encode(7)
    assert not {10, 13} & set(line)
    passed_on = json.loads(line)
    assert (passed_on["data"], passed_on["from"], passed_on["seq"]) == (said.get("data"), "m", 7)


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


class _Input:
    """Bytes as a source of decisions; at its end every decision is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def byte(self) -> int:
        return (self.take(1) or b"\0")[0]

    def take(self, most: int) -> bytes:
        taken, self._data = bytes(self._data[:most]), self._data[most:]
        return taken


_METHODS = (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND, Method.BINDING, Method.SEND)
_PEERS = (PEER, OTHER_PEER, PEER6, Address("127.0.0.1", 9), Address("192.0.2.1", 50000), Address("20.0.0.1", 0))


def relay(data: bytes) -> None:
    """A course of messages, signed and not, whole and broken, and of time: the relay's books are right after each, and
    nobody but the client is answered, once at most."""
    world = World()
    clients = [Client(world), Client(world, "bob")]
    given = _Input(data)
    for _ in itertools.takewhile(lambda _: given, range(64)):
        kind = given.byte()
        client = clients[kind >> 7]
        if kind % 8 == 7:
            world.advance((0, 1, 60, 301, 599, 601, 3600, 90000)[given.byte() % 8])
            continue
        _say(world, client, _message(client, given, kind % 8))


def _message(client: Client, given: _Input, kind: int) -> bytes:
    if kind == 6:
        return given.take(given.byte())
    method = _METHODS[given.byte() % len(_METHODS)]
    rows = [_row(given) for _ in range(given.byte() % 4)]
    if kind < 4 and method is not Method.SEND:
        message = client.signed(method, *rows)
    else:
        message = client.message(method, *rows, kind=Class.INDICATION if method is Method.SEND else Class.REQUEST)
    if kind in (3, 5):
        at = given.byte() % len(message)
        message = message[:at] + bytes([given.byte()]) + message[at + 1 :]
    return message


def _row(given: _Input) -> Row:
    value = given.byte()
    rows: tuple[Row, ...] = (
        (XOR_PEER_ADDRESS, _PEERS[value % len(_PEERS)]),
        (CHANNEL_NUMBER, 0x4000 + (value << 6)),
        (LIFETIME, value * 100),
        (REQUESTED_TRANSPORT, UDP if value < 200 else value),
        (REQUESTED_ADDRESS_FAMILY, value % 4),
        (DATA, bytes(value)),
        (DONT_FRAGMENT, True),
        (EVEN_PORT, value % 2 == 1),
        (RESERVATION_TOKEN, bytes(7) + bytes([value])),
    )
    return rows[given.byte() % len(rows)]


def _say(world: World, client: Client, data: bytes) -> None:
    before = set(world.state.allocations.by_id)
    effects = client.say(data)
    replies = [effect for effect in effects if isinstance(effect, do.Send)]
    assert len(replies) <= 1
    for reply in replies:
        assert (reply.five_tuple, reply.via) == (client.five_tuple, client.via)
        answer = decode(reply.data)
        assert answer.mask == data[4:20]
        assert answer.message_class in (Class.SUCCESS, Class.ERROR)
    born = set(world.state.allocations.by_id) - before
    assert len(born) == sum(isinstance(effect, do.Allocated) for effect in effects) <= 1
    for effect in effects:
        if isinstance(effect, do.SendFromRelay):
            assert effect.peer in (PEER, OTHER_PEER, PEER6)


TARGETS: dict[str, Target] = {"stun": stun, "relay": relay, "envelope": envelope}
