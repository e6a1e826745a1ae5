"""Two Chromium tabs hold a call on the product's own page: they find each other through signal_api, and all that they
say goes through turnd.

What turnd must have counted. Let A and B be the tabs and P the data packets that they sent each other over the pair
in use: DTLS, SRTP, SRTCP, the data channel. A pair's bytesSent and bytesReceived are the bytes of P without headers;
ICE's checks are not among them. turnd counts application bytes at each relayed address: a packet from A to B is once
sent to a peer (at A's address) and once received for a client (at B's). So with nothing lost

    to_peer = A.bytesSent + B.bytesSent + checks    and    to_client = A.bytesReceived + B.bytesReceived + checks

where the checks and their answers, some 100 bytes every few seconds, are far below a tenth of a video call. While the
call goes on, the two sides cannot be read at one moment: turnd is read before and after the tabs. What the tabs had
sent turnd counts at the latest in the second reading (what is on its way meanwhile only adds to it), and what turnd
had counted in the first reading the tabs had sent by then.
"""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest
from playwright.async_api import Browser, Page, ViewportSize

from fairlead.datagram import Transport
from tests.certificates import self_signed
from tests.processes import JOIN_KEY, PATIENCE, Daemon, Daemons, Samples, relay_on_loopback, wait_for

_ECHOES = 200
#: Pictures that a tab has seen when its call is read: enough for ICE's checks to be next to nothing.
_PICTURES = 60
#: a browser that draws, codes and decodes two moving pictures without help has much to do on a slow machine
_WAIT = 60.0
_API_KEY = "a-key-of-the-test-that-reads"

_PEER = "Object.values(window.fairlead.state.peers)[0]"

_STATS = f"async () => [...(await {_PEER}.pc.getStats()).values()]"

#: Returns when the call stands, its data channel is open, and so many pictures of the other tab have been seen.
_SEEN = f"""async (pictures) => {{
    const isSeen = async (peer) => peer?.channel?.readyState === "open"
        && [...(await peer.pc.getStats()).values()].some(({{ framesDecoded }}) => framesDecoded >= pictures);
    while (!await isSeen({_PEER})) await new Promise((resolve) => setTimeout(resolve, 50));
}}"""

_ECHO = f"""() => {{
    const {{ channel }} = {_PEER};
    channel.addEventListener("message", ({{ data }}) => channel.send(data));
}}"""

#: Says one thing after the other and waits for the echo of each; returns how many came back as they were.
_COUNT_ECHOES = f"""async (times) => {{
    const {{ channel }} = {_PEER};
    for (let number = 0; number < times; number += 1) {{
        const echo = new Promise((resolve) => channel.addEventListener("message", resolve, {{ once: true }}));
        channel.send(`echo ${{number}}`);
        if ((await echo).data !== `echo ${{number}}`) return number;
    }}
    return times;
}}"""

#: What can be read or pressed and is not wholly in the window, once it has been scrolled there, or is covered.
_HIDDEN = """(within) => [...document.querySelectorAll("h1, h2, p, button, summary, a, input, figcaption")]
    .filter((part) => part.closest(within)).filter((part) => {
    if (!part.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
    part.scrollIntoView({ block: "nearest" });
    const { left, right, top, bottom, width, height } = part.getBoundingClientRect();
    if (!width || !height) return false;
    if (left < 0 || top < 0 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5) return true;
    const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return !seen || !(part.contains(seen) || seen.contains(part));
}).map((part) => part.outerHTML)"""
_PHONE = ViewportSize(width=390, height=844)


class Stats(NamedTuple):
    """One reading of a tab's getStats()."""

    entries: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["type"] == kind]

    def named(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.entries if entry["id"] == name)

    @property
    def selected(self) -> dict[str, Any]:
        (transport,) = self.of("transport")
        return self.named(transport["selectedCandidatePairId"])

    def candidates(self, pair: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.named(pair["localCandidateId"]), self.named(pair["remoteCandidateId"])

    def inbound(self, kind: str, figure: str) -> int:
        (stream,) = (entry for entry in self.of("inbound-rtp") if entry["kind"] == kind)
        return int(stream[figure])


class Service(NamedTuple):
    """A turnd, and a signal_api that sends its visitors there."""

    turnd: Daemon
    signal_api: Daemon

    def page(self, transport: Transport) -> str:
        wishes = {"room": "call", "key": JOIN_KEY, "policy": "relay", "transport": str(transport), "join": "1"}
        return f"http://{self.signal_api.address('http')}/#{urlencode(wishes)}"


@pytest.fixture
def service(daemons: Daemons, tmp_path: Path) -> Service:
    tls: dict[str, Any] = {"tls": {name: str(path) for name, path in self_signed(tmp_path)._asdict().items()}}
    turnd = daemons.turnd(relay_on_loopback() | tls)
    urls = (
        f"turn:{turnd.address(Transport.UDP)}?transport=udp",
        f"turn:{turnd.address(Transport.TCP)}?transport=tcp",
        f"turns:{turnd.address(Transport.TLS)}?transport=tcp",
    )
    own = {"api_keys": [{"name": "stats", "value": _API_KEY, "scopes": ["stats"]}]}
    return Service(turnd, daemons.signal_api(*urls, own=own, **tls))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP, Transport.TLS], ids=str)
