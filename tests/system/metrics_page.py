"""docs/reference/metrics.md as the daemons say it."""

import re
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from fairlead.reasons import Reason

_HEAD = """# Metrics

What `/metrics` of each daemon says, and what to do about it. Counters move while packets do; a label has a fixed list
of values, never a user, a room or an address. `process_` and `python_gc_` are those of every Python program.
The tables are made from the daemons: `FAIRLEAD_WRITE=1 make test ARGS=tests/system/test_metrics_page.py`.

## What should wake somebody

| when | it means |
|---|---|
| `up == 0`, or `/readyz` is not 200 | the daemon is away, or lists what it misses |
| `turnd_probe_success == 0` for a minute | a listener does not answer its own daemon |
| `turnd_relay_ports{state="free"}` under 10 % of all | soon Allocates get 508 |
| `rate(turnd_engine_panics_total[5m]) > 0` | a bug; calls go on, please report it |
| `turnd_link_connected == 0`, or `turnd_link_dropped_total` grows | where there is a link: its log says why |
| `signal_turn_link_connected == 0` | kicks, budgets and fences do not reach turnd |
| `signal_redis_up == 0` | nobody can join; calls go on |
| `turnd_certificate_expiry_timestamp_seconds - time() < 7 * 86400` | the certificate ends within a week |
| `rate(node_netstat_Udp_RcvbufErrors[5m]) > 0` | datagrams are lost here: raise `buffers`, `net.core.rmem_max` |
"""

#: What a packet was dropped for, and what to look at.
REASONS: Mapping[Reason, str] = {
    Reason.EMPTY: "no bytes; a port scan, or noise",
    Reason.NOT_STUN: "neither STUN nor ChannelData; a port scan, or noise",
    Reason.MALFORMED: "it looks like STUN or ChannelData and is not; noise, or a client with a bug",
    Reason.BAD_COOKIE: "STUN without the magic cookie, of a client from before 2008",
    Reason.BAD_FINGERPRINT: "the checksum is wrong: something between changes packets",
    Reason.NOT_A_REQUEST: "a reply or an indication that nobody asked for; reflected traffic",
    Reason.UNKNOWN_METHOD: "STUN of another protocol",
    Reason.UNKNOWN_ATTRIBUTE: "an indication with an attribute that must be understood, and is not",
    Reason.MISSING_ATTRIBUTE: "an indication without a peer or without data",
    Reason.NO_ALLOCATION: "data of a client whose allocation has ended; usual for seconds after each call",
    Reason.NO_PERMISSION: "a peer that the client has not permitted, or no longer; usual while a call begins",
    Reason.NO_CHANNEL: "a channel that is not bound, or no longer",
    Reason.PEER_DENIED: "a peer that the policy denies: see `turnd_peer_denied_total`, `turnd.peers`",
    Reason.PEER_FAMILY: "a peer of IPv6 through an allocation of IPv4, or the other way round",
    Reason.PEER_NOT_ALLOCATED: "a peer among our own relayed addresses that nobody has",
    Reason.PORT_ZERO: "from or to port 0; forged",
    Reason.RATE_LIMITED: "a source that asks too often: `limits`; or a client of turnd that sends more than its share "
    "of 64 requests (512 other messages) a second",
    Reason.BANDWIDTH: "an allocation above `turnd.bandwidth.allocation`, or above what its token grants",
    Reason.USER_BANDWIDTH: "a user above `turnd.bandwidth.user`",
    Reason.SEND_BUFFER: "no room to send, or a client behind TCP that reads too slowly: raise `buffers.send` and "
    "`net.core.wmem_max`, or the machine is overloaded",
    Reason.TOO_LARGE: "larger than the path takes, with the flag not to fragment",
    Reason.UNREACHABLE: "no route, or a firewall of this machine says no",
}


def named_in_head() -> set[str]:
    """The families that somebody is woken for."""
    return set(re.findall(r"(?:turnd|stund|signal)_\w+", _HEAD))


def families(exposition: str) -> Iterator[tuple[Metric, str]]:
    """The daemon's own families with the names of their labels."""
    for family in text_string_to_metric_families(exposition):
        if not family.name.startswith(("process_", "python_")):
            labels = {name for sample in family.samples for name in sample.labels} - {"le"}
            yield family, ", ".join(f"`{label}`" for label in sorted(labels))


def page(expositions: Mapping[str, str]) -> str:
    """The whole page; what each daemon exposes, by its name."""
    parts = [_HEAD]
    for daemon, exposition in expositions.items():
        rows = [
            f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} | {labels} | "
            f"{family.documentation} |"
            for family, labels in families(exposition)
        ]
        parts.append("\n".join([f"## {daemon}", "", "| name | kind | labels | |", "|---|---|---|---|", *rows, ""]))
    reasons = [f"| `{reason}` | {text} |" for reason, text in REASONS.items()]
    parts.append("\n".join(["## Why a packet was dropped", "", "| reason | |", "|---|---|", *reasons, ""]))
    return "\n".join(parts)
