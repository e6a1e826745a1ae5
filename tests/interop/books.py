"""The books of a turnd whose relayed addresses talk to nobody but each other."""

from tests.processes import Daemon, Samples, wait_for


def balanced(turnd: Daemon) -> Samples:
    """The counters, as soon as they balance: what one relayed address has sent another has received, or turnd has
    dropped it by name, since the first packets of ICE may be there before the permission is."""

    def look() -> Samples | None:
        samples = turnd.metrics()
        sent, received = (
            samples.sum("turnd_relay_packets_total", direction=direction) for direction in ("to_peer", "to_client")
        )
        dropped = samples.by("turnd_dropped_total", "reason")
        assert set(dropped) <= {"no_permission"}, dropped
        return samples if sent == received + dropped.get("no_permission", 0) else None

    return wait_for("as many packets received as sent", look)
