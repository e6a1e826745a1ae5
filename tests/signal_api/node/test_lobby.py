"""Rooms as clients see them: joining, presence, leaving, dropping out and coming back."""

import asyncio

import pytest

from fairlead.credentials import parse_username
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.rooms import MAX_META
from signal_api.relay.ice_servers import room_hash
from tests.signal_api.socketless import Line, Node
from tests.signal_api.worlds import token


async def test_joined_is_the_room_as_it_is_with_servers_and_a_credential() -> None:
    node = Node()
    first, second = await node.enter(), await node.enter()
    alone = await first.join("r", meta={"name": "A"})
    assert (alone["members"], alone["self"]["order"], alone["rseq"]) == ([], 1, 1)
    joined = await second.join("r")
    assert joined["self"]["order"] == 2
    assert joined["members"] == [
        {
            "id": alone["self"]["id"],
            "user": None,
            "order": 1,
            "meta": {"name": "A"},
            "joined_at": round(node.clock.now().wall * 1000),
            "role": "member",
        }
    ]
    assert joined["role"] == "member"
    assert joined["limits"]["members"] == 100
    urls = [url for server in joined["ice"]["iceServers"] for url in server["urls"]]
    assert "turn:signal.example:3478?transport=udp" in urls
    parsed = parse_username(joined["ice"]["username"])
    assert parsed is not None
    assert parsed.user_id == second.client.session.rooms["r"].turn_user
    assert parsed.user_id.startswith(f"{room_hash('r')}.{second.client.sid}.")
    assert parsed.expires == int(node.clock.now().wall) + 3600


async def test_sessions_are_not_shown_to_others() -> None:
    node = Node()
    first, second = await node.enter(), await node.enter()
    await first.join("r")
    joined = await second.join("r")
    await node.pass_time(0.05)
    assert first.client.sid not in str(joined["members"])
    assert second.client.sid not in str(first.news())


async def test_presence_is_gathered_for_a_moment() -> None:
    node = Node()
    host = await node.enter()
    await host.join("r")
    guests = [await node.enter() for _ in range(3)]
    ids = [(await guest.join("r"))["self"]["id"] for guest in guests]
    assert host.news() == []
    await node.pass_time(0.05)
    (news,) = host.news()
    assert (news["type"], news["room"], news["data"]["rseq"]) == ("member.joined", "r", 4)
    assert [member["id"] for member in news["data"]["members"]] == ids
    await guests[0].say("leave", room="r")
    await node.pass_time(0.05)
    (news,) = host.news()
    assert news["data"]["members"] == [{"id": ids[0], "reason": "leave"}]


async def test_news_goes_before_a_frame_that_may_be_about_it() -> None:
    node = Node()
    host, guest = await node.enter(), await node.enter()
    member = (await host.join("r"))["self"]["id"]
    await guest.join("r")
    await guest.say("offer", room="r", to=member, data={"sdp": ""})
    assert host.types() == ["member.joined", "offer"]
    await node.pass_time(1)
    assert host.news() == []


async def test_hello_may_name_rooms() -> None:
    node = Node()
    seat = await node.enter(rooms=["a", "b"])
    assert [(frame["type"], frame.get("room")) for frame in seat.news()] == [
        ("welcome", None),
        ("joined", "a"),
        ("joined", "b"),
    ]


async def test_limits_of_rooms_and_members() -> None:
    node = Node(limits__rooms_per_session=2, limits__members_per_room=2)
    seats = [await node.enter() for _ in range(3)]
    for seat in seats[:2]:
        await seat.join("a")
    await seats[2].say("join", room="a")
    assert seats[2].news()[-1]["data"]["code"] == "room_full"
    await seats[0].join("b")
    await seats[0].say("join", room="c")
    assert seats[0].news()[-1]["data"]["code"] == "too_many_rooms"
    await seats[0].say("join", room="b")
    assert seats[0].news()[-1]["data"]["code"] == "already_joined"
    assert node.instruments.joins["refused",] == 3


