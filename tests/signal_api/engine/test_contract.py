"""What every engine promises, tried on each."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from fairlead.daemon import SystemClock
from signal_api.engine.contract import Engine, Once
from signal_api.engine.memory import MemoryEngine
from signal_api.protocol.effects import Announce, Deliver, Effect, Revoked
from signal_api.protocol.messages import server_frame
from signal_api.protocol.revocations import Revocation, RevocationKind
from signal_api.protocol.rooms import Ban, Candidate, Change, Member, Room, Terms, join
from signal_api.relay.ledger import Ledger, Spending
from signal_api.relay.reports import EACH, Report, Result
from tests.signal_api.engine.engines import client_of, running_engine
from tests.waiting import eventually

clock = SystemClock()


@pytest.fixture(params=["memory", "redis"])
async def engine(request: pytest.FixtureRequest, redis_prefix: str) -> AsyncIterator[Engine]:
    """An engine that has the sessions a, b and c."""
    if request.param == "memory":
        yield MemoryEngine(clock)
        return
    url = request.getfixturevalue("one_redis").url
    async with running_engine(url, redis_prefix) as redis:
        for sid in "abc":
            await redis.vault.open(client_of(sid))
        yield redis


def _change(room: Room | None, sid: str) -> Change:
    change = join(room, "r", Candidate(f"m_{sid}", sid, None), 0, 10)
    assert isinstance(change, Change)
    return change


async def test_what_is_committed_is_loaded(engine: Engine) -> None:
    empty = await engine.load("r")
    assert empty.room is None
    room = _change(None, "a").room
    assert await engine.commit("r", empty.version, room, ())
    assert (await engine.load("r")).room == room
    assert (await engine.load("q")).room is None
    await eventually(lambda: engine.census() == (1, 1))


async def test_who_was_slower_changes_nothing_and_sends_nothing(engine: Engine) -> None:
    delivered: list[Effect] = []
    engine.subscribe(delivered.append)
    seen = await engine.load("r")
    first, second = _change(seen.room, "a"), _change(seen.room, "b")
    assert await engine.commit("r", seen.version, first.room, first.effects)
    frame = Deliver(("b",), server_frame("joined"))
    assert not await engine.commit("r", seen.version, second.room, (frame, *second.effects))
    marker = Deliver(("c",), server_frame("message"))
    await engine.publish((marker,))
    await eventually(lambda: marker in delivered)
    assert delivered == [marker]
    assert (await engine.load("r")).room == first.room


async def test_effects_arrive_with_their_commit_and_in_order(engine: Engine) -> None:
    delivered: list[Effect] = []
    engine.subscribe(delivered.append)
    for sid in "abc":
        stored = await engine.load("r")
        change = _change(stored.room, sid)
        await engine.commit("r", stored.version, change.room, change.effects)
    sent = Deliver(("a",), server_frame("message"))
    await engine.publish((sent,))
    await eventually(lambda: sent in delivered)
    assert [effect.rseq for effect in delivered if isinstance(effect, Announce)] == [2, 3]
    assert delivered[-1] == sent


async def test_a_room_that_was_made_anew_is_not_its_predecessor(engine: Engine) -> None:
    stored = await engine.load("r")
    await engine.commit("r", stored.version, _change(None, "a").room, ())
    old = await engine.load("r")
    await engine.commit("r", old.version, None, ())
    assert (await engine.load("r")).room is None
    await eventually(lambda: engine.census() == (0, 0))
    await engine.commit("r", (await engine.load("r")).version, _change(None, "b").room, ())
    assert not await engine.commit("r", old.version, None, ())


async def test_rooms_are_listed_by_name_a_page_at_a_time(engine: Engine) -> None:
    for name in ("b", "d", "a", "c"):
        await engine.commit(name, (await engine.load(name)).version, Room(name, {}, terms=Terms(kept=True)), ())
    assert [room.name for room in await engine.rooms("", 3)] == ["a", "b", "c"]
    assert [room.name for room in await engine.rooms("c", 3)] == ["d"]
    await eventually(lambda: engine.census() == (4, 0))


async def test_bans_are_kept_without_members_and_are_no_open_room(engine: Engine) -> None:
    now = clock.now().wall
    banned = Room("r", {}, bans={"eve": Ban("eve", now, now + 60, "admin")})
    await engine.commit("r", (await engine.load("r")).version, banned, ())
    assert (await engine.load("r")).room == banned
    await eventually(lambda: engine.census() == (0, 0))
    full = msgspec.structs.replace(banned, members={"m_a": Member("m_a", "a", None, 1, 0)})
    assert await engine.commit("r", (await engine.load("r")).version, full, ())
    await eventually(lambda: engine.census() == (1, 1))


async def test_a_revocation_reaches_the_node(engine: Engine) -> None:
    delivered: list[Effect] = []
    engine.subscribe(delivered.append)
    now = clock.now().wall
    revocation = Revocation(RevocationKind.TOKEN, "t1", now, now + 60)
    await engine.revoke(revocation)
    await eventually(lambda: delivered == [Revoked(revocation)])


async def test_what_relays_have_spent_is_counted_as_the_ledger_says(engine: Engine) -> None:
    ledger, pools = Ledger(), (("p",), ("p", "q"), ())
    spendings = [
        Spending(f"relay {number % 3}", None if number % 5 == 0 else number * 7 % 40, pools[number % 3])
        for number in range(40)
    ]
    assert await engine.spend(spendings[:30]) == [ledger.spend(spending) for spending in spendings[:30]]
    assert await engine.spend(spendings[20:]) == [ledger.spend(spending) for spending in spendings[20:]]


async def test_what_was_reported_is_kept_in_order_up_to_a_bound(engine: Engine) -> None:
    told = [Report(Result.FAILED, connect_ms=number) for number in range(EACH + 2)]
    for report in told:
        assert await engine.report("r.a.1", report, Once("a", f"c{report.connect_ms}"))
    (kept, none) = await engine.reports(["r.a.1", "r.b.1"])
    assert (list(kept), list(none)) == (told[2:], [])
