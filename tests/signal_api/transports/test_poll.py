"""Long polls on real sockets: what they return, how long they wait, and who ends them."""

import asyncio

import pytest

from signal_api.protocol.refusals import CloseCode
from signal_api.transports.poll import Mailbox
from tests.signal_api.service import Service
from tests.signal_api.transports.web import Web, web
from tests.waiting import eventually


async def _waiting(service: Service, session: Web) -> None:
    """Until the server holds a poll."""

    def is_polled() -> bool:
        client = service.hub.roster.get(session.welcome["sid"])
        mailbox = client.connection if client is not None else None
        return isinstance(mailbox, Mailbox) and mailbox.is_polled

    await eventually(is_polled)


async def test_what_is_there_is_taken_at_once(session: Web) -> None:
    batch = await session.poll()
    assert [event["type"] for event in batch["events"]] == ["welcome", "joined"]
    assert (batch["next"], batch["more"]) == (session.at(2), False)
    part = await session.poll(after=session.at(0), max=1)
    assert ([event["seq"] for event in part["events"]], part["next"], part["more"]) == ([1], session.at(1), True)


async def test_an_empty_poll_ends_when_its_time_is_over(service: Service, session: Web) -> None:
    assert await session.poll(after=session.at(2), wait=0) == {"events": [], "next": session.at(2), "more": False}
    poll = asyncio.create_task(session.poll(after=session.at(2), wait=5))
    await _waiting(service, session)
    service.pass_time(5)
    assert await poll == {"events": [], "next": session.at(2), "more": False}


async def test_news_end_a_poll(service: Service, session: Web) -> None:
    poll = asyncio.create_task(session.poll(after=session.at(2)))
    await _waiting(service, session)
    async with web(service, rooms=["r"]) as other:
        service.pass_time(0.1)
        batch = await poll
        assert [event["type"] for event in batch["events"]] == ["member.joined"]
        await other.post({"type": "message", "room": "r", "to": "*", "data": 1})
        assert [event["data"] for event in (await session.poll(after=batch["next"]))["events"]] == [1]


async def test_a_newer_poll_supersedes_the_older(service: Service, session: Web) -> None:
    older = asyncio.create_task(session.poll(after=session.at(2)))
    await _waiting(service, session)
    newer = asyncio.create_task(session.poll(after=session.at(2), wait=3))
    assert await older == {"events": [], "next": session.at(2), "more": False, "superseded": True}
    await _waiting(service, session)
    service.pass_time(3)
    assert "superseded" not in await newer


async def test_a_position_acknowledges_and_what_is_gone_begins_anew(session: Web) -> None:
    await session.poll(after=session.at(2), wait=0)
    batch = await session.poll(after=session.at(1), wait=0)
    welcome, joined = batch["events"]
    assert (welcome["seq"], welcome["data"]["resumed"], welcome["data"]["reason"]) == (1, False, "gap")
    assert (joined["seq"], joined["type"]) == (2, "joined")
    assert batch["next"] == f"{welcome['data']['epoch']}.2"


async def test_a_session_without_polls_is_detached_and_its_room_told_after_the_grace(service: Service) -> None:
    async with web(service, rooms=["r"]) as watched:
        client = service.hub.roster.get(watched.welcome["sid"])
        assert client is not None
        service.pass_time(25)
        service.pass_time(9.9)
        assert client.connection is not None
        service.pass_time(0.1)
        assert client.connection is None
        assert client.session.rooms["r"].present
        service.pass_time(10)
        await service.hub.settled()
        assert not client.session.rooms["r"].present
        batch = await watched.poll(after=watched.at(2), wait=0)
        assert [event["type"] for event in batch["events"]] == ["welcome", "joined"]
        assert batch["events"][0]["data"]["resumed"]


async def test_polls_are_a_sign_of_life(service: Service, session: Web) -> None:
    after = (await session.poll())["next"]
    for _ in range(4):
        poll = asyncio.create_task(session.poll(after=after))
        await _waiting(service, session)
        service.pass_time(25)
        assert [event["type"] for event in (await poll)["events"]] in ([], ["ping"])
        await session.poll(after=after, wait=0)
        service.pass_time(10)
    client = service.hub.roster.get(session.welcome["sid"])
    assert client is not None
    assert client.connection is not None


async def test_a_websocket_takes_over_from_a_poll_and_back(service: Service, session: Web) -> None:
    poll = asyncio.create_task(session.poll(after=session.at(2)))
    await _waiting(service, session)
    resume = {"sid": session.welcome["sid"], "key": session.welcome["key"], "after": session.at(2)}
    peer = await service.enter(resume=resume)
    assert (await peer.hear("welcome"))["data"]["resumed"]
    (close,) = (await poll)["events"]
    assert (close["type"], close["data"]["code"]) == ("close", CloseCode.REPLACED)
    back = await session.poll(after=session.at(2), wait=0)
    assert [event["data"]["resumed"] for event in back["events"]] == [True]
    assert await peer.end() == CloseCode.REPLACED


async def test_a_client_that_goes_takes_nothing_with_it(service: Service, session: Web) -> None:
    poll = asyncio.create_task(session.poll(after=session.at(2)))
    await _waiting(service, session)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    async with web(service, rooms=["r"]):
        service.pass_time(0.1)
        batch = await session.poll(after=session.at(2))
        assert [event["type"] for event in batch["events"]] == ["member.joined"]


@pytest.mark.parametrize("query", [{"wait": "31"}, {"wait": "-1"}, {"wait": "x"}, {"max": "257"}, {"max": "٣"}])
async def test_what_a_poll_may_not_ask(session: Web, query: dict[str, str]) -> None:
    reply = await session.http.get(f"{session.path}/events", headers=session.key, params=query)
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")


async def test_polls_have_a_rate() -> None:
    async with Service(limits__frame_burst=2, limits__frames_per_second=1) as service, web(service) as session:
        for _ in range(2):
            await session.poll(wait=0)
        reply = await session.http.get(f"{session.path}/events", headers=session.key)
        assert (reply.status_code, reply.json()["retryable"]) == (429, True)
        assert service.instruments.rate_limited["polls",] == 1
