"""The PeerJS of npm, unmodified, in two Chromium tabs of another site: it finds its peers through our gateway and,
where it has to, reaches them through turnd with the servers that /v1/ice names.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest
from playwright.async_api import Browser, Page

from fairlead.datagram import Transport
from tests.architecture.house import ROOT
from tests.interop.site import served
from tests.interop.tabs import WAIT, run
from tests.npm import installed
from tests.processes import AUTH, Daemon, Daemons

ISSUER, SIGNING_KEY = "https://login.example", "a shared secret of thirty-two bytes"

_PAGE = """<!doctype html><title>PeerJS</title><script src="/peerjs.min.js"></script><script>
const options = { host: HOST, port: PORT, path: "/", secure: false };
const events = [];

/** A peer with what /v1/ice gives to a token. */
async function connect(id, { token, policy = "all", ...rest } = {}) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const reply = await fetch(`http://${options.host}:${options.port}/v1/ice`, { headers });
    const iceServers = reply.ok ? (await reply.json()).iceServers : [];
    const config = { iceServers, iceTransportPolicy: policy };
    const wishes = { ...options, ...(token ? { token } : {}), config, ...rest };
    window.peer = id ? new Peer(id, wishes) : new Peer(wishes);
    peer.on("error", ({ type }) => events.push(type));
    peer.on("disconnected", () => events.push("disconnected"));
    peer.on("connection", (link) => link.on("data", (data) => link.send({ echo: data })));
    peer.on("call", async (call) => { window.call = call; call.answer(await camera()); });
    return new Promise((resolve) => {
        peer.on("open", resolve);
        peer.on("error", ({ type }) => resolve(type));
    });
}

const camera = () => navigator.mediaDevices.getUserMedia({ audio: true, video: true });

async function callUp(id) { window.call = peer.call(id, await camera()); }

function say(id, data) {
    return new Promise((resolve) => {
        const link = peer.connect(id, { reliable: true });
        link.on("open", () => link.send(data));
        link.on("data", resolve);
    });
}

const next = (name) => new Promise((resolve) => peer.once(name, (event) => resolve(event?.type ?? event ?? name)));

