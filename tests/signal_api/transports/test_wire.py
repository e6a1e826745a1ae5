"""Frames on a wire: the library's client on the other end, its bytes cut wherever one likes."""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from signal_api.transports.upgrade import MOST_BETWEEN
from signal_api.transports.wire import PORTION, Framing, Wire, text_frame

MOST = 70000


def _at_once(do: Callable[[], None]) -> None:
    do()


class Line(asyncio.Transport):
    """A transport that keeps what is written; the edge."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.reads = True
        self.is_closed = self.was_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        self.writes += 1

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.was_aborted = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class End:
    """A wire, what it told, and the client at its other end."""

    def __init__(self, framing: Framing | None = None) -> None:
        self.messages: list[bytes | None] = []
        self.told: list[str] = []
        self.line = Line()
        self.wire = Wire(framing or Framing(MOST, later=_at_once), self)
        self.among: set[object] = set()
        self.wire.succeed(self.line, self.among)
        self.client = ClientProtocol(parse_uri("ws://signal.example/"), state=State.OPEN)

    def heard(self, message: bytes | None) -> None:
        self.messages.append(message)

    def flooded(self) -> None:
        self.told.append("flooded")

    def filled(self) -> None:
        self.told.append("filled")

    def drained(self) -> None:
        self.told.append("drained")

    def lost(self) -> None:
        self.told.append("lost")

    def bring(self, *frames: Frame) -> None:
        """The client sends these, in one parcel."""
        self.wire.data_received(b"".join(frame.serialize(mask=True) for frame in frames))

    def answers(self) -> list[tuple[Opcode, bytes]]:
        """What the client reads."""
        written, self.line.written = self.line.written, b""
        self.client.receive_data(written)
        frames = cast(list[Frame], self.client.events_received())  # no handshake: it was opened before
        return [(frame.opcode, bytes(frame.data)) for frame in frames]


def text(data: bytes, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, data, fin)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, MOST])
def test_a_message_of_any_size_both_ways(size: int) -> None:
    end = End()
    end.bring(text(b"x" * size))
    assert end.messages == [b"x" * size]
    end.wire.write(text_frame(b"y" * size))
    assert end.answers() == [(Opcode.TEXT, b"y" * size)]


def test_several_messages_in_one_parcel() -> None:
    end = End()
    end.bring(text(b"a"), text("é".encode()), Frame(Opcode.BINARY, b"\0"), text(b"b"))
    assert end.messages == [b"a", "é".encode(), None, b"b"]


_MESSAGES = st.lists(st.binary(max_size=300), min_size=1, max_size=5)


@given(_MESSAGES, _MESSAGES, st.randoms(use_true_random=False))
def test_wires_that_share_do_not_mix_however_their_bytes_are_cut(
    a: list[bytes], b: list[bytes], dice: random.Random
) -> None:
    """Whole messages and messages in two frames, in parcels of any size that arrive by turns."""
    framing = Framing(MOST, later=_at_once)
    ends = [End(framing), End(framing)]
    parcels = []
    for end, messages in zip(ends, (a, b), strict=True):
        for message in messages:
            half = len(message) // 2
            whole = [text(message)], [text(message[:half], fin=False), Frame(Opcode.CONT, message[half:])]
            frames = dice.choice(whole)
            data = b"".join(frame.serialize(mask=True) for frame in frames)
            cuts = sorted({0, *(dice.randrange(len(data)) for _ in range(3)), len(data)})
            parcels.append([(end, data[start:stop]) for start, stop in itertools.pairwise(cuts)])
    rows = [list(itertools.chain(*parcels[: len(a)])), list(itertools.chain(*parcels[len(a) :]))]
    while any(rows):
        end, data = dice.choice([row for row in rows if row]).pop(0)
        end.wire.data_received(data)
    assert [end.messages for end in ends] == [a, b]


def test_who_says_whole_messages_has_nothing_of_its_own() -> None:
    framing = Framing(MOST, later=_at_once)
    shared = framing.idle
    end = End(framing)
    for size in (1, 200, 4000):
        end.bring(text(b"x" * size), Frame(Opcode.PING, b""))
    assert framing.idle is shared
    end.bring(text(b"x", fin=False))
    assert framing.idle is not shared


def test_a_ping_is_answered_and_who_does_not_read_is_answered_the_last() -> None:
    end = End()
    end.bring(Frame(Opcode.PING, b"1"), Frame(Opcode.PONG, b"?"), text(b"a"))
    assert end.answers() == [(Opcode.PONG, b"1")]
    end.wire.pause_writing()
    assert end.wire.is_full
    for number in range(100):
        end.bring(Frame(Opcode.PING, b"%d" % number))
    assert end.answers() == []
    end.wire.resume_writing()
    assert end.answers() == [(Opcode.PONG, b"99")]
    assert end.told == ["filled", "drained"]


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CONT])
def test_frames_that_are_no_messages_are_few(opcode: Opcode) -> None:
    """A message starts their count anew; that they are too many is told once, whatever follows."""
    end = End()
    few = [Frame(opcode, b"", fin=opcode is not Opcode.CONT)] * MOST_BETWEEN
    end.bring(text(b"a", fin=False), *few[1:], Frame(Opcode.CONT, b"b"))
    assert (end.messages, end.told) == ([b"ab"], [])
    end.bring(text(b"c", fin=False), *few)
    assert end.told == ["flooded"]
    end.bring(*few)
    assert end.told == ["flooded"]


def test_what_is_held_leaves_together_when_the_turn_is_over() -> None:
    turns: deque[Callable[[], None]] = deque()
    end = End(Framing(MOST, later=turns.append))
    end.wire.hold()
    end.wire.write(b"welcome")
    end.wire.write(b"joined")
    assert end.line.writes == 0
    turns.popleft()()
    end.wire.write(b"news")
    assert (end.line.written, end.line.writes) == (b"welcomejoinednews", 2)


def test_what_is_held_comes_before_the_end() -> None:
    for end_it in (Wire.shutdown, lambda wire: wire.data_received(Frame(Opcode.CLOSE, b"").serialize(mask=True))):
        end = End(Framing(MOST, later=deque[Callable[[], None]]().append))
        end.wire.hold()
        end.wire.write(b"last")
        end_it(end.wire)
        assert end.line.is_closed
        assert end.line.written.startswith(b"last\x88")


def test_of_a_large_parcel_nothing_is_read_behind_the_end() -> None:
    end = End()
    broken = text(b"x").serialize(mask=False)
    end.wire.data_received(text(b"x").serialize(mask=True) + broken + text(b"x").serialize(mask=True) * 10000)
    assert end.messages == [b"x"]
    assert end.line.is_closed


def test_a_large_parcel_takes_a_turn_for_each_portion() -> None:
    """Nothing else is read meanwhile, and what comes all the same is read behind it."""
    turns: deque[Callable[[], None]] = deque()
    end = End(Framing(MOST, later=turns.append))
    flood = b"".join(
        Frame(Opcode.PING, b"").serialize(mask=True) * 100 + text(b"%d" % n).serialize(mask=True) for n in range(99)
    )
    end.wire.data_received(flood)
    end.bring(text(b"last"))
    heard = [len(end.messages)]
    while turns:
        assert not end.line.reads
        turns.popleft()()
        heard.append(len(end.messages) - sum(heard))
    assert end.messages == [*(b"%d" % n for n in range(99)), b"last"]
    assert len(heard) == -(-(len(flood) + 10) // PORTION)
    assert max(heard) <= PORTION // 600 + 1
    assert end.line.reads


def test_a_listener_that_pauses_amid_a_large_parcel_is_left_in_peace() -> None:
    turns: deque[Callable[[], None]] = deque()
    end = End(Framing(MOST, later=turns.append))
    end.wire.data_received(Frame(Opcode.PONG, b"x" * 100).serialize(mask=True) * 60)
    end.wire.pause()
    turns.popleft()()
    assert (bool(turns), end.line.reads) == (False, False)
    end.wire.resume()
    assert end.line.reads


def test_of_a_large_parcel_nothing_is_read_when_the_line_is_gone() -> None:
    turns: deque[Callable[[], None]] = deque()
    end = End(Framing(MOST, later=turns.append))
    end.bring(Frame(Opcode.PONG, b""), text(b"a"), text(b"b" * PORTION))
    end.wire.abort()
    turns.popleft()()
    assert not turns
    assert end.messages == [b"a"]


def test_who_goes_on_talking_after_our_close_is_cut_off() -> None:
    end = End()
    end.wire.close(4103, "enough")
    for _ in range(10):
        end.bring(text(b"x" * 32768))
    assert end.line.is_closed
    assert len(end.messages) < 10


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (text(b"x" * (MOST + 1)).serialize(mask=True), 1009),
        (text(b"x").serialize(mask=False), 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (Frame(Opcode.CONT, b"x").serialize(mask=True), 1002),
        (b"\x09\x80\0\0\0\0", 1002),
    ],
)
def test_what_breaks_the_rules_ends_it_and_nobody_else(data: bytes, code: int) -> None:
    framing = Framing(MOST, later=_at_once)
    bad, good = End(framing), End(framing)
    bad.wire.data_received(data)
    ((opcode, body),) = bad.answers()
    assert (opcode, int.from_bytes(body[:2])) == (Opcode.CLOSE, code)
    assert bad.line.is_closed
    assert bad.messages == []
    bad.wire.data_received(text(b"more").serialize(mask=True))
    good.bring(text(b"fine"))
    assert (bad.messages, good.messages) == ([], [b"fine"])


def test_the_client_says_goodbye() -> None:
    end = End()
    end.client.send_close(1000, "enough")
    end.wire.data_received(b"".join(end.client.data_to_send()))
    assert end.answers() == [(Opcode.CLOSE, b"\x03\xe8enough")]
    assert end.line.is_closed
    end.wire.close(4000, "too late")
    end.wire.write(text_frame(b"too late"))
    assert end.answers() == []


def test_the_server_says_goodbye_and_waits_for_the_answer() -> None:
    end = End()
    end.wire.close(4200, "é" * 100)
    ((opcode, body),) = end.answers()
    assert opcode is Opcode.CLOSE
    assert body == (4200).to_bytes(2) + "é".encode() * 61, "no more than a control frame holds, and whole letters"
    assert not end.line.is_closed
    end.bring(text(b"I was not done"))
    assert end.messages == [b"I was not done"]
    end.wire.data_received(b"".join(end.client.data_to_send()))
    assert end.line.is_closed


def test_the_server_stops() -> None:
    end = End()
    end.wire.shutdown()
    assert end.answers() == [(Opcode.CLOSE, (1012).to_bytes(2))]
    assert end.line.is_closed


def test_reading_pauses_until_the_transport_is_gone() -> None:
    end = End()
    end.wire.pause()
    assert not end.line.reads
    end.wire.resume()
    assert end.line.reads
    end.wire.abort()
    assert end.line.was_aborted
    end.wire.pause()
    assert end.line.reads
    end.wire.resume()
    assert end.among == {end.wire}
    end.wire.connection_lost(None)
    assert end.told == ["lost"]
    assert end.among == set()


@given(st.binary(max_size=400), st.integers(0, 200), st.integers(0, 255), st.booleans())
def test_what_is_read_at_once_is_what_the_library_reads(body: bytes, place: int, value: int, is_whole: bool) -> None:
    """One frame with one byte changed: either read as the library reads it, or left to the library."""
    parcel = bytearray(text(body).serialize(mask=True))
    if not is_whole:
        parcel[place % len(parcel)] = value
    parcels = bytes(parcel) + text(b"next").serialize(mask=True)
    read = Framing(MOST).whole_texts(parcels)
    if is_whole:
        assert read == [body, b"next"]
    if read:
        framing = Framing(MOST).fresh()
        framing.receive_data(parcels)
        frames = [frame for frame in framing.events_received() if isinstance(frame, Frame)]
        assert [(frame.opcode, frame.fin, bytes(frame.data)) for frame in frames] == [
            (Opcode.TEXT, True, each) for each in read
        ]


@pytest.mark.parametrize("size", [0, 125, 126, 256, 65535, 65536])
def test_a_text_is_written_as_the_library_writes_it(size: int) -> None:
    assert text_frame(b"x" * size) == text(b"x" * size).serialize(mask=False)


def test_who_says_more_at_once_than_a_message_may_hold_is_left_to_the_library() -> None:
    assert Framing(9).whole_texts(text(b"x" * 10).serialize(mask=True)) == []
    small = text(b"x").serialize(mask=True)
    assert len(Framing(9).whole_texts(small * 512)) == 512
    assert Framing(9).whole_texts(small * 513) == []


def test_a_length_of_eight_bytes_is_not_taken_for_a_short_one() -> None:
    """The first 133 bytes of a long frame look as a frame of 127 would, if there were such."""
    end = End()
    frame = text(b"x" * MOST).serialize(mask=True)
    end.wire.data_received(frame[:133])
    assert end.messages == []
    end.wire.data_received(frame[133:])
    assert end.messages == [b"x" * MOST]
