"""Who is here, and whether one more fits."""

from fairlead.buckets import TokenBucket
from signal_api.clients import Client, Visitor
from signal_api.config import LimitSettings
from signal_api.node.roster import Roster
from signal_api.protocol.authorization import Grants
from signal_api.protocol.refusals import CloseCode, Closing
from signal_api.protocol.sessions import new_session
from tests.signal_api.dice import dice
from tests.signal_api.socketless import Line

ENTROPY = dice()
LIMITS = LimitSettings(sessions_per_user=2, sessions_per_source=3, sessions=4)


def _client(user: str | None = None, source: bytes = b"s", heard: float = 0.0) -> Client:
    grants, visitor = Grants(user, ("*",)), Visitor(source, "h", False)
    return Client(new_session(ENTROPY).session, grants, visitor, TokenBucket(), heard)


def test_a_session_is_found_by_its_id_and_held_by_its_key() -> None:
    roster = Roster()
    session, key = new_session(ENTROPY)
    client = Client(session, Grants(None, ()), Visitor(b"", "h", False), TokenBucket(), 0)
    roster.add(client)
    assert roster.get(session.sid) is client
    assert roster.holder(session.sid, key) is client
    assert roster.holder(session.sid, "wrong") is None
    assert roster.holder("s_other", key) is None


def test_the_one_away_for_longest_gives_way_to_its_user() -> None:
    roster = Roster()
    old, older = _client("ann", heard=5.0), _client("ann", heard=3.0)
    roster.add(old)
    roster.add(older)
    assert roster.room_for("ann", b"s", LIMITS) is older
    assert roster.room_for("bob", b"s", LIMITS) is None
    assert roster.room_for(None, b"s", LIMITS) is None
    old.connection = older.connection = Line()
    full = roster.room_for("ann", b"s", LIMITS)
    assert isinstance(full, Closing)
    assert full.code is CloseCode.SESSION_LIMIT
    assert roster.connected() == 2


def test_sources_and_all_together_have_bounds() -> None:
    roster = Roster()
    for _ in range(3):
        roster.add(_client())
    assert isinstance(roster.room_for(None, b"s", LIMITS), Closing)
    assert roster.room_for(None, b"t", LIMITS) is None
    roster.add(_client(source=b"t"))
    assert isinstance(roster.room_for(None, b"u", LIMITS), Closing)


def test_what_is_removed_leaves_nothing_behind() -> None:
    roster = Roster()
    client = _client("ann")
    roster.add(client)
    for _ in range(2):
        roster.remove(client)
    assert len(roster) == 0
    assert list(roster) == []
    for _ in range(3):
        assert roster.room_for("ann", b"s", LIMITS) is None


def test_who_has_ended_is_told_from_who_goes_on_elsewhere() -> None:
    roster, client = Roster(), _client()
    roster.add(client)
    assert not roster.has_ended(client)
    roster.remove(client)
    assert roster.has_ended(client)
    client.is_elsewhere = True
    assert not roster.has_ended(client)
