from typing import get_args

import msgspec
import pytest

from fairlead.link import (
    Allocated,
    Draining,
    End,
    EndBy,
    Ended,
    Fence,
    FenceMode,
    LinkError,
    Refused,
    Revoke,
    RevokeBy,
    Traffic,
    Usage,
)
from fairlead.link.messages import VERSION, Hello, Message, decode, encode

MESSAGES: list[Message] = [
    Hello(VERSION, "turnd"),
    Revoke(RevokeBy.USERNAME, "1700000000:room.sid"),
    Revoke(RevokeBy.USER, "@user:example.org"),
    Revoke(RevokeBy.USER, "room.sid.name", "leave", 1700000000, parting=True),
    End(EndBy.ALLOCATION, "17", "kicked"),
    End(EndBy.ROOM, "room"),
    Fence("r00mhash", FenceMode.ENFORCE, ("192.0.2.1", "2001:db8::1")),
    Allocated(17, "1700000000:room.sid", "udp", "192.0.2.1:1", "[2001:db8::1]:49152"),
    Refused("u", "192.0.2.1:1", "allocate", 486, "quota"),
    Usage(17, "u", Traffic(1, 2, 3, 4)),
    Ended(17, "u", "expired", 600.5, Traffic(1, 2, 3, 4)),
    Draining(3600.0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back_the_same(message: Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == message


def test_a_line_end_inside_a_text_stays_inside() -> None:
    assert encode(End(EndBy.ROOM, "a\nb")).count(b"\n") == 1
    assert decode(encode(End(EndBy.ROOM, "a\nb"))) == End(EndBy.ROOM, "a\nb")


def test_the_wire_is_what_others_could_write() -> None:
    assert msgspec.json.decode(encode(Revoke(RevokeBy.USER, "u", "left"))) == {
        "type": "revoke",
        "by": "user",
        "value": "u",
        "reason": "left",
    }


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\n",
        b"{}\n",
        b"[1]\n",
        b'{"type":"unheard"}\n',
        b'{"type":"revoke","by":"user"}\n',
        b'{"type":"revoke","by":"colour","value":"x"}\n',
        b'{"type":"revoke","by":"user","value":1}\n',
        b'{"type":"revoke","by":"user","value":"x","more":1}\n',
        b'{"type":"revoke","by":"user","value":"\xff"}\n',
    ],
)
def test_what_is_no_message(line: bytes) -> None:
    with pytest.raises(LinkError, match="no message of this protocol"):
        decode(line)


#: What each message of VERSION 2 holds.
SPOKEN = {
    "hello": ("version", "daemon"),
    "revoke": ("by", "value", "reason", "expiring", "parting"),
    "end": ("by", "value", "reason"),
    "fence": ("room", "mode", "hosts"),
    "budget": ("allocation", "username", "bytes", "bandwidth"),
    "allocated": ("allocation", "username", "transport", "client", "relayed"),
    "refused": ("username", "client", "method", "code", "reason"),
    "usage": ("allocation", "username", "traffic"),
    "ended": ("allocation", "username", "reason", "seconds", "traffic"),
    "draining": ("seconds", "hosts", "ports"),
}


def test_who_changes_a_message_raises_the_version() -> None:
    """Another build would hang up on what it does not know, at the first member that leaves, and say no more than
    that it is no message."""
    kinds = get_args(Message)
    assert {kind.__struct_config__.tag: kind.__struct_fields__ for kind in kinds} == SPOKEN
    assert VERSION == 2, "and then the rows above with it"
