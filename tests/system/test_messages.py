"""What an operator reads when something is wrong: where it is, what it is, and what to do."""

import json
import re
import socket

from fairlead.credentials import mint
from fairlead.datagram import Transport
from tests.loopback import quiet_port
from tests.processes import FAR_FUTURE, SECRET, Daemons, relay_on_loopback
from tests.turn_client import Sockets

EXIT_PROBLEM, EXIT_USAGE = 1, 2


def problem_of(output: str) -> str:
    """What the one ERROR record says, which is the last thing that a daemon writes when it cannot start."""
    errors = [record for record in map(json.loads, output.splitlines()) if record["level"] == "error"]
    assert [record["event"] for record in errors] == ["cannot start"]
    return str(errors[0]["problem"])


def test_a_wrong_configuration(daemons: Daemons) -> None:
    """All problems at once, each with its line, before anything is opened."""
    wrong = relay_on_loopback(relay={"ports": "60000-50000"}, lifetime={"default": "long"}, drain_dealine=3)
    code, output = daemons.fail("turnd", wrong)
    assert code == EXIT_USAGE
    lines = output.splitlines()
    assert len(lines) == 3
    place = r"turnd: \S+/fairlead.yaml:\d+:\d+: "
    for said in (
        "turnd.drain_dealine: unknown key; did you mean drain_deadline?",
        "turnd.relay.ports: no range of ports; write it as FIRST-LAST, from 1 to 65535",
        "turnd.lifetime.default: 'long' is no whole number; write digits",
    ):
        assert any(re.fullmatch(place + re.escape(said), line) for line in lines), output


def test_a_taken_port(daemons: Daemons) -> None:
    """It names the process that has the port."""
    holder = daemons.turnd()
    for daemon, transport in (("turnd", Transport.UDP), ("stund", Transport.TCP)):
        taken = f"{transport}://{holder.address(transport)}"
        configuration = relay_on_loopback(listen=[taken]) | {"stund": {"listen": [taken], "ops": "127.0.0.1:0"}}
        code, output = daemons.fail(daemon, configuration)
        assert code == EXIT_PROBLEM
        said = f"{daemon}.listen[0]: {taken} is taken by turnd (pid {holder.pid}); stop it, or write another port"
        assert problem_of(output).endswith(said)


def test_a_taken_ops_port(daemons: Daemons) -> None:
    holder = daemons.turnd()
    ops = holder.await_record("ready")["ops"]
    code, output = daemons.fail("turnd", relay_on_loopback(ops=ops))
    assert code == EXIT_PROBLEM
    assert f"turnd.ops: tcp://{ops} is taken by turnd (pid {holder.pid})" in problem_of(output)


def test_a_missing_certificate(daemons: Daemons) -> None:
    files = {"certificate": "/nowhere/certificate.pem", "key": "/nowhere/key.pem"}
    code, output = daemons.fail("turnd", relay_on_loopback() | {"tls": files})
    assert code == EXIT_PROBLEM
    place, said = problem_of(output).split(": ", 1)
    assert re.search(r"/fairlead.yaml:\d+:\d+$", place)
    assert said == (
        "tls.certificate: /nowhere/certificate.pem cannot be read (No such file or directory); "
        "check the path, and that the daemon's user may read it"
    )


def test_nobody_who_could_relay(daemons: Daemons) -> None:
    code, output = daemons.fail("turnd", relay_on_loopback() | {"auth": {}})
    assert code == EXIT_PROBLEM
    assert "auth: there is neither a secret nor a user" in problem_of(output)
    assert "set auth.secrets" in problem_of(output)


_EXPIRED = mint(SECRET.encode(), "late", 1_000_000_000)
_FOREIGN = mint(b"the secret of another server", "stranger", FAR_FUTURE)


#: User name and password, what the metric calls the failure, and what the log says of it.
_CREDENTIALS = [
    ("mallory", "password", "unknown_user", "no such user in auth.users"),
    ("user", "passwort", "bad_integrity", "wrong password"),
    (*_FOREIGN, "bad_integrity", "made with a secret that is not in auth.secrets"),
    (*_EXPIRED, "expired", "get a fresh one, and compare the clocks"),
]


def test_credentials_that_do_not_do(daemons: Daemons, sockets: Sockets) -> None:
    """The client hears 401, whatever it is; the operator hears why, once for each source."""
    turnd = daemons.turnd()
    for number, (username, password, failure, why) in enumerate(_CREDENTIALS, 1):
        source = f"127.0.0.{number}"
        before = turnd.metrics().sum("turnd_auth_failures_total", reason=failure)
        client = sockets.client(turnd, username=username, password=password, source=source)
        for _ in range(3):
            assert client.allocate().code == 401
        *_, line = lines = turnd.records("not authenticated")
        assert len(lines) == number
        assert (line["level"], line["failure"], line["user"], line["source"]) == ("warning", failure, username, source)
        assert why in line["why"]
        assert turnd.metrics().sum("turnd_auth_failures_total", reason=failure) == before + 3


def test_a_full_port_pool(daemons: Daemons, sockets: Sockets) -> None:
    lower = quiet_port(socket.SOCK_DGRAM)
    turnd = daemons.turnd(relay={"address": ["127.0.0.1"], "ports": f"{lower}-{lower + 1}"})
    assert [sockets.client(turnd).allocate().code for _ in range(4)] == [0, 0, 508, 508]
    (line,) = turnd.records("refused 508")
    assert (line["level"], line["user"], line["why"]) == ("warning", "user", "no relay port is free; widen relay.ports")
    metrics = turnd.metrics()
    assert metrics.sum("turnd_relay_ports", family="ipv4", state="free") == 0
    assert metrics.sum("turnd_requests_total", method="allocate", code="508") == 2
