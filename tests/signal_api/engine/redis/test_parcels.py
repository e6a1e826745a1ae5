"""Effects keep their meaning when they are divided among nodes."""

import msgspec

from signal_api.engine.redis.parcels import for_nodes, for_session, narrowed, read_effect, read_room, write_room
from signal_api.protocol.effects import Announce, Deliver, Receipt, Revoked, Tell
from signal_api.protocol.messages import server_frame
from signal_api.protocol.revocations import Revocation, RevocationKind
from signal_api.protocol.rooms import Member, Room

_FRAME = server_frame("message")
_REVOKED = Revoked(Revocation(RevocationKind.USER, "eve", 1.0, 2.0))


def test_a_frame_for_some_keeps_their_receipts() -> None:
    receipts = tuple(Receipt("s", "c", "r", name) for name in "xyz")
    some = narrowed(Deliver(("a", "b", "c"), _FRAME, receipts), ("a", "c"))
    assert some == Deliver(("a", "c"), _FRAME, (receipts[0], receipts[2]))
    news = Announce(("a", "b"), "member.left", "r", 1, b"{}")
    assert narrowed(news, ("a", "b")) is news
    assert narrowed(news, ("b",)).to == ("b",)


def test_a_session_is_told_what_its_user_is_told() -> None:
    told = Tell("alice", _FRAME)
    assert for_session(told, "a", "alice") == Deliver(("a",), _FRAME)
    assert for_session(told, "a", "bob") is None
    assert for_session(told, "a", None) is None
    assert for_session(Deliver(("b",), _FRAME), "a", None) is None
    assert for_session(_REVOKED, "a", None) is _REVOKED


def test_every_effect_comes_out_as_it_went_in() -> None:
    effects = (Deliver(("a",), _FRAME), Tell("u", _FRAME), _REVOKED)
    count, first, sid, one, second, two, third, three = for_nodes(effects)
    assert (count, first, sid, second, third) == (3, 1, "a", -1, -1)
    assert (read_effect(one), read_effect(two), read_effect(three)) == effects


def test_a_room_is_written_with_what_its_members_say_of_themselves() -> None:
    room = Room("r", {"m": Member("m", "s", None, 1, 0, meta=msgspec.Raw(b'{"a":[1]}'))}, 3)
    assert read_room(write_room(room)) == room
    assert write_room(None) == b""
