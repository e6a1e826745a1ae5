"""Several processes of one service."""

import os
import signal

import httpx
import pytest

from fairlead.datagram import Address
from signal_api.workers import VARIABLE, environment_of
from tests.processes import AUTH, JOIN_KEY, Configuration, Daemons, wait_for
from tests.redis_server import RedisServer


def test_a_worker_has_the_listener_of_all_and_an_ops_port_of_its_own() -> None:
    told = environment_of(2, {"HOME": "/", "NOTIFY_SOCKET": "@x"}, "*:8080", Address("127.0.0.1", 9480))
    assert told == {
        "HOME": "/",
        VARIABLE: "2",
        "FAIRLEAD__SIGNAL_API__LISTEN": "*:8080",
        "FAIRLEAD__SIGNAL_API__OPS": "127.0.0.1:9482",
    }
    assert environment_of(1, {}, "*:1", Address("::1", 0))["FAIRLEAD__SIGNAL_API__OPS"] == "[::1]:0"


def _configuration(server: RedisServer, prefix: str, **keys: object) -> Configuration:
    engine = {"kind": "redis", "url": server.url, "prefix": prefix}
    section = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "join_key": JOIN_KEY, "engine": engine, "workers": 2}
    return {"auth": AUTH, "signal_api": section | keys}


@pytest.mark.requires("redis-server")
def test_workers_share_a_port_are_started_again_and_go_together(
    daemons: Daemons, one_redis: RedisServer, redis_prefix: str
) -> None:
    daemon = daemons.start("signal_api", _configuration(one_redis, redis_prefix))
    daemon.expected_errors = ("a worker has ended by itself and is started again",)
    daemon.await_ready()
    daemon.await_record("ready", 2)
    first, second = ({record["on"] for record in daemon.records("listening")[i : i + 1]} for i in (0, 1))
    assert first == second
    url = f"{first.pop()}/v1/info"
    answers = [httpx.get(url, timeout=20).status_code for _ in range(20)]
    assert answers == [200] * 20
    worker = _children(daemon.pid)[0]
    wait_for("both in Redis", lambda: _nodes(one_redis, redis_prefix) == 2 or None)
    os.kill(worker, signal.SIGKILL)
    daemon.await_record("a worker has ended by itself and is started again")
    daemon.await_record("ready", 3)
    daemon.signal(signal.SIGTERM)
    assert daemon.exit_code() == 0
    assert _children(daemon.pid) == []


def test_several_workers_need_more_than_memory(daemons: Daemons) -> None:
    section = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "join_key": JOIN_KEY, "workers": 2}
    code, output = daemons.fail("signal_api", {"auth": AUTH, "signal_api": section})
    assert code == 2
    assert "set engine.kind to redis, or workers to 1" in output


def _nodes(server: RedisServer, prefix: str) -> int:
    return int(server.command("HLEN", f"{prefix}:nodes")[1:-2])


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []
