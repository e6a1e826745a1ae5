"""A session arrives as it was packed."""

import msgspec

from signal_api.clients import Owed
from signal_api.luggage import Luggage, pack, read_place, unpack, write_place
from signal_api.protocol.effects import Receipt
from signal_api.protocol.messages import server_frame
from signal_api.protocol.sessions import Membership, ResumeFailure
from tests.signal_api.socketless import Node


def _carried(luggage: Luggage) -> Luggage:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(luggage), type=Luggage)


async def test_everything_but_the_connection_comes_along() -> None:
    node = Node()
    seat = await node.enter(rooms=["r"])
    await seat.say("leave", room="q", id="c1")
    client, now = seat.client, node.clock.now()
    client.owed = None
    client.owe(Receipt("s_other", "c9", "r", "m_1"), now.monotonic)
    client.is_regranted = client.begins_anew = True
    node.clock.move(5)
    again = unpack(_carried(pack(client, node.clock.now())), node.clock.now())
    assert again.connection is None
    assert again.session.log == client.session.log
    assert again.session.seq == client.session.seq
    assert again.session.rooms == client.session.rooms
    assert again.session.remembered("c1", now.monotonic + 5) == client.session.remembered("c1", now.monotonic + 5)
    assert (again.grants, again.visitor, again.last_heard) == (client.grants, client.visitor, client.last_heard)
    assert list(again.owed or ()) == [Owed(now.monotonic, Receipt("s_other", "c9", "r", "m_1"))]
    assert again.session.holds(seat.welcome["key"])
    assert (again.is_regranted, again.begins_anew) == (True, True)


async def test_who_saw_more_than_is_certain_begins_anew() -> None:
    node = Node()
    seat = await node.enter()
    seat.client.deliver(server_frame("x.one"))
    luggage = msgspec.structs.replace(pack(seat.client, node.clock.now()), is_certain=False)
    epoch = seat.client.session.epoch
    for read, numbers in ((1, [2, 3]), (2, [3])):
        client = unpack(luggage, node.clock.now())
        client.deliver(server_frame("x.two"))
        missed = client.session.after(f"{epoch}.{read}")
        assert not isinstance(missed, ResumeFailure)
        assert [entry.seq for entry in missed] == numbers
    client = unpack(luggage, node.clock.now())
    client.deliver(server_frame("x.two"))
    assert client.session.after(f"{epoch}.3") is ResumeFailure.GAP


def test_a_membership_is_written_with_its_json() -> None:
    place = Membership("r", "m_1", 3, msgspec.Raw(b'{"name": "A"}'), "hash.s_1", present=False)
    again = read_place(write_place(place))
    assert bytes(again.meta) == b'{"name": "A"}'
    assert (again.room, again.member, again.order, again.turn_user, again.present) == ("r", "m_1", 3, "hash.s_1", False)
