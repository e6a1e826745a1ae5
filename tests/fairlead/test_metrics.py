import enum

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fairlead.metrics import Counts, Histogram, Metrics, label_sets


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("stund")


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample of ours by its name and the values of its labels."""
    families = text_string_to_metric_families(metrics.expose()[1].decode())
    found = [sample for family in families for sample in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in found if s.name.startswith("stund_")}


def test_every_label_set_is_there_from_the_start(metrics: Metrics) -> None:
    counts = metrics.counts("seen", "Seen.", {"colour": Colour, "size": ("s", "l")})
    assert list(label_sets({"colour": Colour, "size": ("s", "l")})) == list(counts)
    assert sum(key[0] == "stund_seen_total" and value == 0 for key, value in samples(metrics).items()) == 4


def test_adding_is_all_that_it_takes(metrics: Metrics) -> None:
    counts = metrics.counts("seen", "Seen.", {"colour": Colour})
    counts[Colour.RED,] += 1
    counts["red",] += 1
    assert samples(metrics)["stund_seen_total", "red"] == 2


def test_nothing_that_a_client_sends_makes_a_series() -> None:
    with pytest.raises(KeyError):
        Counts({"colour": Colour})["green",] += 1


def test_what_others_count_is_read_at_the_scrape(metrics: Metrics) -> None:
    state = {"open": 0, "sent": 1}
    metrics.gauge("open", "Open.", lambda: state["open"])
    metrics.counter("sent", "Sent.", lambda: {("a",): state["sent"]}, ("path",))
    state |= {"open": 5, "sent": 7}
    assert samples(metrics)["stund_open",] == 5
    assert samples(metrics)["stund_sent_total", "a"] == 7


def test_a_histogram_counts_up_to_each_bound(metrics: Metrics) -> None:
    by_colour = metrics.histogram("lag_seconds", "Lag.", (0.1, 1.0), {"colour": Colour})
    for value in (0.05, 0.1, 0.5, 3):
        by_colour["red",].observe(value)
    found = samples(metrics)
    assert [found["stund_lag_seconds_bucket", "red", bound] for bound in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert found["stund_lag_seconds_sum", "red"] == pytest.approx(3.65)
    assert found["stund_lag_seconds_count", "blue"] == 0


def test_a_histogram_keeps_plain_numbers() -> None:
    histogram = Histogram((1, 2))
    histogram.observe(2)
    assert histogram.buckets() == [("1", 0), ("2", 1), ("+Inf", 1)]


def test_a_name_is_declared_once(metrics: Metrics) -> None:
    metrics.gauge("open", "Open.", lambda: 0)
    with pytest.raises(ValueError, match="stund_open is declared twice"):
        metrics.counts("open", "Open.", {})


def test_each_daemon_has_a_registry_of_its_own() -> None:
    one, other = Metrics("stund"), Metrics("turnd")
    one.gauge("open", "Open.", lambda: 1)
    assert b"stund_open" not in other.expose()[1]


def test_the_process_is_described_and_no_creation_times_are(metrics: Metrics) -> None:
    metrics.counts("seen", "Seen.", {"colour": Colour})
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        exposition = metrics.expose(accept)[1]
        assert b"process_resident_memory_bytes" in exposition
        assert b"python_gc_collections_total" in exposition
        assert b"_created" not in exposition


def test_the_form_follows_the_accept_header(metrics: Metrics) -> None:
    assert metrics.expose()[0].startswith("text/plain")
    content_type, body = metrics.expose("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_a_form_that_is_none_is_answered_as_text(metrics: Metrics) -> None:
    content_type, _ = metrics.expose("application/openmetrics-text; version=abc")
    assert content_type.startswith("text/plain")
