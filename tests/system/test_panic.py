"""A thread of the native engine panics: that is counted, said, and costs nothing that lives."""

import json
import shutil
import signal

import pytest

from tests.processes import Daemons, relay_on_loopback, wait_for
from tests.skipping import skip_for_lack_of
from tests.system.calls import Call
from tests.system.panicking_turnd import build
from tests.turn_client import Sockets


@pytest.mark.timeout(600)  # the engine is compiled once more, with the fault in it
def test_a_panic_is_counted_and_said_and_calls_go_on(daemons: Daemons, sockets: Sockets) -> None:
    if shutil.which("cargo") is None:
        skip_for_lack_of("cargo", enable="install Rust (https://rustup.rs)")
    build()
    configuration = relay_on_loopback(peers={"allow": ["loopback"]}, engine="native", threads=1)
    turnd = daemons.start("tests.system.panicking_turnd", configuration)
    turnd.expected_errors = ("a thread of the engine panicked and goes on",)
    turnd.await_ready()
    call = Call(turnd, sockets)
    for panics in (1, 2):
        turnd.signal(signal.SIGUSR2)
        wait_for("a panic", lambda: turnd.metrics().sum("turnd_engine_panics_total") == panics or None)  # noqa: B023
        call.assert_goes_on()
    (record,) = turnd.records("a thread of the engine panicked and goes on")
    assert (record["level"], record["thread"]) == ("error", 0)
    assert "asked for" in record["what"]
    status, body = turnd.get("/readyz")
    assert status == 200
    assert json.loads(body) == {
        "ready": True,
        "draining": False,
        "reasons": [],
        "engine": "native",
        "threads": 1,
        "io": "epoll",
        "panics": 2,
    }
