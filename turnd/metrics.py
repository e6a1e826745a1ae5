"""turnd's metrics: what the core and the engine count, read when somebody scrapes."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import product
from typing import TypeVar

from fairlead.clock import Now
from fairlead.datagram import Family, Transport
from fairlead.metrics import LabelSet, Metrics
from fairlead.reasons import Reason
from fairlead.stun.header import Method
from turnd.dataplane.contract import DataPlane, Direction, Framing
from turnd.protocol.authentication import AuthFailure
from turnd.protocol.counters import ProtocolCounters
from turnd.protocol.effects import EndReason
from turnd.protocol.peer_policy import PeerClass
from turnd.protocol.quotas import QuotaScope
from turnd.protocol.replies import PHRASES
from turnd.protocol.state import State
from turnd.server import TurnServer

E = TypeVar("E", bound=StrEnum)

_METHODS = {
    method.value: method.name.lower()
    for method in (Method.BINDING, Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
}
_SUCCESS = "success"
_FAMILIES = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}


def declare(metrics: Metrics, server: TurnServer, now: Callable[[], Now]) -> None:
    """Declares the families of the relay itself; all label sets exist from the start."""
    state = server.relay.state
    _declare_protocol(metrics, state.counters, server.engine)
    _declare_refusals(metrics, state, server.engine)
    _declare_books(metrics, state, now)
    _declare_data_plane(metrics, state.counters, server.engine)


def declare_link(metrics: Metrics, connected: Callable[[], float], dropped: Callable[[], float]) -> None:
    """Declares what the link to signal_api is known by; without one both are 0."""
    text = (
        "How many signal_api are connected; over Redis, 1 while it answers. At 0 no kick, budget or fence reaches this "
        "relay; without a link it is 0 as well."
    )
    metrics.gauge("link_connected", text, connected)
    text = "Events that signal_api was not told, since too many waited: it does not read, or Redis is away."
    metrics.counter("link_dropped", text, dropped)


def _declare_protocol(metrics: Metrics, counters: ProtocolCounters, engine: DataPlane) -> None:
    def replies() -> Mapping[LabelSet, float]:
        codes = [_SUCCESS, *map(str, sorted(PHRASES))]
        rows: dict[LabelSet, float] = dict.fromkeys(product(_METHODS.values(), map(str, Transport), codes), 0)
        for (method, transport, code), count in counters.replies.items():
            rows[_METHODS[method], str(transport), _SUCCESS if code is None else str(code)] += count
        told = engine.counters()
        rows[_METHODS[Method.BINDING], str(Transport.UDP), _SUCCESS] += told.bindings
        for method, count in told.challenges.items():
            rows[_METHODS[method], str(Transport.UDP), "401"] += count
        return rows

    text = "Requests that were answered, by method, client transport and error code."
    metrics.counter("requests", text, replies, ("method", "transport", "code"))
    text = "Allocations that were made, by client transport."
    metrics.counter("allocations_opened", text, _by(Transport, counters.allocations_opened), ("transport",))
    text = "Allocations that ended, by what ended them."
    metrics.counter("allocations_closed", text, _by(EndReason, counters.allocations_ended), ("reason",))


def _declare_refusals(metrics: Metrics, state: State, engine: DataPlane) -> None:
    counters = state.counters

    def failures() -> Mapping[LabelSet, float]:
        told, rows = engine.counters(), dict(_by(AuthFailure, counters.auth_failures)())
        rows[(str(AuthFailure.MISSING),)] += sum(told.challenges.values()) + told.unsigned_withheld
        return rows

    def withheld() -> float:
        told = engine.counters()
        return counters.challenges_suppressed + told.unsigned_withheld + told.strangers_withheld

    text = (
        "Requests that were not authentic, by what was wrong. missing is how every client begins; expired grows: "
        "clocks "
        "differ, or clients do not renew; integrity grows: a secret here is not the one that signs."
    )
    metrics.counter("auth_failures", text, failures, ("reason",))
    text = "Requests that a secret of this name authenticated; when the old name rests, its rotation is over."
    metrics.counter(
        "auth_secret_matches",
        text,
        lambda: {(name,): counters.secret_matches[name] for name in state.authenticator.secret_names},
        ("key",),
    )
    text = "Unauthenticated error replies that were sent."
    metrics.counter(
        "challenges_sent", text, lambda: counters.challenges_sent + sum(engine.counters().challenges.values())
    )
    text = (
        "Unauthenticated error replies that were withheld, since their source had too many. It grows in a flood; when "
        "many "
        "clients share an address, raise turnd.limits.challenges."
    )
    metrics.counter("challenges_suppressed", text, withheld)
    text = "Peers that the policy denied (403), by class of address; turnd.peers.allow opens a range."
    metrics.counter("peer_denied", text, _by(PeerClass, counters.peer_denied), ("class",))
    text = "Peers outside of a room's fence that only logs; those that it keeps out are denied as not_announced."
    metrics.counter("fence_logged", text, lambda: counters.fence_logged)
    text = "Allocates that a quota refused (486), by quota: the keys under turnd.quotas."
    metrics.counter("quota_rejections", text, _by(QuotaScope, counters.quota_rejections), ("scope",))


def _declare_books(metrics: Metrics, state: State, now: Callable[[], Now]) -> None:
    allocations = state.allocations.by_id

    def living() -> Mapping[LabelSet, float]:
        rows: dict[LabelSet, float] = dict.fromkeys(product(map(str, Transport), _FAMILIES.values()), 0)
        for allocation in allocations.values():
            rows[str(allocation.five_tuple.transport), _FAMILIES[allocation.family]] += 1
        return rows

    def ports() -> Mapping[LabelSet, float]:
        return {
            (_FAMILIES[family], hand): float(count)
            for family, pool in state.ports.items()
            for hand, count in pool.census(now())._asdict().items()
        }

    metrics.gauge("allocations", "Living allocations.", living, ("transport", "relay_family"))
    text = "Living permissions."
    metrics.gauge("permissions", text, lambda: sum(len(row.permissions) for row in allocations.values()))
    metrics.gauge("channels", "Living channels.", lambda: sum(len(row.channels) for row in allocations.values()))
    text = (
        "Relay ports by whose hand they are in: free, used, held after use, foreign (another program's). With none "
        "free, "
        "Allocates get 508: widen turnd.relay.ports."
    )
    metrics.gauge("relay_ports", text, ports, ("family", "state"))


def _declare_data_plane(metrics: Metrics, counters: ProtocolCounters, engine: DataPlane) -> None:
    keys = list(product(Direction, Framing))

    def flow(of: Callable[[], Mapping[tuple[Direction, Framing], int]]) -> Callable[[], Mapping[LabelSet, float]]:
        return lambda: {(engine.name, *map(str, key)): of().get(key, 0) for key in keys}

    def dropped() -> Mapping[LabelSet, float]:
        told = engine.counters().dropped
        return {(str(reason),): told.get(reason, 0) + counters.dropped[reason] for reason in Reason}

    labels = ("datapath", "direction", "framing")
    text = "Packets that were relayed."
    metrics.counter("relay_packets", text, flow(lambda: engine.counters().packets), labels)
    text = "Bytes of application data that were relayed, without TURN's and IP's framing."
    metrics.counter("relay_bytes", text, flow(lambda: engine.counters().bytes), labels)
    metrics.counter("dropped", "Packets that were dropped, by reason; see the table of reasons.", dropped, ("reason",))
    text = "Faults inside a thread of the engine, each of which cost a batch of packets; any is a bug to report."
    metrics.counter("engine_panics", text, lambda: {(engine.name,): engine.counters().panics}, ("datapath",))
    text = (
        "Packets that one thread of the engine received and another forwarded, which has the relay socket. They cost "
        "more; "
        "many of all mean that clients change their addresses, or send through something that does."
    )
    metrics.counter("engine_handed_over", text, lambda: {(engine.name,): engine.counters().handed_over}, ("datapath",))
    text = "Threads of the engine that move packets."
    metrics.gauge("engine_threads", text, lambda: {(engine.name,): float(engine.threads)}, ("datapath",))
    text = "1 for the way by which the engine gets packets in and out of the kernel."
    metrics.gauge("engine_io", text, lambda: {(engine.name, engine.io.value): 1.0}, ("datapath", "io"))
    text = "1 for the engine that moves the bytes."
    metrics.gauge("datapath", text, lambda: {(engine.name,): 1.0}, ("datapath",))


def _by(values: type[E], counts: Mapping[E, int]) -> Callable[[], Mapping[LabelSet, float]]:
    """The counts of an enum's values, those that never happened included."""
    return lambda: {(str(value),): counts.get(value, 0) for value in values}