/** The types of the two candidates in use, once so many pictures were seen. */
async function seen(pictures) {
    for (;;) {
        const stats = [...(await window.call?.peerConnection?.getStats() ?? new Map()).values()];
        if (stats.some(({ framesDecoded }) => framesDecoded >= pictures)) {
            const { selectedCandidatePairId } = stats.find(({ type }) => type === "transport");
            const pair = stats.find(({ id }) => id === selectedCandidatePairId);
            const named = (name) => stats.find(({ id }) => id === name).candidateType;
            return [named(pair.localCandidateId), named(pair.remoteCandidateId)];
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}
</script>"""

#: What a change of networks looks like: the page gives its socket up, and the server does not hear of it.
LOSE = """() => {
    window.old = peer.socket._socket;
    Object.assign(old, { onopen: null, onmessage: null, onclose: null });
    peer.socket._socket = undefined;
    peer.disconnect();
}"""


class Site(NamedTuple):
    """A site whose page uses PeerJS, and the services that it uses."""

    browser: Browser
    origin: str
    turnd: Daemon
    signal_api: Daemon

    async def tab(self) -> Page:
        page = await (await self.browser.new_context()).new_page()
        page.set_default_timeout(WAIT * 1000)
        await page.goto(f"{self.origin}/index.html")
        return page


@pytest.fixture
def site(daemons: Daemons, chromium: Browser, tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    bundle = installed(ROOT / "tests" / "interop" / "node") / "peerjs" / "dist" / "peerjs.min.js"
    (folder / "peerjs.min.js").symlink_to(bundle)
    turnd = daemons.turnd()
    with served(folder) as origin:
        section = {
            "listen": "127.0.0.1:0",
            "ops": "127.0.0.1:0",
            "origins": [origin],
            "jwt": {"issuer": ISSUER, "keys": [{"id": "k", "algorithm": "HS256", "key": SIGNING_KEY}]},
            "peerjs": {"open": True},
            "ice": {"stun": [], "turn": [f"turn:{turnd.address(Transport.UDP)}?transport=udp"], "turns": []},
        }
        signal_api = daemons.start("signal_api", {"auth": AUTH, "signal_api": section})
        signal_api.await_ready()
        host, port = signal_api.address("http")
        (folder / "index.html").write_text(_PAGE.replace("HOST", json.dumps(host)).replace("PORT", str(port)))
        yield Site(chromium, origin, turnd, signal_api)


def _token(user: str) -> str:
    claims = {"iss": ISSUER, "aud": "signal", "sub": user, "exp": time.time() + 600, "sig": {"rooms": ["peerjs:*"]}}
    return jwt.encode(claims, SIGNING_KEY, "HS256")


@pytest.mark.parametrize("policy", ["all", "relay"])
async def test_a_media_call_of_two_with_tokens(site: Site, policy: str) -> None:
    tabs = [await site.tab(), await site.tab()]
    for tab, name in zip(tabs, ("alice", "bob"), strict=True):
        wishes = {"token": _token(name), "policy": policy}
        assert await run(tab, "([id, wishes]) => connect(id, wishes)", [name, wishes]) == name
    await run(tabs[0], "(id) => callUp(id)", "bob")
    kinds = [await run(tab, "(pictures) => seen(pictures)", 10) for tab in tabs]
    if policy == "relay":
        assert kinds == [["relay", "relay"]] * 2
        assert site.turnd.metrics().sum("turnd_relay_packets_total") > 0
    samples = site.signal_api.metrics()
    assert samples.sum("signal_connections_total", transport="peerjs") == 2
    assert samples.sum("signal_frames_relayed_total", type="offer") >= 1
    assert samples.sum("signal_frames_relayed_total", type="candidate") >= 2

    thief = await site.tab()
    assert await run(thief, "(token) => connect('bob', { token })", _token("mallory")) == "unavailable-id"


async def test_peers_find_each_other_or_hear_why_not(site: Site) -> None:
    """Without tokens: who lets the pages of PeerServer in, lets them in."""
    alice, bob, carol = [await site.tab() for _ in range(3)]
    assert await run(alice, "() => connect('alice')") == "alice"
    given = await run(bob, "() => connect()")
    assert await run(alice, "(id) => say(id, { hello: [1, 2, 3] })", given) == {"echo": {"hello": [1, 2, 3]}}

    await run(alice, "() => { window.failed = next('error'); peer.connect('nobody'); }")
    assert await run(carol, "() => connect('alice')") == "unavailable-id"
    assert await run(carol, "() => connect('carol', { key: 'wrong' })") == "invalid-key"
    assert await run(alice, "() => failed") == "peer-unavailable"
    assert await run(alice, "() => peer.open")

    await run(alice, "() => { window.reply = say('carol', 'early'); }")
    assert await run(carol, "() => connect('carol')") == "carol"
    assert await run(alice, "() => reply") == {"echo": "early"}


async def test_coming_back(site: Site) -> None:
    """While the server still has the old socket, which PeerServer answers by silence, and after it is gone; what the
    two have open stays open."""
    alice, bob = await site.tab(), await site.tab()
    await run(alice, "() => connect('alice')")
    await run(bob, "() => connect('bob')")
    assert await run(alice, "() => say('bob', 1)") == {"echo": 1}
    await run(alice, LOSE)
    for _ in range(2):
        opened = run(alice, "() => { const opened = next('open'); peer.reconnect(); return opened; }")
        assert await opened == "alice"
        assert await run(bob, "(id) => say(id, 2)", "alice") == {"echo": 2}
        await run(alice, "() => peer.disconnect()")
    assert await run(alice, "() => old.readyState") in (2, 3)
    assert await run(bob, "() => peer.connections.alice.every(({ open }) => open)")
