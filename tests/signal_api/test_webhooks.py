"""Events reach a real back end, signed, at least once, and one that is dead costs nobody anything."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from signal_api import webhooks as module
from signal_api.webhooks import Endpoint, Webhooks, signing_key
from tests.processes import PATIENCE
from tests.signal_api.dice import dice
from tests.signal_api.receiver import Receiver
from tests.signal_api.worlds import ManualClock
from tests.waiting import eventually

KEY = b"a key that nobody else has"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(module, "_LAST_WORDS", PATIENCE)


@asynccontextmanager
async def _telling(*endpoints: Endpoint) -> AsyncIterator[tuple[Webhooks, Counter[str]]]:
    counted: Counter[str] = Counter()
    webhooks = Webhooks(ManualClock(), dice(), lambda result: counted.update([result]))
    webhooks.start(endpoints)
    try:
        yield webhooks, counted
    finally:
        await webhooks.stop()


async def test_an_event_is_signed_so_that_others_can_check_it() -> None:
    async with Receiver() as receiver, _telling(Endpoint(receiver.url, KEY)) as (webhooks, counted):
        webhooks.tell("room.created", {"room": "r"})
        webhooks.tell("room.closed", {"room": "r"})
        first, second = await receiver.next(), await receiver.next()
        assert first.event == {"type": "room.created", "timestamp": 1_763_795_100_000, "data": {"room": "r"}}
        assert second.event["type"] == "room.closed"
        headers = first.headers
        assert headers["webhook-id"] != second.headers["webhook-id"]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + first.body
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        await eventually(lambda: counted["delivered"] == 2)


async def test_what_is_not_taken_comes_again_under_the_same_id() -> None:
    async with Receiver(500, 0, 200) as receiver, _telling(Endpoint(receiver.url, KEY)) as (webhooks, counted):
        webhooks.tell("report", {})
        tries = [await receiver.next() for _ in range(3)]
        assert len({delivery.headers["webhook-id"] for delivery in tries}) == 1
        await eventually(lambda: counted == {"retried": 2, "delivered": 1})


@pytest.mark.parametrize(("answer", "tries"), [(503, 3), (429, 3), (400, 1), (302, 1), (410, 1)])
async def test_attempts_have_an_end_and_the_next_event_its_turn(answer: int, tries: int) -> None:
    answers = [answer] * tries + [200]
    async with Receiver(*answers) as receiver, _telling(Endpoint(receiver.url, KEY)) as (webhooks, counted):
        webhooks.tell("room.created", {})
        webhooks.tell("room.closed", {})
        heard = [(await receiver.next()).event["type"] for _ in range(tries + 1)]
        assert heard == ["room.created"] * tries + ["room.closed"]
        await eventually(lambda: counted["delivered"] == 1)
        assert (counted["failed"], counted["retried"]) == (1, tries - 1)


async def test_an_answer_that_does_not_end_keeps_no_event_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWERING", 0.05)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b".")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(100), 0.02)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with _telling(Endpoint(url, KEY)) as (webhooks, counted):
            for _ in range(2):
                webhooks.tell("report", {})
            await eventually(lambda: counted == {"delivered": 2})


async def test_a_dead_back_end_costs_a_queue_of_its_own_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE", 10)
    monkeypatch.setattr(module, "_LAST_WORDS", 0.2)
    monkeypatch.setattr(module, "PAUSES", (60.0,))
    dead = Endpoint("http://127.0.0.1:9/", KEY)
    async with Receiver() as receiver, _telling(dead, Endpoint(receiver.url, KEY)) as (webhooks, counted):
        for number in range(30):
            webhooks.tell("report", {"number": number})
            assert (await receiver.next()).event["data"] == {"number": number}
        await eventually(lambda: counted["delivered"] == 30)
        assert webhooks.waiting() == 10
        assert counted["dropped"] == 20


async def test_a_back_end_may_choose() -> None:
    async with Receiver() as receiver:
        endpoint = Endpoint(receiver.url, KEY, frozenset({"room.closed"}))
        async with _telling(endpoint) as (webhooks, _):
            webhooks.tell("room.created", {})
            webhooks.tell("room.closed", {})
            assert (await receiver.next()).event["type"] == "room.closed"


async def test_the_last_events_are_still_sent() -> None:
    async with Receiver() as receiver:
        async with _telling(Endpoint(receiver.url, KEY)) as (webhooks, _):
            for _number in range(5):
                webhooks.tell("report", {})
        assert receiver.taken.qsize() == 5


async def test_without_back_ends_nothing_is_kept() -> None:
    async with _telling() as (webhooks, _):
        webhooks.tell("report", {})
        assert not webhooks
        assert webhooks.waiting() == 0


def test_secrets_may_be_written_as_receivers_write_them() -> None:
    assert signing_key("whsec_" + base64.b64encode(b"1234").decode()) == b"1234"
    assert signing_key("plain text") == b"plain text"
    with pytest.raises(ValueError):
        signing_key("whsec_***")


async def test_a_password_in_the_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver(400) as receiver:
        url = receiver.url.replace("http://", "http://user:hidden@")
        async with _telling(Endpoint(url, KEY)) as (webhooks, counted):
            webhooks.tell("report", {})
            await eventually(lambda: counted["failed"] == 1)
    assert "a webhook is not taken" in caplog.text
    assert "hidden" not in caplog.text
