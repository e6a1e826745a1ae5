"""The TypeScript client: built as its users build it, its own tests, and its example between two Chromium tabs."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page

from fairlead.datagram import Transport
from tests.architecture.house import ROOT
from tests.interop.site import served
from tests.interop.tabs import WAIT, run
from tests.npm import installed
from tests.processes import AUTH, JOIN_KEY, Daemon, Daemons, wait_for
from tests.skipping import require_program

SDK = ROOT / "sdk" / "js"

#: A session in a room, and what it hears of the others.
_JOIN = """async ([server, token, transports]) => {
    const { connect } = await import("/fairlead-client/index.js");
    const Dialled = window.WebSocket;
    window.sockets = [];
    window.WebSocket = class extends Dialled {
        constructor(...how) { super(...how); sockets.push(this); }
    };
    window.client = await connect(server, { token, transports });
    window.room = await client.join("quiet");
    window.heard = [];
    window.statuses = [];
    room.on("message", ({ data }) => heard.push(data));
    client.on("status", ({ state }) => statuses.push(state));
    return [room.id, room.members.size];
}"""

_HEARD = """async (number) => {
    while (heard.length < number) await new Promise((resolve) => setTimeout(resolve, 20));
    return heard;
}"""

#: Returns once the other's picture moves and its greeting has come by the data channel.
_SEEN = """async () => {
    const video = () => document.querySelector("video");
    while (!(video()?.videoWidth > 0 && video().currentTime > 0.2 && video().title)) {
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return video().title;
}"""


@cache
def built() -> Path:
    """The folder that a page serves."""
    node = require_program("node")
    compiler = installed(SDK) / "typescript" / "bin" / "tsc"
    done = subprocess.run([node, compiler], cwd=SDK, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return SDK / "dist"


def test_its_own_tests() -> None:
    built()
    command = [require_program("node"), "--test", *sorted(map(str, SDK.glob("test/*.test.js")))]
    done = subprocess.run(command, cwd=SDK, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_shows_the_example() -> None:
    text = (SDK / "example" / "index.html").read_text(encoding="utf-8")
    example = text[text.index("<script") :]
    assert example in (SDK / "README.md").read_text(encoding="utf-8")
    assert example.count("\n") <= 20


class Service(NamedTuple):
    browser: Browser
    origin: str
    turnd: Daemon
    signal_api: Daemon

    @property
    def server(self) -> str:
        return f"http://{self.signal_api.address('http')}"

    async def tab(self, **wishes: str) -> Page:
        tab = await (await self.browser.new_context()).new_page()
        tab.set_default_timeout(WAIT * 1000)
        await tab.goto(f"{self.origin}/{'index.html#' + urlencode(wishes) if wishes else 'blank.html'}")
        return tab

    async def member(self, *transports: str) -> Page:
        tab = await self.tab()
        await run(tab, _JOIN, [self.server, JOIN_KEY, transports])
        return tab


#: seconds after which the others hear of a connection that was lost
_GRACE = 0.5


@pytest.fixture
def service(daemons: Daemons, chromium: Browser, tmp_path: Path) -> Iterator[Service]:
    with _serving(daemons, chromium, tmp_path, {}) as running:
        yield running


@pytest.fixture
def impatient(daemons: Daemons, chromium: Browser, tmp_path: Path) -> Iterator[Service]:
    with _serving(daemons, chromium, tmp_path, {"times": {"presence_grace": _GRACE}}) as running:
        yield running


@contextmanager
def _serving(daemons: Daemons, chromium: Browser, tmp_path: Path, keys: dict[str, object]) -> Iterator[Service]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "fairlead-client").symlink_to(built())
    (folder / "index.html").symlink_to(SDK / "example" / "index.html")
    (folder / "blank.html").write_text("<!doctype html><title>Quiet</title>")
    turnd = daemons.turnd()
    with served(folder) as origin:
        ice = {"stun": [], "turn": [f"turn:{turnd.address(Transport.UDP)}?transport=udp"], "turns": []}
        section = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "join_key": JOIN_KEY, "origins": [origin], "ice": ice}
        signal_api = daemons.start("signal_api", {"auth": AUTH, "signal_api": section | keys})
        signal_api.await_ready()
        yield Service(chromium, origin, turnd, signal_api)


async def test_the_example_is_a_call(service: Service) -> None:
    tabs = [await service.tab(server=service.server, token=JOIN_KEY) for _ in range(2)]
    for tab in tabs:
        assert (await run(tab, _SEEN)).startswith("hello from m_")
    await tabs[0].reload()
    for tab in tabs:
        await run(tab, _SEEN)
    # A direct way may stand before the relay has answered, and Chromium gives back what it does not need.
    wait_for("relays", lambda: service.turnd.metrics().sum("turnd_allocations_opened_total") >= 2 or None)
    wait_for(
        "reports", lambda: service.signal_api.metrics().sum("signal_reports_total", outcome="connected") >= 2 or None
    )


#: Calls everybody, and keeps each connection and what becomes of it.
_CALL = """() => {
    window.calls ??= [];
    window.told ??= room.on("peer", (peer) => {
        const call = { peer, isOpen: false, heard: [] };
        calls.push(call);
        peer.on("open", () => { call.isOpen = true; });
        peer.on("message", (text) => call.heard.push(text));
        peer.on("closed", () => { call.isOpen = false; });
    });
    room.call();
}"""

_UNTIL = """async (expression) => {
    while (!eval(expression)) await new Promise((resolve) => { setTimeout(resolve, 20); });
}"""


async def test_who_hangs_up_is_heard_to_and_may_call_again(service: Service) -> None:
    """Also the one of a pair that waits for the other's offer."""
    tabs = [await service.member("websocket") for _ in range(2)]
    for tab in tabs:
        await run(tab, _CALL)
    for who in tabs:
        for tab in tabs:
            await run(tab, _UNTIL, "calls.at(-1)?.isOpen")
        await run(who, "() => room.hangUp()")
        for tab in tabs:
            await run(tab, _UNTIL, "!calls.at(-1).isOpen && room.peers.size === 0")
        await run(who, _CALL)
    for tab in tabs:
        await run(tab, _UNTIL, "calls.length === 3 && calls[2].isOpen")


async def test_silence_of_signaling_ends_no_call(impatient: Service) -> None:
    tabs = [await impatient.tab() for _ in range(2)]
    for tab in tabs:
        await run(tab, "() => { Math.random = () => 0.05; }")  # It comes back soon, however long it was away.
        await run(tab, _JOIN, [impatient.server, JOIN_KEY, ["websocket"]])
        await run(tab, _CALL)
        await run(tab, "() => { window.presence = []; }")
        for what in ("left", "joined"):
            await run(tab, "(what) => { room.on(what, () => presence.push(what)); }", what)
    for tab in tabs:
        await run(tab, _UNTIL, "calls[0]?.isOpen && calls[0].peer.connection.connectionState === 'connected'")
    away = """() => {
        window.Working = window.WebSocket;
        window.WebSocket = class { constructor() { queueMicrotask(() => this.onclose({ code: 1006, reason: "" })); } };
        sockets.at(-1).close();
    }"""
    await run(tabs[0], away)
    await run(tabs[1], _UNTIL, "presence.at(-1) === 'left'")
    await run(tabs[0], "() => calls[0].peer.send('still here')")
    await run(tabs[1], _UNTIL, "calls[0].heard.includes('still here')")
    await run(tabs[0], "() => { window.WebSocket = Working; }")
    await run(tabs[1], _UNTIL, "presence.at(-1) === 'joined'")
    await run(tabs[1], "() => calls[0].peer.send('welcome back')")
    await run(tabs[0], _UNTIL, "calls[0].heard.includes('welcome back')")
    for tab in tabs:
        assert await run(tab, "() => [calls.length, calls[0].isOpen, room.peers.size]") == [1, True, 1]


async def test_every_transport_and_what_happens_when_it_breaks(service: Service) -> None:
    """Messages of three members, each over another transport, arrive once and in their order; also those that were sent
    while the WebSocket was away."""
    tabs = [await service.member(name) for name in ("websocket", "sse", "poll")]
    for number, tab in enumerate(tabs):
        await run(tab, "(text) => room.send(text)", f"from {number}")
    await run(
        tabs[0],
        """() => {
        sockets.at(-1).close();
        window.later = Promise.all([1, 2, 3].map((number) => room.send(`away ${number}`)));
    }""",
    )
    await run(tabs[1], "async () => { for (let number = 0; number < 20; number += 1) await room.send(number); }")
    await run(tabs[0], "() => later")
    assert await run(tabs[0], _HEARD, 22) == ["from 1", "from 2", *range(20)]
    for tab, others in ((tabs[1], ["from 0", "from 2"]), (tabs[2], ["from 0", "from 1", *range(20)])):
        heard = await run(tab, _HEARD, len(others) + 3)
        assert [one for one in heard if not str(one).startswith("away")] == others
        assert [one for one in heard if str(one).startswith("away")] == ["away 1", "away 2", "away 3"]
    assert await run(tabs[0], "() => [statuses, sockets.length]") == [["waiting", "connecting", "connected"], 2]
    assert service.signal_api.metrics().sum("signal_resumes_total", result="resumed") >= 1


async def test_where_websockets_are_stopped_it_goes_by_http(service: Service) -> None:
    tab = await service.tab()
    await run(
        tab,
        """() => {
        window.WebSocket = class {
            constructor() { queueMicrotask(() => this.onclose({ code: 1006, reason: "" })); }
        };
    }""",
    )
    assert (await run(tab, _JOIN, [service.server, JOIN_KEY, None]))[1] == 0
    assert service.signal_api.metrics().sum("signal_connections_total", transport="sse") >= 1
    await run(tab, "() => client.close()")


async def test_a_refusal_has_a_code(service: Service) -> None:
    tab = await service.tab()
    failed = """async ([server, token]) => {
        const { connect } = await import("/fairlead-client/index.js");
        return connect(server, { token }).then(() => "let in", ({ name, code }) => `${name} ${code}`);
    }"""
    assert await run(tab, failed, [service.server, "wrong"]) == "SignalingError 4001"
