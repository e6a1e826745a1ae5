"""A node dies with all that it knew: what its members may relay ends all the same, and not before its time."""

from pathlib import Path
from typing import Any

import pytest

from tests.processes import Daemons
from tests.redis_server import RedisServer
from tests.system.members import Member, Pair
from tests.turn_client import Sockets

pytestmark = pytest.mark.requires("redis-server")

#: seconds for which a session may come back; the dead node's are found after six
_LINGER = 4


def test_what_a_dead_node_has_forgotten_ends_when_nobody_can_come_back(
    daemons: Daemons, sockets: Sockets, redis_server: RedisServer, tmp_path: Path
) -> None:
    own: dict[str, Any] = {
        "engine": {"kind": "redis", "url": redis_server.url},
        "times": {"presence_grace": 1, "session_linger": _LINGER},
    }
    pair = Pair(daemons, tmp_path, signal_api=own, redis=redis_server.url)
    other = pair.another_node(daemons, own)
    dead, stays = Member(pair, sockets, "r"), Member(pair, sockets, "r", at=other)
    pair.signal_api.is_expected_to_fail = True
    pair.signal_api.kill()
    dead.call.assert_goes_on()
    left = stays.session.hear("member.left")["data"]["members"]
    assert [(member["id"], member["reason"]) for member in left] == [(dead.joined["self"]["id"], "timeout")]
    dead.call.assert_goes_on()
    pair.turnd.await_record("revoked")
    dead.call.assert_is_cut(counted=2)
    assert dead.another().allocate().code == 401
    stays.call.assert_goes_on()
    assert stays.another().allocate().code == 0
