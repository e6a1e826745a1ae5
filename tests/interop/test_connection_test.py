"""The page /test in Chromium: what it finds when all is well, what it blames when something is not, and its report."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from fairlead.datagram import Transport
from tests.certificates import self_signed
from tests.processes import JOIN_KEY, Daemon, Daemons, relay_on_loopback

_WAIT = 90.0

_FINISHED = """async () => {
    while (!window.fairleadTest?.facts) await new Promise((resolve) => setTimeout(resolve, 50));
    const { facts, verdict } = window.fairleadTest;
    return { facts, verdict };
}"""
_LINK = """async () => {
    const copied = new Promise((resolve) => { navigator.clipboard.writeText = async (text) => resolve(text); });
    document.getElementById("share").click();
    return await copied;
}"""
#: What the page gives up after seconds it gives up later: a slow machine is no bad network.
_UNHURRIED = """{
    const { setTimeout } = window;
    window.setTimeout = (run, ms = 0, ...rest) => setTimeout(run, ms < 1000 ? ms : 6 * ms, ...rest);
}"""
_PHONE = {"width": 390, "height": 844}


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    context = await chromium.new_context(viewport={"width": 1100, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(_WAIT * 1000)
    yield page
    await context.close()


def url(signal_api: Daemon, key: str = JOIN_KEY) -> str:
    return f"http://{signal_api.address('http')}/test/#key={key}&run=1"


def linked(tmp_path: Path) -> dict[str, Any]:
    tls = {name: str(path) for name, path in self_signed(tmp_path)._asdict().items()}
    return {"tls": tls, "link": {"socket": str(tmp_path / "link")}}


async def test_all_is_well_and_the_report_says_so(daemons: Daemons, page: Page, tmp_path: Path) -> None:
    shared = linked(tmp_path)
    turnd, stund = daemons.turnd(relay_on_loopback() | shared), daemons.stund()
    urls = (
        f"stun:{stund.address('udp')}",
        f"turn:{turnd.address(Transport.UDP)}?transport=udp",
        f"turn:{turnd.address(Transport.TCP)}?transport=tcp",
        f"turns:{turnd.address(Transport.TLS)}?transport=tcp",
    )
    signal_api = daemons.signal_api(*urls, **shared)
    await page.add_init_script(_UNHURRIED)
    await page.goto(url(signal_api))
    found = await page.evaluate(_FINISHED)
    await page.screenshot(path=tmp_path / "wide.png", full_page=True)
    facts = found["facts"]
    assert found["verdict"] == {"level": "good", "headline": "Calls work here.", "causes": []}, facts
    assert {name: check["state"] for name, check in facts["signaling"].items()} == {
        "websocket": "ok", "stream": "ok", "poll": "ok",
    }  # fmt: skip
    assert {*facts["relays"]} == {"udp", "tcp", "tls"}
    for transport, relay in facts["relays"].items():
        assert relay["state"] == "ok", (transport, relay)
        assert len(relay["trips"]) == 50
        seen = [one for one in facts["server"]["relays"] if one["transport"] == transport]
        assert relay["relayed"] in {one["relayed"] for one in seen}
        assert sum(one["bytes"] for one in seen) > 0
    await page.set_viewport_size({"width": _PHONE["width"], "height": _PHONE["height"]})
    assert await page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    await page.screenshot(path=tmp_path / "phone.png", full_page=True)
    await assert_the_link_shows_the_same(page, facts)


async def assert_the_link_shows_the_same(page: Page, facts: dict[str, Any]) -> None:
    """Somebody else opens the link of the report: the same findings, and no address of the sender."""
    link = await page.evaluate(_LINK)
    assert JOIN_KEY not in link
    other = await page.context.new_page()
    await other.goto(link)
    shown = await other.evaluate(_FINISHED)
    assert shown["verdict"]["headline"] == "Calls work here."
    assert shown["facts"]["relays"]["udp"]["trips"] == facts["relays"]["udp"]["trips"]
    assert "127.0.0.1" in json.dumps(facts)
    assert "127.0.0.1" not in json.dumps(shown["facts"]["server"])
    assert await other.inner_text('[data-check="udp"] .figure') == await page.inner_text('[data-check="udp"] .figure')


async def test_a_closed_way_is_named_with_its_remedy(daemons: Daemons, page: Page) -> None:
    turnd = daemons.turnd()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{silent.getsockname()[1]}"
        signal_api = daemons.signal_api(
            f"turn:{nowhere}?transport=udp", f"turn:{turnd.address(Transport.TCP)}?transport=tcp"
        )
        await page.goto(url(signal_api))
        verdict = (await page.evaluate(_FINISHED))["verdict"]
    assert verdict["level"] == "limited"
    assert verdict["headline"].startswith("Calls work here over TCP only.")
    (cause,) = verdict["causes"]
    assert cause["text"].startswith("The relay cannot be reached over UDP")
    assert "UDP port 3478" in cause["remedy"]


async def test_who_has_the_wrong_key_is_told_about_the_key(daemons: Daemons, page: Page) -> None:
    await page.goto(url(daemons.signal_api(), key="not-the-key-of-this"))
    verdict = (await page.evaluate(_FINISHED))["verdict"]
    assert (verdict["level"], verdict["headline"]) == ("bad", "This server does not let you in.")
    assert ["#" in cause["remedy"] for cause in verdict["causes"]] == [True]
