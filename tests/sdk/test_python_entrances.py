"""Where the Python client goes when its server drains."""

import asyncio

import pytest

from fairlead_client import Session
from fairlead_client.entrances import Entrances
from tests.sdk.clients import WAIT
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually


def test_what_is_named_comes_first_and_what_drains_comes_last() -> None:
    entrances = Entrances("https://a.example/behind")
    entrances.leave(["https://a.example", "https://c.example", "https://b.example"], iter([0.7, 0.3]).__next__)
    met = []
    for _ in range(4):
        met.append(entrances.current)
        entrances.next()
    assert met == ["https://b.example", "https://c.example", "https://a.example/behind", "https://b.example"]


def test_home_is_remembered_however_often_one_moves() -> None:
    entrances = Entrances("http://a.example")
    for name in "bcdef":
        entrances.leave([f"http://{name}.example"], lambda: 0.0)
    assert entrances.current == "http://f.example"
    entrances.next()
    entrances.next()
    assert entrances.current == "http://a.example"


@pytest.mark.parametrize(
    "named", [None, "https://b.example", ["http://b.example", "b.example", 7, "https://[b", ""], []]
)
def test_what_names_no_entrance_that_is_as_secure_changes_nothing(named: object) -> None:
    entrances = Entrances("https://a.example")
    entrances.leave(named, lambda: 0.0)
    entrances.next()
    assert entrances.current == "https://a.example"


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_who_is_drained_goes_on_at_the_other_server(service: Service, transport: str) -> None:
    async with Service(alternatives=[f"http://{service.authority}"]) as drained:
        await drained.start()
        async with asyncio.timeout(WAIT), Session(f"http://{drained.authority}", JOIN_KEY, [transport]) as session:
            (client,) = drained.hub.roster
            await eventually(lambda: getattr(client.connection, "is_polled", True))
            await drained.hub.drain(0)
            await eventually(service.hub.roster.connected)
            assert (await session.request("ping")).type in ("pong", "ok")
