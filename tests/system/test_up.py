"""`fairlead up` with the three real daemons: from nothing to a relayed address, and back to nothing."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from aioice.turn import create_turn_endpoint

from fairlead_cli.creds.formats import parse_uri
from tests.loopback import quiet_port
from tests.processes import PATIENCE, wait_for
from turnd.addresses import machine_hosts

COMMAND = (sys.executable, "-m", "fairlead_cli", "up")
DAEMONS = ("stund", "turnd", "signal_api")
NAMES = ("stund", "turnd", "page", "stund_ops", "turnd_ops", "page_ops")
#: seconds; three interpreters start at once
START = PATIENCE


class Up:
    """One `fairlead up` on ports of its own, with a folder for its state and what it says."""

    def __init__(self, folder: Path, stack: ExitStack, **environ: str) -> None:
        self.folder = folder
        ports: set[int] = set()
        while len(ports) < len(NAMES):
            ports.add(quiet_port(socket.SOCK_STREAM, socket.SOCK_DGRAM))
        self.ports = dict(zip(NAMES, ports, strict=True))
        self.state = folder / "state"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD")}
        self.environ |= self._settings() | environ
        self._stack = stack

    def start(self) -> None:
        """Starts it and does not wait."""
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self.process = subprocess.Popen(COMMAND, env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self._stack.callback(self._kill)

    @contextmanager
    def start_at_terminal(self) -> Iterator[int]:
        """Starts it as a shell at a terminal does; the terminal is what is returned."""
        terminal, inside = pty.openpty()
        with os.fdopen(terminal, "rb"):
            with os.fdopen(inside, "rb"):
                self.process = subprocess.Popen(
                    COMMAND, env=self.environ | {"TERM": "xterm"}, stdin=inside, stdout=inside, stderr=inside,
                    start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                )  # fmt: skip
            self._stack.callback(self._kill)
            yield terminal

    def await_up(self) -> None:
        wait_for("the summary", lambda: self._while_running("Ctrl-C drains" in self.stdout), START)

    def await_word(self, words: str, times: int = 1) -> None:
        wait_for(f"{words!r} in\n{self.stderr}", lambda: self._while_running(self.stderr.count(words) >= times), START)

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def children(self) -> dict[str, int]:
        """The pid of each daemon, by its module."""
        return children_of(self.process.pid)

    def stop(self) -> int:
        """Asks it to end, and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START)

    def page(self, host: str = "localhost") -> str:
        return f"http://{host}:{self.ports['page']}"

    def credential(self) -> dict[str, str]:
        """What `fairlead creds` prints."""
        command = [sys.executable, "-m", "fairlead_cli", "creds", "tester", "--format", "turnrest"]
        made = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(made.stdout)
        return found

    def _settings(self) -> dict[str, str]:
        """No configuration but the ports, since those of the defaults may be in use."""
        ports = self.ports
        return {
            "FAIRLEAD_STATE": str(self.state),
            "FAIRLEAD__STUND__LISTEN": f"[udp://*:{ports['stund']}, tcp://*:{ports['stund']}]",
            "FAIRLEAD__TURND__LISTEN": f"[udp://*:{ports['turnd']}, tcp://*:{ports['turnd']}]",
            "FAIRLEAD__SIGNAL_API__LISTEN": f"*:{ports['page']}",
            **{f"FAIRLEAD__{name.upper()}__OPS": f"127.0.0.1:{self.ops(name)}" for name in DAEMONS},
        }

    def ops(self, name: str) -> int:
        """The ops port of a daemon."""
        return self.ports[{"signal_api": "page"}.get(name, name) + "_ops"]

    def _while_running(self, found: bool) -> bool | None:
        assert found or self.process.poll() is None, f"it has ended with {self.process.returncode}:\n{self.stderr}"
        return found or None

    def _kill(self) -> None:
        children = self.children() if self.process.poll() is None else {}
        self.process.kill()
        self.process.wait()
        for pid in children.values():
            wait_for(f"the end of {pid}", partial(has_ended, pid))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """One that is not started yet."""
    with ExitStack() as stack:
        yield Up(tmp_path, stack)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that runs, for the tests that do it no harm."""
    folder = tmp_path_factory.mktemp("up")
    (folder / "fairlead.yaml").write_text("log: {level: info}\n")
    with ExitStack() as stack:
        up = Up(folder, stack, FAIRLEAD_CONFIG=str(folder / "fairlead.yaml"))
        up.start()
        up.await_up()
        yield up


def test_every_daemon_runs_and_is_ready(running: Up) -> None:
    assert sorted(running.children()) == sorted(DAEMONS)
    for name in DAEMONS:
        assert (
            httpx.get(f"http://127.0.0.1:{running.ops(name)}/readyz", trust_env=False, timeout=PATIENCE).status_code
            == 200
        )


def test_the_summary_leads_everywhere(running: Up) -> None:
    key = (running.state / "join-key").read_text().strip()
    assert re.search(rf"^  turn +turn:.*:{running.ports['turnd']}\?transport=udp$", running.stdout, re.MULTILINE)
    assert re.search(rf"^  stun +stun:.*:{running.ports['stund']}$", running.stdout, re.MULTILINE)
    assert f"http://localhost:{running.ports['page']}/#" in running.stdout
    assert running.stdout.count(key) >= 2
    assert "no TLS certificate: set tls.certificate and tls.key" in running.stdout
    for url in re.findall(r"http://\S+/(?:metrics|v1/openapi.json)", running.stdout):
        assert httpx.get(url, trust_env=False, timeout=PATIENCE).status_code == 200
    assert "\x1b" not in running.stdout + running.stderr


def test_the_secret_is_told_nobody(running: Up) -> None:
    secret = (running.state / "secret").read_text().strip()
    assert secret not in running.stdout + running.stderr
    for pid in (running.process.pid, *running.children().values()):
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert secret.encode() not in told
    assert stat.S_IMODE((running.state / "secret").stat().st_mode) == 0o600


def test_the_page_is_there(running: Up) -> None:
    assert httpx.get(f"{running.page()}/", trust_env=False, timeout=PATIENCE).status_code == 200


def test_nobody_becomes_an_open_relay(running: Up) -> None:
    key = (running.state / "join-key").read_text().strip()
    host, headers = outside()
    ask = f"{running.page(host)}/v1/ice"
    assert httpx.get(ask, headers=headers, trust_env=False, timeout=PATIENCE).status_code == 401
    wrong = headers | {"Authorization": "Bearer 0123456789abcdef"}
    assert httpx.get(ask, headers=wrong, trust_env=False, timeout=PATIENCE).status_code == 401
    let_in = httpx.get(ask, headers=headers | {"Authorization": f"Bearer {key}"}, trust_env=False, timeout=PATIENCE)
    assert let_in.status_code == 200
    urls = [url for server in let_in.json()["iceServers"] for url in server["urls"]]
    assert {parse_uri(url).port for url in urls} == {running.ports["stund"], running.ports["turnd"]}


def test_a_credential_of_creds_allocates(running: Up) -> None:
    assert asyncio.run(relayed(running.credential())) != 0


def test_a_credential_of_the_page_allocates(running: Up) -> None:
    body = httpx.get(f"{running.page()}/v1/ice?format=rest", trust_env=False, timeout=PATIENCE)
    assert body.status_code == 200, "people at this machine need no key"
    assert asyncio.run(relayed(body.json())) != 0


def test_a_reload_reaches_all_and_a_wrong_one_none(running: Up) -> None:
    file = running.folder / "fairlead.yaml"
    file.write_text("log: {level: info}\nturnd: {engin: auto}\n")
    running.process.send_signal(signal.SIGHUP)
    running.await_word(f"the old one stays: {file}:2:9: turnd.engin: unknown key; did you mean engine?")
    file.write_text("log: {level: info}\nturnd: {quotas: {per_user: 7}}\n")
    running.process.send_signal(signal.SIGHUP)
    running.await_word('"event": "configuration reloaded"', times=len(DAEMONS))
    assert '"level": "error"' not in running.stderr


def test_turnd_is_killed_and_comes_back(running: Up) -> None:
    before = running.children()
    os.kill(before["turnd"], signal.SIGKILL)
    running.await_word("turnd is ready again")
    assert "turnd was killed by SIGKILL; it starts again in 0.5 s" in running.stderr
    after = running.children()
    assert [name for name in DAEMONS if after[name] != before[name]] == ["turnd"]
    assert asyncio.run(relayed(running.credential())) != 0


def test_it_ends_without_a_trace_and_begins_again_with_the_same_secret(up: Up) -> None:
    up.start()
    up.await_word("starting")
    assert up.stop() == 0, "also while daemons start"
    kept = {file: file.read_text() for file in up.state.iterdir()}
    assert sorted(file.name for file in kept) == ["join-key", "secret"]
    assert [file for file in kept if file.stat().st_mode & 0o077] == []
    up.start()
    up.await_up()
    children = up.children()
    assert up.stop() == 0
    assert sorted(children) == sorted(DAEMONS)
    assert all(map(has_ended, children.values()))
    assert {file: file.read_text() for file in up.state.iterdir()} == kept


def test_a_port_that_is_taken_is_named_and_not_tried_again(up: Up) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", up.ports["turnd"]))
        up.start()
        assert up.process.wait(START) == 1
    head, cause, advice = up.stderr.splitlines()[-3:]
    port = up.ports["turnd"]
    assert head == "fairlead   | turnd cannot start:"
    assert re.search(rf"turnd\.listen\[0\]: udp://0\.0\.0\.0:{port} is taken by \S+ \(pid {os.getpid()}\)", cause)
    assert "run fairlead up again" in advice
    assert up.stderr.count('"event": "cannot start"') == 1
    assert "Traceback" not in up.stderr
    assert up.stdout == ""
    assert children_of(up.process.pid) == {}


def test_at_a_terminal_control_c_drains(up: Up) -> None:
    """In colour; and the terminal's signal reaches the supervisor alone."""
    with up.start_at_terminal() as terminal:
        seen = read_until(terminal, b"Ctrl-C drains")
        os.write(terminal, b"\x03")
        seen += read_until(terminal, None)
    assert up.process.wait(START) == 0
    assert b"\x1b[" in seen
    words = re.sub(rb"\x1b\[[0-9;]*m", b"", seen).decode()
    assert "fairlead   | draining: no new work" in words
    for name in DAEMONS:
        assert re.search(rf"{name} +\| \S+ info +draining", words), f"{name} was stopped"
    assert '{"' not in words


