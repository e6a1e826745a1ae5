"""The command, as a process."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fairlead.datagram import Address
from fairlead.probe import main as probe
from tests.processes import Daemon, Daemons, wait_for
from tests.stund.running import REQUEST


def ask(address: Address) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.sendto(REQUEST, address)
        return sock.recv(2048)


ENGINE = {"engine": "python", "panics": 0}


def readiness(stund: Daemon) -> tuple[int, dict[str, object]]:
    status, body = stund.get("/readyz")
    return status, json.loads(body)


def test_it_is_ready_when_it_answers(daemons: Daemons) -> None:
    stund = daemons.stund(engine="python")
    assert len(ask(stund.address("udp"))) == 32
    for scheme in ("udp", "tcp"):
        assert probe(["--transport", scheme, str(stund.address(scheme))]) == 0
    assert readiness(stund) == (200, {"ready": True, "draining": False, "reasons": []} | ENGINE)
    assert stund.metrics().sum("stund_requests_total", transport="udp") >= 2


def test_readiness_flips_while_it_drains_and_serves(daemons: Daemons) -> None:
    stund = daemons.stund(engine="python")
    with socket.create_connection(stund.address("tcp")) as connection:
        connection.settimeout(20)
        connection.sendall(REQUEST)
        assert len(connection.recv(100)) == 32
        stund.signal(signal.SIGTERM)
        stund.await_record("draining")
        assert readiness(stund) == (503, {"ready": False, "draining": True, "reasons": ["draining"]} | ENGINE)
        assert stund.get("/healthz")[0] == 200
        assert stund.metrics().sum("stund_draining") == 1
        assert len(ask(stund.address("udp"))) == 32
        connection.sendall(REQUEST)
        assert len(connection.recv(100)) == 32
    assert stund.exit_code() == 0


def test_a_bad_file_changes_nothing_and_a_good_one_does(daemons: Daemons) -> None:
    stund = daemons.stund(engine="python")
    stund.expected_errors = ("configuration refused, the old one stays",)
    good = yaml.safe_load(stund.file.read_text())
    stund.write({"stund": good["stund"] | {"sofware": "x"}})
    stund.signal(signal.SIGHUP)
    problem = stund.await_record("configuration refused, the old one stays")["problem"]
    assert problem.startswith(f"{stund.file}:")
    assert problem.endswith("stund.sofware: unknown key; did you mean software?")
    assert len(ask(stund.address("udp"))) == 32
    stund.reload({"stund": good["stund"] | {"software": "x"}})
    assert len(ask(stund.address("udp"))) > 32
    assert stund.metrics().by("stund_config_reloads_total", "result") == {"error": 1, "success": 1}


def test_a_taken_port_names_the_process_and_exits_with_1(daemons: Daemons) -> None:
    first = daemons.stund()
    port = first.address("udp").port
    second = daemons.start("stund", {"stund": {"listen": [f"udp://127.0.0.1:{port}"], "ops": "127.0.0.1:0"}})
    second.expected_errors = ("cannot start",)
    assert second.exit_code() == 1
    (record,) = second.records("cannot start")
    assert record["problem"] == (
        f"{second.file}:3:5: stund.listen[0]: udp://127.0.0.1:{port} is taken by stund (pid {first.pid}); "
        "stop it, or write another port"
    )


def test_a_missing_certificate_exits_with_1(daemons: Daemons) -> None:
    configuration = {"tls": {"certificate": "/none/cert.pem", "key": "/none/key.pem"}, "stund": {"ops": "127.0.0.1:0"}}
    stund = daemons.start("stund", configuration)
    stund.expected_errors = ("cannot start",)
    assert stund.exit_code() == 1
    (record,) = stund.records("cannot start")
    assert "tls.certificate: /none/cert.pem cannot be read (No such file or directory)" in record["problem"]


def test_a_wrong_configuration_exits_with_2_and_says_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.yaml"
    file.write_text("stund:\n  clasic: true\n  listen: [udp://everywhere:1]\nauth: {realm: [x]}\n")
    done = subprocess.run(
        [sys.executable, "-m", "stund", "--config", file], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"stund: {file}:2:3: stund.clasic: unknown key; did you mean classic?\n"
        f"stund: {file}:3:12: stund.listen[0]: 'everywhere' is no IP address; names are not looked up here\n"
        f"stund: {file}:4:15: auth.realm: one text belongs here; write KEY: TEXT\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_when_nothing_is_open(daemons: Daemons, number: signal.Signals) -> None:
    stund = daemons.stund(engine="python")
    # The self-probe's connection is closed before anything is asked of the daemon.
    wait_for("no connection", lambda: stund.metrics().sum("stund_connections") == 0 or None)
    stund.signal(number)
    assert stund.exit_code() == 0
