"""What leaves a server together: of one parcel, of one turn of the loop, and what cannot wait."""

import pytest
from websockets.frames import Frame, Opcode

from signal_api.transports.wire import Framing, text_frame
from tests.signal_api.transports.test_wire import End, text

_LETTERS = (b"a", b"b", b"c")


class Pair:
    """Whatever the speaker says is for the hearer, whose parcels are kept apart."""

    def __init__(self) -> None:
        self.framing = Framing(70000)
        self.speaker, self.hearer = End(self.framing), End(self.framing)
        self.parcels: list[bytes] = []
        self.speaker.heard = self._relay  # type: ignore[method-assign]  # a listener that answers another wire
        self.hearer.line.write = self.parcels.append  # type: ignore[assignment,method-assign]  # a transport

    def _relay(self, message: bytes | None) -> None:
        assert message is not None
        self.hearer.wire.write(text_frame(message))


def _frames(*letters: bytes) -> bytes:
    return b"".join(map(text_frame, letters))


def test_what_several_messages_of_one_parcel_ask_for() -> None:
    pair = Pair()
    pair.speaker.bring(*map(text, _LETTERS))
    assert pair.parcels == [_frames(*_LETTERS)]
    pair.speaker.bring(text(b"d"))
    assert pair.parcels[1:] == [_frames(b"d")]


def test_what_a_turn_has_to_say() -> None:
    pair = Pair()
    pair.framing.gather()
    pair.speaker.bring(text(b"a"))
    pair.speaker.bring(text(b"b"), text(b"c"))
    assert pair.parcels == [], "one parcel of several messages is not the end of the turn"
    pair.framing.write_out()
    assert pair.parcels == [_frames(*_LETTERS)]
    pair.speaker.bring(text(b"d"))
    assert pair.parcels[1:] == [_frames(b"d")]


def test_each_hears_its_own_in_the_order_in_which_it_was_said() -> None:
    framing = Framing(70000)
    ends = [End(framing) for _ in range(3)]
    framing.gather()
    for number in range(9):
        ends[number % 3].wire.write(text_frame(b"%d" % number))
    framing.write_out()
    assert [[body for _, body in end.answers()] for end in ends] == [
        [b"%d" % number for number in range(first, 9, 3)] for first in range(3)
    ]


def test_no_more_is_kept_than_a_turn_may_have() -> None:
    pair = Pair()
    pair.framing.gather()
    for _ in range(9):
        pair.speaker.bring(text(b"x" * 65535))
    assert [len(parcel) // 65535 for parcel in pair.parcels] == [4, 4]
    pair.framing.write_out()
    assert len(b"".join(pair.parcels)) == 9 * len(_frames(b"x" * 65535))


def test_who_ends_in_the_turn_hears_what_came_before() -> None:
    framing = Framing(70000)
    leaver, other = End(framing), End(framing)
    framing.gather()
    leaver.wire.write(text_frame(b"last"))
    other.wire.write(text_frame(b"later"))
    leaver.bring(Frame(Opcode.CLOSE, (1000).to_bytes(2)))
    assert leaver.answers() == [(Opcode.TEXT, b"last"), (Opcode.CLOSE, (1000).to_bytes(2))]
    assert leaver.line.is_closed
    assert not other.answers()
    framing.write_out()
    assert not leaver.answers()
    assert other.answers() == [(Opcode.TEXT, b"later")]


def test_a_server_that_stops_in_the_turn_says_all_of_it() -> None:
    framing = Framing(70000)
    end = End(framing)
    framing.gather()
    end.wire.write(text_frame(b"last"))
    end.wire.shutdown()
    assert end.answers() == [(Opcode.TEXT, b"last"), (Opcode.CLOSE, (1012).to_bytes(2))]


def test_who_is_gone_at_the_end_of_the_turn_is_written_nothing() -> None:
    framing = Framing(70000)
    gone, other = End(framing), End(framing)
    framing.gather()
    for end in (gone, other):
        end.wire.write(text_frame(b"x"))
    gone.wire.abort()
    framing.write_out()
    assert gone.line.written == b""
    assert other.answers() == [(Opcode.TEXT, b"x")]


def test_a_bug_amid_several_messages_holds_nothing_back() -> None:
    framing = Framing(70000)
    speaker, hearer = End(framing), End(framing)

    def fail(message: bytes | None) -> None:
        hearer.wire.write(text_frame(b"before"))
        raise ZeroDivisionError

    speaker.heard = fail  # type: ignore[method-assign]  # a listener with a bug
    with pytest.raises(ZeroDivisionError):
        speaker.bring(text(b"a"), text(b"b"))
    assert hearer.answers() == [(Opcode.TEXT, b"before")]
    hearer.wire.write(text_frame(b"after"))
    assert hearer.answers() == [(Opcode.TEXT, b"after")]