async def test_meta_has_a_bound() -> None:
    node = Node()
    seat = await node.enter()
    await seat.say("join", data={"room": "r", "meta": "x" * MAX_META})
    assert seat.news()[-1]["data"]["code"] == "bad_request"
    await seat.join("r", meta="x" * (MAX_META - 2))


@pytest.mark.parametrize("meta", ["1e999", '{"a":[-1e400]}'])
async def test_meta_that_not_everybody_can_read_is_refused(meta: str) -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, can=["join", "create", "moderate"]), rooms=["r"])
    seat.news()
    for kind, data in (
        ("join", '{"room":"q","meta":%s}'),
        ("join", '{"room":"q","create":{"meta":%s}}'),
        ("meta.set", '{"room":"r","meta":%s}'),
        ("meta.set", '{"room":"r","room_meta":%s}'),
    ):
        await node.dispatch.receive(seat.client, b'{"type":"%b","data":%b}' % (kind.encode(), (data % meta).encode()))
        (refused,) = seat.news()
        assert refused["data"]["code"] == "bad_request", (kind, data)
    assert list(seat.client.session.rooms) == ["r"]


async def test_tokens_say_which_rooms() -> None:
    node = Node()
    joiner = await node.enter(token=token(node.clock, rooms=["r", "team-*"], can=["join"]))
    await joiner.say("join", room="secret")
    assert joiner.news()[-1]["data"]["code"] == "forbidden"
    await joiner.say("join", room="r")
    assert joiner.news()[-1]["data"]["code"] == "room_not_found", "it may not open one"
    opener = await node.enter(token=token(node.clock, "bob", rooms=["r"], can=["join", "create"], role="host"))
    joined = await opener.join("r")
    assert joined["role"] == "host"
    assert "ice" not in joined
    assert (await joiner.join("r"))["members"][0]["user"] == "bob"


async def test_a_dropped_client_is_announced_after_its_grace() -> None:
    node = Node()
    stays, drops = await node.enter(), await node.enter()
    await stays.join("r")
    member = (await drops.join("r"))["self"]["id"]
    await node.pass_time(1)
    stays.news()
    drops.lose()
    await node.pass_time(9.9)
    assert stays.news() == []
    await node.pass_time(0.1)
    await node.pass_time(0.05)
    (news,) = stays.news()
    assert news["type"] == "member.left"
    assert news["data"]["members"] == [{"id": member, "reason": "timeout"}]


async def test_who_comes_back_within_the_grace_was_never_away() -> None:
    node = Node()
    stays, drops = await node.enter(), await node.enter()
    to = (await stays.join("r"))["self"]["id"]
    await drops.join("r")
    await node.pass_time(1)
    stays.news()
    drops.lose()
    await stays.say("message", room="r", to="*", data="while away")
    await node.pass_time(9)
    key = {"sid": drops.client.sid, "key": drops.welcome["key"], "after": f"{drops.welcome['epoch']}.2"}
    back = await node.enter(resume=key)
    assert [frame["type"] for frame in back.news()] == ["welcome", "message"]
    await node.pass_time(12)
    assert stays.types() == []
    await back.say("offer", room="r", to=to)
    assert stays.types() == ["offer"]


async def test_who_comes_back_later_is_taken_in_as_who_it_was() -> None:
    node = Node()
    stays, drops = await node.enter(), await node.enter()
    await stays.join("r")
    before = await drops.join("r", meta={"name": "B"})
    drops.lose()
    await node.pass_time(11)
    await node.pass_time(1)
    stays.news()
    key = {"sid": drops.client.sid, "key": drops.welcome["key"], "after": f"{drops.welcome['epoch']}.2"}
    back = await node.enter(resume=key)
    welcome, joined = back.news()
    assert welcome["data"]["resumed"]
    assert joined["data"]["self"] == before["self"]
    await node.pass_time(0.05)
    (news,) = stays.news()
    assert news["data"]["members"][0]["meta"] == {"name": "B"}


