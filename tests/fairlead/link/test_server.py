import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from fairlead.config import SettingError
from fairlead.link import Draining, LinkServer
from fairlead.link.messages import VERSION, Hello, encode
from tests.fairlead.link.ends import LIVING, linked
from tests.waiting import eventually


def server(path: Path) -> LinkServer:
    return LinkServer(path, lambda command: None, list)


async def test_only_our_user_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    before = os.umask(0)
    os.umask(before)
    async with linked(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.umask(before) == before
    assert not path.exists()


async def test_who_connects_is_told_what_lives_and_then_what_happens(tmp_path: Path) -> None:
    async with linked(tmp_path / "link.sock") as ends:
        ends.server.publish(Draining(5))
        await eventually(lambda: ends.events == [LIVING, Draining(5)])


async def test_without_anybody_nothing_is_kept(tmp_path: Path) -> None:
    ends = server(tmp_path / "link.sock")
    await ends.start()
    for number in range(1000):
        ends.publish(Draining(number))
    assert (ends.connected, ends.dropped) == (0, 0)
    await ends.stop()
    await ends.stop()


@pytest.mark.parametrize(
    "lines", [b"nonsense\n", encode(Hello(9, "x")), encode(Hello(VERSION, "x")) + encode(Draining(1)), b""]
)
async def test_who_breaks_the_protocol_is_hung_up_on_and_the_others_are_not(tmp_path: Path, lines: bytes) -> None:
    path = tmp_path / "link.sock"
    async with linked(path) as ends, asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(lines)
        writer.write_eof()
        await reader.read()
        writer.close()
        ends.server.publish(Draining(1))
        await eventually(lambda: Draining(1) in ends.events)
        assert ends.server.connected == 1
        assert ends.commands == []


async def test_there_is_a_bound_to_connections(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    ends = server(path)
    await ends.start()
    opened = [await asyncio.open_unix_connection(path) for _ in range(128)]
    async with asyncio.timeout(20):
        for reader, _ in opened:
            await reader.readline()
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
    for _, other in [*opened, (reader, writer)]:
        other.close()
    await ends.stop()


async def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    async with linked(path) as ends:
        assert ends.server.connected == 1


async def test_a_socket_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    async with linked(path):
        with pytest.raises(SettingError, match=f"link.socket: {path} is in use by another process; stop it"):
            await server(path).start()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("file", "is there and no socket; write a path that is free"),
        ("none/link.sock", "there is no directory .*none; make it, owned by the daemon's user"),
        ("x" * 108, "is too long for a socket; write a path of at most 107 bytes"),
    ],
)
async def test_a_path_that_cannot_be_used(tmp_path: Path, name: str, wrong: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SettingError, match=wrong):
        await server(tmp_path / name).start()
    assert (tmp_path / "file").read_text() == "precious"


async def test_a_socket_that_was_removed_is_told_and_anothers_in_its_place_is_left(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    old, new = server(path), server(path)
    await old.start()
    assert old.state == "0 connected"
    path.rename(tmp_path / "away")
    assert f"{path} was removed, so that nobody else can: restart turnd" in old.state
    await new.start()
    await old.stop()
    assert path.exists()
    assert new.state == "0 connected"
    await new.stop()
    assert not path.exists()