# What the tests ask the machine


def children_of(parent: int) -> dict[str, int]:
    """The pids of a process's children, by the module that they run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, above = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(above) == parent and state != "Z" and b"-m" in words:
            found[words[words.index(b"-m") + 1].decode()] = int(entry.name)
    return found


def has_ended(pid: int) -> bool | None:
    """True when a process is gone, or is kept only for its parent to read the status; else None."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" or None
    except OSError:
        return True


def outside() -> tuple[str, dict[str, str]]:
    """A host and headers by which a request does not look as if somebody sat at this machine."""
    others = [host for host in machine_hosts() if "." in host and not host.startswith("127.")]
    return (others[0], {}) if others else ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"})


async def relayed(credential: dict[str, str]) -> int:
    """Allocates over the first URI, by aioice; returns the relayed port."""
    server = parse_uri(credential["uris"][0])
    transport, _ = await asyncio.wait_for(
        create_turn_endpoint(
            asyncio.DatagramProtocol,
            server_addr=(server.host, server.port),
            username=credential["username"],
            password=credential["password"],
            transport=server.transport,
        ),
        PATIENCE,
    )
    port: int = transport.get_extra_info("sockname")[1]
    transport.close()
    await asyncio.sleep(0)
    return port


def read_until(terminal: int, words: bytes | None) -> bytes:
    """What a terminal shows until these words, or until the program has gone."""
    seen = b""
    while words is None or words not in seen:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    return seen
