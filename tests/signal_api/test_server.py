"""The daemon in its runtime's hands: start, reload, drain, stop, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from websockets.asyncio.client import connect
from websockets.typing import Origin

from fairlead.config import SettingError
from fairlead.daemon import Context, SystemClock
from fairlead.metrics import Metrics
from signal_api.server import SignalApi, open_sockets
from tests.processes import PATIENCE
from tests.redis_server import RedisServer
from tests.signal_api.worlds import DEFAULTS, ISSUER, JOIN_KEY, configured


@pytest.fixture
async def daemon() -> AsyncIterator[SignalApi]:
    running = SignalApi()
    await running.start(configured(), Context(Metrics("signal"), SystemClock()))
    yield running
    await running.stop()


async def _ask(daemon: SignalApi, key: str = JOIN_KEY) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://{daemon.addresses[0]}", trust_env=False, timeout=PATIENCE) as client:
        return await client.get("/v1/ice", headers={"Authorization": f"Bearer {key}"})


async def test_it_answers_where_it_says(daemon: SignalApi) -> None:
    reply = await _ask(daemon)
    assert reply.status_code == 200
    assert "server" not in reply.headers
    assert await daemon.readiness() == ()


async def test_the_api_is_described_before_anybody_asks(daemon: SignalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr("fastapi.applications.get_openapi", made.append)
    async with httpx.AsyncClient(base_url=f"http://{daemon.addresses[0]}", trust_env=False, timeout=PATIENCE) as client:
        assert (await client.put("/v1/ice")).headers["allow"] == "GET, POST"
        assert (await client.get("/v1/openapi.json")).json()["paths"]
    assert made == []


async def test_a_reload_changes_who_is_let_in(daemon: SignalApi) -> None:
    other = "another-key-0123456789"
    assert (await _ask(daemon, other)).status_code == 401
    await daemon.reload(configured(join_key=other))
    assert (await _ask(daemon, other)).status_code == 200
    assert (await _ask(daemon)).status_code == 401


@pytest.mark.parametrize(
    "keys",
    [
        {"listen": "127.0.0.1:1"},
        {"trusted_proxies": ["127.0.0.1"]},
        {"fence": "log"},
        {"limits__frame_bytes": 1048576},
        {"jwt": None, "join_key": None},
    ],
)
async def test_a_reload_that_cannot_be_changes_nothing(daemon: SignalApi, keys: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        await daemon.reload(configured(**keys))
    assert (await _ask(daemon)).status_code == 200


async def test_a_reload_cannot_change_the_link(daemon: SignalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__LINK__SOCKET", "/run/elsewhere")
    with pytest.raises(SettingError) as caught:
        await daemon.reload(configured())
    assert caught.value.key == ("link",)


async def test_drain_and_stop_before_anything_was_started() -> None:
    daemon = SignalApi()
    await daemon.drain()
    await daemon.stop()


async def test_an_idle_daemon_drains_at_once(daemon: SignalApi) -> None:
    await asyncio.wait_for(daemon.drain(), 5)


@pytest.mark.parametrize(
    ("trusted", "source"), [(["127.0.0.1"], b"\xc6\x33\x64\x07"), ([], b"\x7f\x00\x00\x01")], ids=["trusted", "not"]
)
async def test_a_proxy_is_believed_only_when_it_is_configured(trusted: list[str], source: bytes) -> None:
    daemon = SignalApi()
    await daemon.start(configured(trusted_proxies=trusted), Context(Metrics("signal"), SystemClock()))
    try:
        authority = str(daemon.addresses[0])
        headers = {"X-Forwarded-For": "198.51.100.7"}
        origin = Origin(f"http://{authority}")
        async with connect(f"ws://{authority}/v1/ws", origin=origin, additional_headers=headers, proxy=None) as socket:
            await socket.send(json.dumps({"type": "hello", "data": {"v": 1, "token": JOIN_KEY}}))
            assert json.loads(await socket.recv())["type"] == "welcome"
            assert daemon.app is not None
            (client,) = daemon.app.hub.roster
            assert client.visitor.source == source
    finally:
        await daemon.stop()


@pytest.mark.requires("redis-server")
async def test_where_redis_lets_nobody_in_it_does_not_start(one_redis: RedisServer) -> None:
    url = f"redis://nobody:secret-0123@127.0.0.1:{one_redis.port}/0"
    daemon = SignalApi()
    with pytest.raises(SettingError) as caught:
        await daemon.start(configured(engine={"kind": "redis", "url": url}), Context(Metrics("signal"), SystemClock()))
    await daemon.stop()
    assert caught.value.key == ("signal_api", "engine", "url")
    assert "refuses" in str(caught.value)
    assert "secret-0123" not in str(caught.value)


def test_a_listener_keeps_little_for_who_does_not_read() -> None:
    (listening,) = open_sockets(configured())
    with listening:
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 131072
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30000


async def test_the_link_is_a_gauge(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__LINK__SOCKET", f"{tmp_path}/link")
    metrics = Metrics("signal")
    daemon = SignalApi()
    await daemon.start(configured(), Context(metrics, SystemClock()))
    assert "signal_turn_link_connected 0.0" in metrics.expose()[1].decode()
    await daemon.stop()


async def test_published_keys_are_there_from_the_start_and_survive_a_reload(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    signer = ed25519.Ed25519PrivateKey.generate()
    row = json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(signer.public_key())) | {"kid": "published"}
    path.write_text(json.dumps({"keys": [row]}))
    daemon, settings = SignalApi(), {"jwt__jwks": {"file": str(path)}}
    await daemon.start(configured(**settings), Context(Metrics("signal"), SystemClock()))
    try:
        token = jwt.encode(_claims(), signer, "EdDSA", {"kid": "published"})
        assert (await _ask(daemon, token)).status_code == 200
        path.unlink()
        await daemon.reload(configured(limits__sessions=7, **settings))
        assert (await _ask(daemon, token)).status_code == 200
        await daemon.reload(configured())
        assert (await _ask(daemon, token)).status_code == 401
    finally:
        await daemon.stop()


async def test_it_is_not_ready_before_it_has_had_its_key_set(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    row = jwt.get_algorithm_by_name("EdDSA").to_jwk(ed25519.Ed25519PrivateKey.generate().public_key())
    daemon = SignalApi()
    await daemon.start(configured(jwt__jwks={"file": str(path)}), Context(Metrics("signal"), SystemClock()))
    try:
        assert await daemon.readiness() == (f"the key set was not had yet, from {path}",)
        path.write_text(json.dumps({"keys": [json.loads(row) | {"kid": "published"}]}))
        assert daemon.app is not None
        await daemon.app.hub.keep_keys()
        assert await daemon.readiness() == ()
        path.unlink()
        await daemon.app.hub.keep_keys()
        assert await daemon.readiness() == (), "what was published goes on counting"
    finally:
        await daemon.stop()


def _claims() -> dict[str, object]:
    return {"iss": ISSUER, "aud": "signal", "sub": "ann", "exp": SystemClock().now().wall + 60}
