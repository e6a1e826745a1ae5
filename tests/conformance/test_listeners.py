"""What a listener is given, and what it is not."""

from pathlib import Path

import pytest

from tests.conformance.conftest import MakeEngine, MakeRig
from tests.conformance.kit import LISTENER, channel_data

MOST = int(Path("/proc/sys/net/core/rmem_max").read_text())


@pytest.mark.parametrize("asked", [10_000, 1 << 30])
def test_the_kernel_gives_what_was_asked_for_up_to_its_own_limit(make_rig: MakeRig, asked: int) -> None:
    rig = make_rig(listener_buffer=asked)
    assert rig.engine.receive_buffer(LISTENER) == min(asked, MOST)


def test_a_listener_that_is_not_open_has_no_buffer(make: MakeEngine) -> None:
    with pytest.raises(KeyError):
        make().receive_buffer(LISTENER)


def test_an_engine_says_how_many_threads_it_has_and_how_they_work(
    make: MakeEngine, request: pytest.FixtureRequest
) -> None:
    engine, name = make(), request.node.name
    assert engine.threads == (3 if "native-3" in name else 1)
    assert engine.io == ("io_uring" if "io_uring" in name else "epoll")


def test_packets_that_come_in_at_any_thread_are_forwarded_and_those_of_others_are_counted(make_rig: MakeRig) -> None:
    rig = make_rig()
    for _ in range(20):
        client, relay, peer = rig.call()
        client.say(channel_data(b"up"))
        assert peer.receive() == (b"up", relay.address)
        peer.send(b"down", relay.address)
        assert client.receive()[0] == channel_data(b"down")
    handed_over = rig.engine.counters().handed_over
    # The rig says of all clients that they come in at the first thread; the kernel spreads them.
    assert handed_over == 0 if rig.engine.threads == 1 else 0 < handed_over <= 20
