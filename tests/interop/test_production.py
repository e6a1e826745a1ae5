"""What docs/guide/in-production.md tells to set up serves browsers: its configuration, its proxy and its token."""

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import websockets
import yaml

from fairlead.datagram import Transport
from tests.certificates import self_signed
from tests.interop.guide import block
from tests.interop.proxy import Nginx
from tests.processes import PATIENCE, REALM, Daemon, Daemons
from tests.system.calls import Call
from tests.turn_client import Sockets

_SITE = "signal.example.org"
_KEY = "sixteen bytes and sixteen bytes."
#: Places of this machine, and peers on it, which the guide does not allow.
_HERE: dict[str, Any] = {
    "listen": ["udp://127.0.0.1:0"],
    "listen_tls": ["tls://127.0.0.1:0"],
    "ops": "127.0.0.1:0",
    "peers": {"allow": ["127.0.0.0/8"]},
}


class Site:
    """turnd and signal_api by the guide's configuration, behind its proxy."""

    def __init__(self, daemons: Daemons, folder: Path) -> None:
        self._folder = folder
        tls = self_signed(folder)
        places = {
            "realm: example.org": f"realm: {REALM}",
            "/run/secrets/turn": self._secret("turn", "a secret of thirty-two bytes, about"),
            "/run/secrets/jwt": self._secret("jwt", _KEY),
            "/etc/fairlead/tls.crt": str(tls.certificate),
            "/etc/fairlead/tls.key": str(tls.key),
            "/run/fairlead/link": str(folder / "link"),
            "127.0.0.1:8080": "127.0.0.1:0",
            "203.0.113.4": "127.0.0.1",
        }
        configuration = yaml.safe_load(block("yaml", places))
        configuration["turnd"] |= _HERE
        configuration["turnd"]["relay"]["address"] = ["127.0.0.1"]
        configuration["signal_api"]["ops"] = "127.0.0.1:0"
        self.turnd = daemons.turnd(configuration)
        self.signal_api = self._signal_api(daemons, configuration)
        self.nginx = Nginx(self.signal_api.address("http"), folder)
        daemons.keep(self.nginx.stop)

    def _secret(self, name: str, value: str) -> str:
        path = self._folder / name
        path.write_text(value + "\n")
        return str(path)

    @staticmethod
    def _signal_api(daemons: Daemons, configuration: dict[str, Any]) -> Daemon:
        daemon = daemons.start("signal_api", configuration)
        daemon.await_ready()
        return daemon

    def browser(self, host: str = _SITE, origin: str = f"https://{_SITE}") -> httpx.Client:
        headers = {"Host": host, "Origin": origin, "Authorization": f"Bearer {token()}"}
        return httpx.Client(base_url=self.nginx.url, verify=False, headers=headers, timeout=PATIENCE)  # noqa: S501 - it is ours


def token() -> str:
    """What the guide's back end makes."""
    names: dict[str, Any] = {"jwt": jwt, "time": time, "key": _KEY}
    exec(block("python", {}), names)  # noqa: S102 - our own page
    return str(names["token"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with contextlib.closing(Daemons(folder)) as daemons:
        yield Site(daemons, folder)


def test_a_page_gets_servers_that_relay(site: Site, sockets: Sockets) -> None:
    with site.browser() as browser:
        assert browser.get("/").status_code == 200
        reply = browser.get("/v1/ice")
    assert reply.status_code == 200, reply.text
    (servers,) = [row for row in reply.json()["iceServers"] if "username" in row]
    assert {url.partition("?")[0] for url in servers["urls"]} == {
        "turn:turn.example.org:3478",
        "turns:turn.example.org:5349",
    }
    credential = servers["username"], servers["credential"]
    Call(site.turnd, sockets, Transport.UDP, credential)  # data passes, both ways


async def test_a_page_has_its_websocket(site: Site) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with websockets.connect(
        f"wss://{_SITE}/v1/ws",
        host="127.0.0.1",
        port=site.nginx.port,
        ssl=trusting,
        origin=websockets.Origin(f"https://{_SITE}"),
        subprotocols=[websockets.Subprotocol("sig.v1")],
    ) as socket:
        await socket.send(json.dumps({"type": "hello", "data": {"v": 1, "token": token(), "rooms": ["lesson-7"]}}))
        heard = [json.loads(await socket.recv())["type"] for _ in range(2)]
    assert heard == ["welcome", "joined"]


def test_another_name_and_another_page_are_refused_with_the_remedy(site: Site) -> None:
    with site.browser(host="other.example.org") as browser:
        reply = browser.get("/v1/ice")
        assert (reply.status_code, "signal_api.hosts" in reply.text) == (421, True)
    with site.browser(origin="https://app.example.org") as browser:
        reply = browser.get("/v1/ice")
        assert (reply.status_code, "signal_api.origins" in reply.text) == (403, True)
