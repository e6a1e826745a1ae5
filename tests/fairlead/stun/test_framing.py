import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.reasons import Reason
from fairlead.stun.framing import LARGEST_MESSAGE, FrameDecoder
from fairlead.stun.header import COOKIE_BYTES, DecodeError


def stun(body: bytes) -> bytes:
    return b"\x00\x01" + len(body).to_bytes(2) + COOKIE_BYTES + bytes(12) + body


def channel_data(number: int, data: bytes) -> bytes:
    """With its padding."""
    return number.to_bytes(2) + len(data).to_bytes(2) + data + bytes(-len(data) & 3)


def without_padding(message: bytes) -> bytes:
    return message if message[0] < 0x40 else message[: 4 + int.from_bytes(message[2:4])]


def take_all(decoder: FrameDecoder) -> list[bytes]:
    found = []
    while (message := decoder.next_message()) is not None:
        found.append(message)
    return found


stun_messages = st.builds(
    stun, st.integers(0, 30).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
)
channel_messages = st.builds(channel_data, st.integers(0x4000, 0x7FFF), st.binary(max_size=100))
messages = st.lists(st.one_of(stun_messages, channel_messages), max_size=8)


@given(messages, st.lists(st.integers(1, 60)))
def test_split_and_glued_input_gives_the_same_messages(sent: list[bytes], cuts: list[int]) -> None:
    decoder, wire, received = FrameDecoder(), b"".join(sent), []
    for cut in [*cuts, len(wire)]:
        decoder.feed(wire[:cut])
        wire = wire[cut:]
        received += take_all(decoder)
    assert received == [without_padding(message) for message in sent]


@given(st.binary(max_size=200), st.lists(st.integers(1, 50)))
def test_any_bytes_are_messages_or_an_error_and_the_cuts_do_not_matter(wire: bytes, cuts: list[int]) -> None:
    def decode(parts: list[bytes]) -> tuple[list[bytes], Reason | None]:
        decoder, found = FrameDecoder(), []
        try:
            for part in parts:
                decoder.feed(part)
                while (message := decoder.next_message()) is not None:
                    found.append(message)
        except DecodeError as error:
            return found, error.reason
        return found, None

    parts, rest = [], wire
    for cut in cuts:
        parts.append(rest[:cut])
        rest = rest[cut:]
    found, reason = decode([wire])
    split_found, split_reason = decode([*parts, rest])
    assert split_found == found
    # An error may be seen earlier in smaller parts, never later, and it is an error in both.
    assert (split_reason is None) == (reason is None)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x80", Reason.NOT_STUN),
        (b"\xff\xff\xff\xff", Reason.NOT_STUN),
        (b"\x00\x01\x00\x01", Reason.MALFORMED),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x43", Reason.BAD_COOKIE),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", Reason.BAD_COOKIE),
    ],
)
def test_what_begins_no_message(wire: bytes, reason: Reason) -> None:
    decoder = FrameDecoder()
    decoder.feed(wire)
    with pytest.raises(DecodeError) as caught:
        decoder.next_message()
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "wire", [b"", b"\x00", b"\x00\x01\x00", b"\x00\x01\x00\x00\x21", b"\x40\x00\x00", b"\x40\x00\x00\x01\x01"]
)
def test_an_unfinished_message_waits(wire: bytes) -> None:
    decoder = FrameDecoder()
    decoder.feed(wire)
    assert decoder.next_message() is None


def test_what_came_whole_before_an_error_is_not_lost() -> None:
    decoder = FrameDecoder()
    decoder.feed(stun(b"") + b"\x80")
    assert decoder.next_message() == stun(b"")
    with pytest.raises(DecodeError):
        decoder.next_message()


def test_the_longest_messages_pass() -> None:
    decoder = FrameDecoder()
    longest_stun, longest_channel = stun(bytes(65532)), channel_data(0x4000, bytes(65535))
    decoder.feed(longest_stun + longest_channel)
    assert take_all(decoder) == [longest_stun, longest_channel[:-1]]
    assert max(len(longest_stun), len(longest_channel)) == LARGEST_MESSAGE


@pytest.mark.parametrize("message", [stun(bytes(84)), channel_data(0x4000, bytes(97))])
def test_a_longer_message_than_is_taken_is_refused_at_its_header(message: bytes) -> None:
    decoder = FrameDecoder(largest=len(message))
    decoder.feed(message)
    assert decoder.next_message() == without_padding(message)
    decoder = FrameDecoder(largest=len(message) - 4)
    decoder.feed(message[:8])
    with pytest.raises(DecodeError) as caught:
        decoder.next_message()
    assert caught.value.reason is Reason.TOO_LARGE


def test_the_buffer_forgets_what_was_taken() -> None:
    decoder = FrameDecoder()
    for _ in range(1000):
        decoder.feed(channel_data(0x4000, bytes(1000)) + b"\x40")
        assert take_all(decoder) == [channel_data(0x4000, bytes(1000))]
        decoder.feed(b"\x00\x00\x00")
        assert take_all(decoder) == [b"\x40\x00\x00\x00"]
    assert len(decoder._buffer) < 5000