async def test_a_call(service: Service, chromium: Browser, tmp_path: Path, transport: Transport) -> None:
    tabs = [await (await chromium.new_context()).new_page() for _ in range(2)]
    for number, tab in enumerate(tabs):
        tab.set_default_timeout(_WAIT * 1000)
        await tab.goto(f"{service.page(transport)}&name={number}")
    try:
        await on_both(tabs, _SEEN, 1)
        await tabs[1].evaluate(_ECHO)
        assert await tabs[0].evaluate(_COUNT_ECHOES, _ECHOES) == _ECHOES
        first = [await read(tab) for tab in tabs]
        await on_both(tabs, _SEEN, _PICTURES)
    finally:
        for number, tab in enumerate(tabs):
            await tab.screenshot(path=tmp_path / f"{transport}-{number}.png")
    before = service.turnd.metrics()
    second = [await read(tab) for tab in tabs]
    after = service.turnd.metrics()

    for earlier, later in zip(first, second, strict=True):
        assert 0 < earlier.inbound("video", "framesDecoded") < later.inbound("video", "framesDecoded")
        assert 0 < earlier.inbound("audio", "packetsReceived") < later.inbound("audio", "packetsReceived")
        assert_relayed(later, transport)
    assert_counted(second, before, after)
    assert_reported(service, transport)
    assert after.sum("turnd_allocations", transport=transport) == after.sum("turnd_allocations") >= 2


def assert_relayed(stats: Stats, transport: Transport) -> None:
    """The pair in use has a relayed address on both sides, and nothing ever went over any other kind."""
    local, remote = stats.candidates(stats.selected)
    assert (local["candidateType"], remote["candidateType"]) == ("relay", "relay")
    assert local["relayProtocol"] == transport
    for pair in stats.of("candidate-pair"):
        if {candidate["candidateType"] for candidate in stats.candidates(pair)} != {"relay"}:
            assert not any(pair[figure] for figure in ("packetsSent", "packetsReceived", "bytesSent", "bytesReceived"))


def assert_reported(service: Service, transport: Transport) -> None:
    """Each tab told the service how it got through, and back ends can read it."""
    url = f"http://{service.signal_api.address('http')}/v1/admin/rooms/call/relay"
    headers = {"Authorization": f"Bearer {_API_KEY}"}

    def told() -> list[dict[str, Any]] | None:
        members: list[dict[str, Any]] = httpx.get(url, headers=headers, trust_env=False, timeout=PATIENCE).json()[
            "members"
        ]
        return members if all(member["outcomes"] for member in members) else None

    members = wait_for("a report of each tab", told)
    reports = [outcome["report"] for member in members for outcome in member["outcomes"]]
    assert [(report["outcome"], report["path"], report["protocol"]) for report in reports] == [
        ("connected", "relay", transport)
    ] * 2
    assert {report["peer"] for report in reports} == {member["member"] for member in members}


def assert_counted(tabs: list[Stats], before: Samples, after: Samples) -> None:
    """What the head of this file derives."""
    for direction, figure in (("to_peer", "bytesSent"), ("to_client", "bytesReceived")):
        pairs = sum(pair[figure] for stats in tabs for pair in stats.of("candidate-pair"))
        assert pairs <= after.sum("turnd_relay_bytes_total", direction=direction)
        assert before.sum("turnd_relay_bytes_total", direction=direction) <= 1.1 * pairs
    assert set(after.by("turnd_dropped_total", "reason")) <= {"no_permission"}


async def on_both(tabs: list[Page], expression: str, argument: int) -> None:
    async with asyncio.timeout(_WAIT):
        await asyncio.gather(*(tab.evaluate(expression, argument) for tab in tabs))


async def read(tab: Page) -> Stats:
    return Stats(await tab.evaluate(_STATS))


async def test_the_page_fits_a_phone(daemons: Daemons, chromium: Browser, tmp_path: Path) -> None:
    """Before the call, alone in it, with somebody else, and while writing: nothing is cut off, and nothing covered."""
    place = f"http://{daemons.signal_api().address('http')}/#{urlencode({'room': 'phone', 'key': JOIN_KEY})}"
    context = await chromium.new_context(viewport=_PHONE, has_touch=True, is_mobile=True)
    phone, other = await context.new_page(), await (await chromium.new_context()).new_page()
    for tab in (phone, other):
        tab.set_default_timeout(_WAIT * 1000)

    async def assert_fits(scene: str, within: str = "body") -> None:
        await phone.screenshot(path=tmp_path / f"{scene}.png")
        assert await phone.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"], scene
        assert await phone.evaluate(_HIDDEN, within) == [], scene

    await phone.goto(place)
    await assert_fits("lobby")
    await phone.click("#enter")
    await phone.wait_for_selector("#waiting", state="visible")
    await assert_fits("alone")
    await other.goto(f"{place}&join=1")
    await on_both([phone, other], _SEEN, 1)
    await assert_fits("together")
    await phone.click(".dock [data-act=chat]")
    await phone.wait_for_selector("#say", state="visible")
    await phone.fill("#text", "hello")
    await phone.press("#text", "Enter")
    await assert_fits("writing", ".bar, .chat, .dock")  # The chat lies over the pictures.
