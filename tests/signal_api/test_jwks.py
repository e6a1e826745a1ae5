"""Keys that are published: what counts of a set, when it is fetched, and what holds while its server is away."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fairlead.config import ConfigError
from signal_api.config import JwksSettings
from signal_api.jwks import MAX_BYTES, MAX_KEYS, KeySource, read_key_set
from signal_api.policy import read_policy
from signal_api.protocol.authorization import Grants
from signal_api.protocol.peerjs import room_of
from signal_api.protocol.refusals import CloseCode
from tests.signal_api.service import Service
from tests.signal_api.worlds import ISSUER, ManualClock, configured

ALGORITHMS = ("RS256", "ES256", "EdDSA")
SIGNERS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def _jwk(algorithm: str, key_id: str | None, **more: Any) -> dict[str, Any]:
    written = jwt.get_algorithm_by_name(algorithm).to_jwk(SIGNERS[algorithm].public_key())
    row: dict[str, Any] = json.loads(written)
    return row | ({} if key_id is None else {"kid": key_id}) | more


def _set(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"keys": rows}).encode()


ALL = [_jwk(algorithm, f"key {algorithm}") for algorithm in ALGORITHMS]


def test_each_key_has_one_algorithm() -> None:
    keys = read_key_set(_set(*ALL), ALGORITHMS)
    assert {key.id: key.algorithm for key in keys.values()} == {f"key {name}": name for name in ALGORITHMS}
    assert read_key_set(_set(_jwk("RS256", "k", alg="PS256")), ("RS256", "PS256"))["k"].algorithm == "PS256"


_SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is weak is the point
_WEAK = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(_SHORT.public_key()))
_PRIVATE = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(SIGNERS["ES256"]))


@pytest.mark.parametrize(
    "row",
    [
        {"kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256"},
        _jwk("RS256", "k", alg="HS256"),
        _jwk("RS256", "k", alg="none"),
        _jwk("RS256", "k", use="enc"),
        _jwk("RS256", None),
        _jwk("RS256", "k", kid=7),
        _jwk("ES256", "k", crv="P-521"),
        _jwk("ES256", "k", x="AAAA"),
        _WEAK | {"kid": "k"},
        _PRIVATE | {"kid": "k"},
        {"kid": "k"},
    ],
)
def test_a_key_that_cannot_be_trusted_to_be_one_is_left_out(row: dict[str, Any]) -> None:
    assert list(read_key_set(_set(row, ALL[2]), (*ALGORITHMS, "HS256"))) == ["key EdDSA"]
    with pytest.raises(ValueError, match="no key in it"):
        read_key_set(_set(row), ALGORITHMS)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"keys": 7}', b"\xff", b"[" * 100000, _set(*ALL * MAX_KEYS)])
def test_what_is_no_key_set(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_key_set(text, ALGORITHMS)


class Provider:
    """An identity provider on a real socket."""

    def __init__(self) -> None:
        self.body = _set(*ALL)
        self.status = "200 OK"
        self.asked = 0
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/jwks.json"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + self.body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    running = Provider()
    await running.start()
    yield running
    await running.stop()


def _token(clock: ManualClock, algorithm: str, key_id: str, rooms: Sequence[str] = ("r",)) -> str:
    claims = {"iss": ISSUER, "aud": "signal", "sub": "ann", "exp": clock.now().wall + 60, "sig": {"rooms": rooms}}
    return jwt.encode(claims, SIGNERS[algorithm], algorithm, {"kid": key_id})


async def test_a_client_comes_in_by_a_key_that_was_published_a_moment_ago(provider: Provider) -> None:
    provider.body = _set(ALL[0])
    async with Service(jwt__keys=None, jwt__jwks={"url": provider.url}) as service:
        for algorithm in ALGORITHMS:
            provider.body = _set(*ALL)
            peer = await service.enter(token=_token(service.clock, algorithm, f"key {algorithm}"), rooms=["r"])
            assert (await peer.hear("joined"))["data"]["room"] == "r"
        assert provider.asked == 1
        opened = await service.http.post(
            "/v1/sessions", json={"v": 1, "token": _token(service.clock, "RS256", "key RS256")}
        )
        assert opened.status_code == 201
        ice = {"Authorization": f"Bearer {_token(service.clock, 'ES256', 'key ES256')}"}
        assert (await service.http.get("/v1/ice", headers=ice)).status_code == 200


async def test_until_a_key_set_was_had_nobody_is_sent_away_for_good(provider: Provider) -> None:
    await provider.stop()
    async with Service(jwt__keys=None, jwt__jwks={"url": provider.url}) as service:
        await service.hub.keep_keys()
        good = _token(service.clock, "RS256", "key RS256")
        refused = await service.http.post("/v1/sessions", json={"v": 1, "token": good})
        assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (
            503,
            "engine_unavailable",
            True,
        )
        ice = await service.http.get("/v1/ice", headers={"Authorization": f"Bearer {good}"})
        assert (ice.status_code, ice.headers["retry-after"]) == (503, "5")
        peer = await service.dial("/v1/ws")
        await peer.say("hello", data={"v": 1, "token": good})
        assert await peer.end() == CloseCode.ENGINE_UNAVAILABLE
        nonsense = await service.http.post("/v1/sessions", json={"v": 1, "token": "nonsense"})
        assert nonsense.status_code == 401
        await provider.start(int(provider.url.split(":")[2].partition("/")[0]))
        service.pass_time(5)
        await service.hub.settled()
        assert (await service.http.post("/v1/sessions", json={"v": 1, "token": good})).status_code == 201
        unknown = _token(service.clock, "RS256", "made up")
        assert (await service.http.post("/v1/sessions", json={"v": 1, "token": unknown})).status_code == 401


async def test_a_peerjs_client_comes_in_by_such_a_key_too(provider: Provider) -> None:
    provider.body = _set(ALL[0])
    async with Service(jwt__keys=None, jwt__jwks={"url": provider.url}, peerjs__open=True) as service:
        provider.body = _set(*ALL)
        token = _token(service.clock, "ES256", "key ES256", rooms=[room_of("peerjs")])
        peer = await service.dial(f"/peerjs?key=peerjs&id=ann&token={token}", subprotocols=None)
        async with asyncio.timeout(20):
            assert json.loads(await peer.socket.recv()) == {"type": "OPEN"}
        (client,) = service.hub.roster
        assert (client.grants.user, provider.asked) == ("ann", 1)
        other = await service.dial("/peerjs?key=peerjs&id=bob&token=a+text", subprotocols=None)
        async with asyncio.timeout(20):
            assert json.loads(await other.socket.recv()) == {"type": "OPEN"}
        assert provider.asked == 1, "a token of PeerJS's own names no key"


async def test_names_that_are_made_up_cause_few_requests(provider: Provider) -> None:
    async with Service(jwt__keys=None, jwt__jwks={"url": provider.url}) as service:
        for number in range(20):
            token = _token(service.clock, "RS256", f"made up {number}")
            reply = await service.http.post("/v1/sessions", json={"v": 1, "token": token})
            assert reply.status_code == 401
        assert provider.asked == 3
        service.pass_time(31)
        await service.http.post("/v1/sessions", json={"v": 1, "token": _token(service.clock, "RS256", "another")})
        assert provider.asked == 4


async def test_many_who_wait_for_one_key_cause_one_request(provider: Provider) -> None:
    keys, clock = KeySource({}, JwksSettings(url=provider.url)), ManualClock()
    await asyncio.gather(*(keys.look_for(_token(clock, "RS256", "key RS256"), clock) for _ in range(20)))
    assert provider.asked == 1
    assert set(keys) == {f"key {name}" for name in ALGORITHMS}


@pytest.mark.parametrize(
    "trouble", ["away", "500 Internal Server Error", "302 Found", "no set", "too large", "nothing to use"]
)
async def test_what_was_published_counts_while_the_provider_is_in_trouble(provider: Provider, trouble: str) -> None:
    keys = KeySource({}, JwksSettings(url=provider.url))
    await keys.refresh()
    if trouble == "away":
        await provider.stop()
    elif trouble[0].isdigit():
        provider.status = trouble
    else:
        provider.body = {"no set": b"<html>", "too large": b" " * (MAX_BYTES + 1), "nothing to use": _set()}[trouble]
    await keys.refresh()
    assert keys.totals == {("ok",): 1, ("failed",): 1}
    assert "key RS256" in keys


async def test_a_key_that_is_withdrawn_counts_no_longer(provider: Provider) -> None:
    keys = KeySource({}, JwksSettings(url=provider.url))
    await keys.refresh()
    provider.body = _set(ALL[1])
    await keys.refresh()
    assert list(keys) == ["key ES256"]


async def test_a_file_will_do_and_keys_of_the_configuration_come_first(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(_set(*ALL))
    policy = read_policy(configured(jwt__jwks={"file": str(path)}))
    assert policy.keys is not None
    assert list(policy.keys) == ["k1"]
    await policy.keys.refresh()
    assert set(policy.keys) == {"k1", *(f"key {name}" for name in ALGORITHMS)}
    assert len(policy.keys) == 4
    clock = ManualClock()
    admitted = policy.doorkeeper.admit(_token(clock, "EdDSA", "key EdDSA"), False, clock.now())
    assert isinstance(admitted, Grants)
    again = read_policy(configured(jwt__jwks={"file": str(path)}))
    assert again.keys is not None
    again.keys.take_over(policy.keys)
    assert len(again.keys) == 4


@pytest.mark.parametrize(
    ("jwks", "says"),
    [
        ({}, "give url, or file"),
        ({"url": "https://a.example/k", "file": "/k"}, "give url, or file"),
        ({"url": "http://login.example.org/jwks.json"}, "https://"),
        ({"url": "ftp://a"}, "https://"),
        ({"url": "https://a.example/k", "algorithms": ["HS256"]}, "algorithms"),
        ({"url": "https://a.example/k", "algorithms": []}, "algorithms"),
        ({"url": "https://a.example/k", "refresh": 1}, "refresh"),
    ],
)
def test_settings_that_are_wrong_are_named(jwks: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        configured(jwt__jwks=jwks)


def test_no_keys_at_all_let_nobody_in() -> None:
    with pytest.raises(ConfigError, match="no keys"):
        configured(jwt__keys=None)


def test_where_it_is_is_said_without_what_opens_it() -> None:
    settings = JwksSettings(url="https://us:pa%40ss@idp.example:8443/keys?token=hidden")
    assert settings.where == "https://idp.example:8443/keys"
