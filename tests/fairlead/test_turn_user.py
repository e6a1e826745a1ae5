"""User ids of members: the form that one daemon makes is the form that the others read."""

import itertools

from fairlead.turn_user import member_id, room_of, session_of
from signal_api.protocol.sessions import name, new_session
from signal_api.relay.ice_servers import room_hash
from tests.turnd.kit import seeded


def test_what_is_made_is_read() -> None:
    chance = seeded("names")
    session = new_session(chance).session.sid
    user = member_id(room_hash("café"), session, name(chance, 8))
    assert (room_of(user), session_of(user)) == (room_hash("café"), session)


def test_ids_of_others_are_of_no_room() -> None:
    parts = ("a" * 16, "s_" + "b" * 16, "c" * 8)
    near = [".".join(row) for row in itertools.permutations(parts)][1:]
    strangers = ["", "alice", "john.doe", "a.b.c", "john.x.doe@example.org", f"{'.'.join(parts)}.d", *near]
    assert {(room_of(each), session_of(each)) for each in strangers} == {("", "")}
