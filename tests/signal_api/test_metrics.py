"""What is counted, and that no client can make a new series."""

import pytest

from fairlead.metrics import Metrics
from signal_api.engine.redis.meters import Meters
from signal_api.metrics import FRAME_TYPES, LABELS, RELAYED_TYPES, Instruments
from signal_api.node.verbs import AT_ONCE, HANDLERS, Verbs
from tests.signal_api.socketless import Node


def test_frame_types_are_counted_by_a_closed_set() -> None:
    assert LABELS["offer"] == ("offer",)
    assert LABELS["x.game.move"] == ("x",)
    assert LABELS["anything"] == ("other",)
    assert all(LABELS[kind] == (kind,) for kind in FRAME_TYPES)
    assert len(LABELS) == len(FRAME_TYPES), "to look is not to remember: clients choose what is looked up"


def test_types_are_counted_that_there_can_be_and_no_others() -> None:
    assert {*HANDLERS, *AT_ONCE, "x", "other"} == set(FRAME_TYPES)
    assert {kind for kind, verb in HANDLERS.items() if verb is Verbs._relay} | {"x"} == set(RELAYED_TYPES)


def test_every_series_is_there_from_the_start_and_there_are_few() -> None:
    metrics = Metrics("signal")
    Instruments(metrics)
    Meters(metrics)
    _, text = metrics.expose()
    series = [line for line in text.decode().splitlines() if line.startswith("signal_")]
    assert 'signal_closes_total{code="4104"} 0.0' in series
    assert 'signal_frames_total{type="offer"} 0.0' in series
    assert len(series) <= 260


async def test_gauges_say_how_it_stands() -> None:
    node = Node()
    metrics = Metrics("signal")
    Instruments(metrics).watch(node.hub.roster, node.engine.census)
    seat, away = await node.enter(rooms=["r"]), await node.enter(rooms=["r", "q"])
    away.lose()
    text = metrics.expose()[1].decode()
    for line in (
        'signal_sessions{state="connected"} 1.0',
        'signal_sessions{state="away"} 1.0',
        "signal_rooms 2.0",
        "signal_members 3.0",
    ):
        assert line in text
    assert seat.client.sid not in text


def test_a_label_that_nobody_declared_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Instruments(Metrics("signal")).frames["made up",] += 1
