"""Both ends of the link over Redis: several turnds number their own allocations, and each knows its own again."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.link import (
    Allocated,
    Budget,
    Command,
    Draining,
    End,
    EndBy,
    Event,
    Fence,
    FenceMode,
    Remote,
    RemoteLinkClient,
    RemoteLinkServer,
    Revoke,
    RevokeBy,
)
from fairlead.link.remote import _SPAN
from tests.fairlead.link.ends import LIVING, until
from tests.redis_server import RedisServer

_numbers = itertools.count(1)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    server = RedisServer(tmp_path)
    yield Remote(server.url, "test")
    server.kill()


class Relay:
    def __init__(self, remote: Remote) -> None:
        self.commands: list[Command] = []
        number = next(_numbers)
        self.end = RemoteLinkServer(remote, self.commands.append, lambda: [LIVING], lambda size: bytes([number] * size))


async def test_each_turnd_takes_what_concerns_its_own_allocations(remote: Remote) -> None:
    first, second = Relay(remote), Relay(remote)
    events: list[Event] = []
    api = RemoteLinkClient(remote, events.append, lambda: [Fence("r", FenceMode.LOG)])
    for relay in (first, second):
        await relay.end.start()
    api.start()
    await until(lambda: len({event.allocation for event in events if isinstance(event, Allocated)}) == 2)
    assert api.connected
    assert (first.end.connected, first.end.dropped, api.dropped) == (1, 0, 0)
    await until(lambda: Fence("r", FenceMode.LOG) in first.commands)
    first.commands.clear()
    second.commands.clear()

    second.end.publish(Allocated(7, "u", "udp", "192.0.2.1:1", "192.0.2.2:2"))
    await until(lambda: any(event.allocation % _SPAN == 7 for event in events if isinstance(event, Allocated)))
    seen = next(e.allocation for e in events if isinstance(e, Allocated) and e.allocation % _SPAN == 7)
    api.send(Budget(seen, "u", 100))
    api.send(End(EndBy.ALLOCATION, str(seen)))
    api.send(Revoke(RevokeBy.USER, "u"))
    await until(lambda: Revoke(RevokeBy.USER, "u") in second.commands and Revoke(RevokeBy.USER, "u") in first.commands)
    heard = [command for command in second.commands if not isinstance(command, Fence)]
    assert heard == [Budget(7, "u", 100), End(EndBy.ALLOCATION, "7"), Revoke(RevokeBy.USER, "u")]
    for command in first.commands:
        assert not isinstance(command, Budget) or command.allocation != 7
        assert not isinstance(command, End) or command.value != "7"

    first.end.publish(Draining(5))
    await until(lambda: events[-1] == Draining(5))
    for end in (first.end, second.end, api):
        await end.stop()
