"""What is counted of Redis and of sessions that change hands, for whoever looks at night why clients are sent away."""

from collections.abc import Callable, Mapping

from fairlead.metrics import LabelSet, Metrics

#: seconds that a call may take before a node is slow, and before its caller gives up
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.4, 0.7)

CALLS = ("ok", "late", "refused", "unanswered", "lost", "crowded")
TAKEOVERS = ("handed_over", "read", "renewed")


class Meters:
    """Totals that the engine adds to."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        text = (
            "Calls of Redis. late: it reached Redis after its time and had no effect; unanswered: no reply in time; "
            "refused: Redis said no, see the log; lost: Redis does not know this node any more; crowded: not made, as "
            "too many of this node's were on their way."
        )
        self.calls = metrics.counts("redis_calls", text, {"result": CALLS})
        text = "From a call of Redis to its reply. Slow with an idle Redis: this process has too much to do."
        self.seconds = metrics.histogram("redis_call_seconds", text, _SECONDS)[()]
        text = (
            "Sessions that came here from another node. handed_over: by a node that lives; read: from what a node left "
            "that did not answer; renewed: some of it was missing, and the client was told to begin anew."
        )
        self.takeovers = metrics.counts("redis_takeovers", text, {"how": TAKEOVERS})
        text = "How often Redis had forgotten this node, which then began all its sessions anew."
        self.epochs = metrics.counts("redis_epochs", text, {})

    def watch(self, is_up: Callable[[], bool], nodes: Callable[[], Mapping[LabelSet, float]], lag: "Lag") -> None:
        """Declares what is read at every scrape."""
        gauge = self._metrics.gauge
        text = "1 while Redis answers; at 0 nobody can join, open or resume a session, and calls go on."
        gauge("redis_up", text, is_up)
        gauge("redis_nodes", "Nodes that this one knows of, itself among them.", nodes, ("state",))
        gauge("redis_stream_lag", "Entries of this node's stream that it had not read at its last beat.", lag)


#: entries
Lag = Callable[[], float]
