"""Both ends of the link over Redis: each hears all that the others say."""

from collections.abc import Iterator
from functools import partial
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
from tests.fairlead.link.ends import LIVING
from tests.redis_server import RedisServer
from tests.waiting import eventually


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    server = RedisServer(tmp_path)
    yield Remote(server.url, "test")
    server.kill()


class Relay:
    def __init__(self, remote: Remote) -> None:
        self.commands: list[Command] = []
        self.end = RemoteLinkServer(remote, self.commands.append, lambda: [LIVING])


async def test_every_turnd_hears_every_command_and_signal_api_every_event(remote: Remote) -> None:
    first, second = Relay(remote), Relay(remote)
    events: list[Event] = []
    api = RemoteLinkClient(remote, events.append, lambda: [Fence("r", FenceMode.LOG)])
    for relay in (first, second):
        await relay.end.start()
    api.start()
    await eventually(lambda: events.count(LIVING) >= 2)
    assert api.connected
    assert (first.end.connected, first.end.dropped, api.dropped) == (1, 0, 0)
    await eventually(lambda: Fence("r", FenceMode.LOG) in first.commands)
    first.commands.clear()
    second.commands.clear()

    second.end.publish(Allocated(7, "u", "udp", "192.0.2.1:1", "192.0.2.2:2"))
    await eventually(lambda: any(event.allocation == 7 for event in events if isinstance(event, Allocated)))
    commands: list[Command] = [Budget(7, "u", 100), End(EndBy.ALLOCATION, "7"), Revoke(RevokeBy.USER, "u")]
    for command in commands:
        api.send(command)
    for relay in (first, second):
        await eventually(partial(_has_heard, relay, commands[-1]))
        assert [command for command in relay.commands if not isinstance(command, Fence)] == commands

    first.end.publish(Draining(5))
    await eventually(lambda: events[-1] == Draining(5))
    for end in (first.end, second.end, api):
        await end.stop()


def _has_heard(relay: Relay, command: Command) -> bool:
    return command in relay.commands
