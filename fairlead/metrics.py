"""Metrics: plain integers that the hot path adds to, read by one collector when somebody scrapes.

A registry for each daemon, not the process-wide one; no `_created` series; every label set exists from the start, so
that rate() sees the first event.
"""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

#: The values of a family's labels, in the order in which the family names them.
LabelSet = tuple[str, ...]
#: The labels of a family, and every value that each may have (an enum class serves).
Labels = Mapping[str, Iterable[str]]

NO_LABELS: Labels = {}

#: Seconds: from what a packet costs to what a user feels.
DURATIONS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1)
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


def label_sets(labels: Labels) -> Iterator[LabelSet]:
    """Every combination of the labels' values."""
    yield from itertools.product(*([str(value) for value in values] for values in labels.values()))


class Counts(dict[LabelSet, int]):
    """Totals by label set, all there from the start: `counts["udp", "malformed"] += 1` is all that a packet costs.

    A label set that was not declared is a KeyError: nothing that a client sends can make a new series.
    """

    def __init__(self, labels: Labels) -> None:
        super().__init__((values, 0) for values in label_sets(labels))
        self.labels = tuple(labels)


class Histogram:
    """A distribution in plain integers; `bounds` are the upper bounds of its buckets, in the unit of the metric."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, count of all at or below it) as the exposition wants it."""
        names = [*(repr(bound) for bound in self.bounds), "+Inf"]
        return list(zip(names, itertools.accumulate(self._counts), strict=True))


class Metrics(Collector):
    """The metrics of one daemon, all under its prefix. Each `read` is called at every scrape and must not wait."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._families: dict[str, Callable[[], Metric]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def counts(self, name: str, text: str, labels: Labels) -> Counts:
        """Declares a counter family and returns the totals to add to; `name` without prefix and `_total`."""
        counts = Counts(labels)
        self.counter(name, text, lambda: counts, counts.labels)
        return counts

    def counter(
        self, name: str, text: str, read: Callable[[], Mapping[LabelSet, float] | float], labels: Sequence[str] = ()
    ) -> None:
        """Declares a counter family whose totals are read elsewhere; without labels, `read` returns one number."""
        self._read_family(CounterMetricFamily, name, text, read, labels)

    def gauge(
        self, name: str, text: str, read: Callable[[], Mapping[LabelSet, float] | float], labels: Sequence[str] = ()
    ) -> None:
        """Declares a gauge family; as counter(), but it may fall."""
        self._read_family(GaugeMetricFamily, name, text, read, labels)

    def histogram(
        self, name: str, text: str, bounds: Sequence[float], labels: Labels = NO_LABELS
    ) -> dict[LabelSet, Histogram]:
        """Declares a histogram family and returns the histogram of each label set (of `()` without labels)."""
        full = f"{self._prefix}_{name}"
        histograms = {values: Histogram(bounds) for values in label_sets(labels)}

        def family() -> Metric:
            metric = HistogramMetricFamily(full, text, labels=tuple(labels))
            for values, histogram in histograms.items():
                metric.add_metric(values, histogram.buckets(), histogram.sum)
            return metric

        self._declare(full, family)
        return histograms

    def _read_family(
        self,
        kind: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        text: str,
        read: Callable[[], Mapping[LabelSet, float] | float],
        labels: Sequence[str],
    ) -> None:
        full = f"{self._prefix}_{name}"

        def family() -> Metric:
            metric = kind(full, text, labels=labels)
            for values, number in _rows(read()):
                metric.add_metric(values, number)
            return metric

        self._declare(full, family)

    def _declare(self, full: str, family: Callable[[], Metric]) -> None:
        if full in self._families:
            raise ValueError(f"{full} is declared twice")
        self._families[full] = family

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client: the families as they stand now."""
        return (family() for family in self._families.values())

    def expose(self, accept: str = "") -> tuple[str, bytes]:
        """The content type and body of a scrape, OpenMetrics or text as the Accept header wants it."""
        try:
            encoder, content_type = choose_encoder(accept)
        except TypeError:  # prometheus-client compares versions that are no numbers
            encoder, content_type = choose_encoder("")
        return content_type, encoder(self._registry)


def _rows(read: Mapping[LabelSet, float] | float) -> Iterable[tuple[LabelSet, float]]:
    return read.items() if isinstance(read, Mapping) else [((), read)]
