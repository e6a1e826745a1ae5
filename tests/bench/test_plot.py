import xml.etree.ElementTree as ET
from typing import Any

import pytest

from bench.plot import draw


def relayed(engine: str, cost: float, **more: Any) -> dict[str, Any]:
    about = {"case": "interleaved", "name": "one", "topology": "namespaces", "allocations": 100, "size": 172}
    shape = {"direction": "both", "train": 1, "peer": "coturn", "cpu_us_per_packet": cost, "ratio": 10 / cost}
    return {"engine": engine, **about, **shape, **more}


def timed(engine: str, median: float) -> dict[str, Any]:
    return relayed(engine, 10.0, round_trip={"round_trips_per_second": 9000, "p50_us": median})


def elements(picture: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(picture).iter(f"{{http://www.w3.org/2000/svg}}{name}"))  # noqa: S314 -- our own


def lengths(picture: str) -> list[float]:
    return [float(each.attrib["width"]) for each in elements(picture, "rect")]


def texts(picture: str) -> list[str]:
    return [each.text or "" for each in elements(picture, "text")]


def test_a_bar_is_as_long_as_a_cpu_second_is_good() -> None:
    picture = draw([relayed("coturn", 10.0), relayed("native", 5.0)])
    theirs, ours = lengths(picture)
    assert ours == pytest.approx(2 * theirs, rel=0.01)
    assert {"200 k \u00b7 2.00 \u00d7", "100 k", "Relaying: 100 calls, packets of 172 B, both ways"} <= set(
        texts(picture)
    )


def test_cases_share_a_scale() -> None:
    video = relayed("native", 2.0, name="two", case="trains", train=8, direction="up")
    one, two = lengths(draw([relayed("native", 4.0), video]))
    assert two == pytest.approx(2 * one, rel=0.01)


def test_what_was_not_measured_has_no_bar() -> None:
    missing = {"case": "interleaved", "engine": "pion", "missing": "it is <not> here"}
    assert len(lengths(draw([relayed("coturn", 10.0), missing]))) == 1
    with pytest.raises(ValueError, match="no measurement"):
        draw([missing])


def test_memory_allocates_and_round_trips_have_groups_of_their_own() -> None:
    rows = [
        {"case": "allocate", "engine": "native", "peer": "coturn", "cpu_us_per_allocate": 100.0, "ratio": 1.4},
        {"case": "memory", "engine": "native", "peer": "coturn", "rss_bytes_per_allocation": 4096, "ratio": 5.0},
        timed("native", 90.0),
        timed("floor", 80.0),
    ]
    said = texts(draw(rows))
    assert {"10,000", "4.0 KiB", "90 \u00b5s"} <= set(said)
    assert "80 \u00b5s" not in said


def test_names_come_in_the_same_order_always() -> None:
    rows = [relayed(name, 10.0) for name in ("floor", "native", "coturn", "stranger")]
    names = [text for text in texts(draw(rows)) if text in ("bare sockets", "turnd, native", "coturn", "stranger")]
    assert names == ["coturn", "turnd, native", "bare sockets", "stranger"]
