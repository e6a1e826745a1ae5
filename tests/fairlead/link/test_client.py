import asyncio
from pathlib import Path

import pytest

from fairlead.link import Draining, End, EndBy, LinkServer, Revoke, RevokeBy
from fairlead.link import client as module
from tests.fairlead.link.ends import LIVING, Ends, linked
from tests.waiting import eventually

REVOKE = Revoke(RevokeBy.USER, "u")


async def test_commands_arrive(tmp_path: Path) -> None:
    async with linked(tmp_path / "link.sock") as ends:
        ends.client.send(REVOKE)
        ends.client.send(End(EndBy.ROOM, "r", "closed"))
        await eventually(lambda: ends.commands == [REVOKE, End(EndBy.ROOM, "r", "closed")])


async def test_a_command_waits_for_a_connection(tmp_path: Path) -> None:
    ends = Ends(tmp_path / "link.sock")
    ends.client.start()
    ends.client.send(REVOKE)
    await asyncio.sleep(0.05)
    assert not ends.client.connected
    await ends.server.start()
    await eventually(lambda: ends.commands == [REVOKE])
    await ends.client.stop()
    await ends.server.stop()
    assert not ends.client.connected


async def test_it_connects_again_and_is_told_anew_what_lives(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    async with linked(path) as ends:
        await eventually(lambda: ends.events == [LIVING])
        await ends.server.stop()
        await eventually(lambda: not ends.client.connected)
        ends.client.send(REVOKE)
        await ends.server.start()
        await eventually(lambda: ends.commands == [REVOKE])
        assert ends.events == [LIVING, LIVING]


async def test_the_queue_of_commands_has_a_bound(tmp_path: Path) -> None:
    ends = Ends(tmp_path / "link.sock")
    for number in range(module._OUTBOX + 10):
        ends.client.send(Revoke(RevokeBy.USER, str(number)))
    assert ends.client.dropped == 10
    ends.client.start()
    await ends.server.start()
    await eventually(lambda: len(ends.commands) == module._OUTBOX)
    assert ends.commands[0] == Revoke(RevokeBy.USER, "10")
    await ends.client.stop()
    await ends.server.stop()


async def test_it_tries_less_and_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pass_over(seconds: float) -> None:
        """A clock that goes on as soon as somebody waits for it."""
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pass_over)
    ends = Ends(tmp_path / "link.sock")
    ends.client.start()
    while len(pauses) < 8:
        await sleep(0)
    await ends.client.stop()
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_an_end_that_is_no_turnd_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_DELAY", 0.02)
    path = tmp_path / "link.sock"
    seen = 0

    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.write(b"hello?\n")
        writer.close()

    ends = Ends(path)
    async with await asyncio.start_unix_server(chatter, path):
        ends.client.start()
        await eventually(lambda: seen >= 2)
        assert not ends.client.connected
    path.unlink()
    await ends.server.start()
    await eventually(lambda: ends.client.connected)
    await ends.client.stop()
    await ends.server.stop()


async def test_an_event_that_is_none_ends_the_connection(tmp_path: Path) -> None:
    ends = Ends(tmp_path / "link.sock")
    wrong = LinkServer(tmp_path / "wrong.sock", ends.commands.append, lambda: [Draining(1)])
    await wrong.start()
    client = module.LinkClient(tmp_path / "wrong.sock", ends.events.append)
    client.start()
    await eventually(lambda: ends.events == [Draining(1)])
    wrong.publish(REVOKE)  # type: ignore[arg-type]  # what no turnd does
    await eventually(lambda: len(ends.events) == 2)
    assert ends.events == [Draining(1), Draining(1)]
    await client.stop()
    await wrong.stop()


async def test_what_stands_is_said_whenever_a_connection_is_made_however_much_it_is(tmp_path: Path) -> None:
    """More on either side than the outboxes and the socket hold: nobody waits for the other to listen first."""
    ends = Ends(tmp_path / "link.sock")
    ends.standing = [Revoke(RevokeBy.USER, str(number)) for number in range(2 * module._OUTBOX)]
    ends.living = [LIVING] * (2 * module._OUTBOX)
    await ends.server.start()
    ends.client.start()
    await eventually(lambda: ends.commands == ends.standing)
    await eventually(lambda: ends.events == ends.living)
    await ends.server.stop()
    await eventually(lambda: not ends.client.connected)
    await ends.server.start()
    await eventually(lambda: ends.commands == ends.standing * 2)
    assert (ends.client.dropped, ends.server.dropped) == (0, 0)
    await ends.client.stop()
    await ends.server.stop()
