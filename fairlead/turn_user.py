"""The user id of a member's TURN credentials, `<room hash>.<session>.<membership>`: signal_api makes it, and by it
turnd knows what to end with a room or a kick, and which peers a member's room has named.

Other user ids have no such meaning, those of static users and of back ends: `john.doe` is in no room.
"""

import re

_MEMBER = re.compile(r"([a-z2-7]{16})\.(s_[a-z2-7]{16})\.[a-z2-7]{8}")


def member_id(room: str, session: str, membership: str) -> str:
    """The user id of a session in a room, of which `room` is the hash of 16 characters.

    `membership` is new whenever the session comes into the room, so that what is revoked stays so for ever, and who
    comes again gets another.
    """
    return f"{room}.{session}.{membership}"


def room_of(user_id: str) -> str:
    """The hash of the room that a user id of member_id was made for, empty for another's."""
    member = _MEMBER.fullmatch(user_id)
    return member[1] if member is not None else ""


def session_of(user_id: str) -> str:
    """The session that a user id of member_id was made for, empty for another's."""
    member = _MEMBER.fullmatch(user_id)
    return member[2] if member is not None else ""