async def test_a_room_that_filled_up_meanwhile_is_closed_to_who_comes_back() -> None:
    node = Node(limits__members_per_room=2)
    stays, drops, other = await node.enter(), await node.enter(), await node.enter()
    await stays.join("r")
    await drops.join("r")
    drops.lose()
    await node.pass_time(11)
    await other.join("r")
    key = {"sid": drops.client.sid, "key": drops.welcome["key"], "after": f"{drops.welcome['epoch']}.2"}
    back = await node.enter(resume=key)
    closed = back.news()[-1]
    assert (closed["type"], closed["room"], closed["data"]) == ("room.closed", "r", {"reason": "room_full"})
    assert not back.client.session.rooms


async def test_who_begins_anew_is_shown_its_rooms_as_they_are() -> None:
    node = Node()
    stays, drops = await node.enter(), await node.enter()
    await stays.join("r")
    before = await drops.join("r")
    drops.lose()
    key = {"sid": drops.client.sid, "key": drops.welcome["key"], "after": "aaaaaaaa.2"}
    back = await node.enter(resume=key)
    welcome, joined = back.news()
    assert (welcome["seq"], welcome["data"]["resumed"], welcome["data"]["reason"]) == (1, False, "epoch")
    assert welcome["data"]["epoch"] != drops.welcome["epoch"]
    assert (joined["seq"], joined["type"]) == (2, "joined")
    assert joined["data"]["self"] == before["self"]
    assert len(joined["data"]["members"]) == 1
    await node.pass_time(1)
    assert stays.types() == ["member.joined"], "the others noticed nothing"


async def test_an_empty_room_is_gone() -> None:
    node = Node()
    seat = await node.enter()
    await seat.join("r")
    assert node.engine.census() == (1, 1)
    await seat.say("leave", id="l1", data={"room": "r"})
    assert seat.news()[-1] == {"type": "ok", "re": "l1"}
    assert node.engine.census() == (0, 0)
    await seat.say("leave", room="r")
    assert seat.news()[-1]["data"]["code"] == "room_not_found"


@pytest.mark.parametrize("rooms", [[], ["elsewhere"]])
async def test_who_ends_its_session_while_it_comes_in_leaves_nothing_behind(rooms: list[str]) -> None:
    node = Node()
    seat = await node.enter(rooms=rooms)
    joining = asyncio.create_task(seat.say("join", data={"room": "r", "create": {"password": "secret"}}))
    await asyncio.sleep(0)  # From here on the password is hashed.
    node.hub.end(seat.client, LeaveReason.LEAVE)
    assert not joining.done()
    await joining
    await node.hub.settled()
    assert node.engine.census() == (0, 0)
    assert node.instruments.joins["refused",] == 1
    issued = node.instruments.ice_issued["push",]
    await node.pass_time(7200)
    assert (seat.client.renewal, node.instruments.ice_issued["push",]) == (None, issued)


async def test_who_ends_its_session_while_it_comes_back_leaves_nothing_behind() -> None:
    node = Node()
    drops = await node.enter(rooms=["r"])
    drops.lose()
    await node.pass_time(11)
    assert node.engine.census() == (0, 0)
    key = {"sid": drops.client.sid, "key": drops.welcome["key"], "after": f"{drops.welcome['epoch']}.2"}
    async with drops.client.turn:
        assert node.try_to_enter(Line(), resume=key) is drops.client
        returning = asyncio.create_task(node.dispatch.begin(drops.client))
        await asyncio.sleep(0)  # From here on it waits for its turn.
        node.hub.end(drops.client, LeaveReason.LEAVE)
    await returning
    await node.hub.settled()
    assert node.engine.census() == (0, 0)
    assert drops.client.renewal is None
