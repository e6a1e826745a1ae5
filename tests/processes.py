"""The daemons of this checkout as their users run them: processes, each on ports that the system chooses.

A daemon that writes an ERROR record, or anything that is no record, fails the test that started it.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fairlead.datagram import Address, parse_address

T = TypeVar("T")
Configuration = dict[str, Any]
Record = dict[str, Any]

#: Seconds that a test waits for a daemon before it gives up; on a machine with much else to do, all takes its time.
PATIENCE = 90.0
_POLL = 0.02

SECRET = "secret"
REALM = "fairlead.test"
AUTH: Configuration = {
    "realm": REALM,
    "secrets": [{"name": "current", "value": SECRET}],
    "users": [{"name": "user", "password": "password"}],
}
JOIN_KEY = "a key that opens every room"
#: Unix time, in the year 2100: when the credentials of tests expire.
FAR_FUTURE = 4_102_444_800


def wait_for(what: str, look: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """Looks again and again until something is there, and returns it."""
    deadline = time.monotonic() + patience
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{what}: not within {patience:g} s"
        time.sleep(_POLL)
    return found


def relay_on_loopback(**section: Any) -> Configuration:
    """turnd on 127.0.0.1, relaying over 127.0.0.1, with a secret and a user; loopback peers as `peers` says."""
    turnd = {
        "listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"],
        "listen_tls": ["tls://127.0.0.1:0"],
        "ops": "127.0.0.1:0",
        "relay": {"address": ["127.0.0.1"]},
    }
    return {"auth": AUTH, "turnd": turnd | section}


def signaling_on_loopback(*ice: str, own: Configuration | None = None, **shared: Any) -> Configuration:
    """signal_api on 127.0.0.1, which tells clients of these servers, and opens to JOIN_KEY. `own` are other keys of its
    section."""
    urls = {kind: [url for url in ice if url.startswith(f"{kind}:")] for kind in ("stun", "turn", "turns")}
    section = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "join_key": JOIN_KEY, "ice": urls} | (own or {})
    return {"auth": AUTH} | shared | {"signal_api": section}


class Daemon:
    """One daemon as a process with a folder of its own."""

    def __init__(self, module: str, configuration: Configuration, folder: Path) -> None:
        self._module = module
        self._file = folder / "fairlead.yaml"
        self._output = folder / "output.txt"
        #: The events of ERROR records that the test asks for.
        self.expected_errors: tuple[str, ...] = ()
        self.is_expected_to_fail = False
        self.write(configuration)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD")}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(self._file)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def file(self) -> Path:
        return self._file

    def write(self, configuration: Configuration) -> None:
        """Replaces the configuration file, in one step."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(configuration))
        fresh.replace(self._file)

    # What it says

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def records(self, event: str | None = None) -> list[Record]:
        """What it has logged so far, lines that are no records left out."""
        found = []
        for line in self.output.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                found.append(json.loads(line))
        return [record for record in found if event is None or record["event"] == event]

    def await_record(self, event: str, number: int = 1) -> Record:
        """The `number`th record of this event, as soon as it is written."""

        def look() -> Record | None:
            self._must_run()
            found = self.records(event)
            return found[number - 1] if len(found) >= number else None

        return wait_for(f"{event!r} in {self._output}", look)

    def address(self, scheme: str) -> Address:
        """Where it listens for a transport, or for "http"."""
        self.await_record("ready")
        places = [place for record in self.records("serving") for place in record["listeners"]]
        places += [record["on"] for record in self.records("listening")]
        return next(parse_address(place.partition("://")[2]) for place in places if place.startswith(f"{scheme}://"))

    # What it answers

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the ops port."""
        ops = parse_address(self.await_record("ready")["ops"])
        with contextlib.closing(http.client.HTTPConnection(ops.host, ops.port, timeout=PATIENCE)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def await_ready(self) -> None:
        def look() -> bool | None:
            self._must_run()
            return self.get("/readyz")[0] == 200 or None

        wait_for("/readyz", look)

    def metrics(self) -> "Samples":
        return Samples(self.get("/metrics")[1])

    def resident_memory(self) -> int:
        """Bytes that it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    # What is done to it

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def reload(self, configuration: Configuration) -> None:
        """Gives it another configuration, and returns when it has taken it over."""
        before = len(self.records("configuration reloaded"))
        self.write(configuration)
        self.signal(signal.SIGHUP)
        self.await_record("configuration reloaded", before + 1)

    def exit_code(self) -> int:
        """Waits until it ends."""
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ends it, and holds it to having said nothing that calls for help."""
        if self._process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self._process.wait(PATIENCE)
            finally:
                self.kill()
        if self.is_expected_to_fail:
            return
        cries = [line for line in self.output.splitlines() if not line.startswith("{")]
        cries += [str(record) for record in self.records() if self._calls_for_help(record)]
        assert not cries, "\n".join([f"{self._module} wrote", *cries])

    def _calls_for_help(self, record: Record) -> bool:
        return record["level"] in ("error", "critical") and record["event"] not in self.expected_errors

    def _must_run(self) -> None:
        code = self._process.poll()
        assert code is None, f"{self._module} has ended with {code}:\n{self.output}"


class Samples:
    """One scrape."""

    def __init__(self, exposition: str) -> None:
        families = text_string_to_metric_families(exposition)
        self._samples = [sample for family in families for sample in family.samples]

    def sum(self, name: str, **labels: str) -> int:
        """The sum of the samples of this name with these labels; there must be one."""
        found = [s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items()]
        assert found, f"no sample {name}{labels}"
        return int(sum(found))

    def by(self, name: str, label: str) -> Mapping[str, int]:
        """What is not zero, by one label."""
        values = {s.labels[label] for s in self._samples if s.name == name}
        return {value: total for value in values if (total := self.sum(name, **{label: value}))}


class Daemons:
    """Starts daemons, and ends them when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._count = 0

    def start(self, module: str, configuration: Configuration) -> Daemon:
        """Starts one and does not wait."""
        self._count += 1
        folder = self._folder / f"{module}-{self._count}"
        folder.mkdir()
        daemon = Daemon(module, configuration, folder)
        self._stack.callback(daemon.stop)
        return daemon

    def fail(self, module: str, configuration: Configuration) -> tuple[int, str]:
        """Starts one that is to end by itself; returns its exit code and all that it wrote."""
        daemon = self.start(module, configuration)
        daemon.is_expected_to_fail = True
        return daemon.exit_code(), daemon.output

    def turnd(self, configuration: Configuration | None = None, **section: Any) -> Daemon:
        """turnd on loopback with other keys of its section, or with this configuration; ready."""
        daemon = self.start("turnd", configuration or relay_on_loopback(**section))
        daemon.await_ready()
        return daemon

    def stund(self, **section: Any) -> Daemon:
        """stund on loopback; ready."""
        listen = {"listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"], "ops": "127.0.0.1:0"}
        daemon = self.start("stund", {"stund": listen | section})
        daemon.await_ready()
        return daemon

    def signal_api(self, *ice: str, own: Configuration | None = None, **shared: Any) -> Daemon:
        """signal_api on loopback, as signaling_on_loopback has it; ready."""
        daemon = self.start("signal_api", signaling_on_loopback(*ice, own=own, **shared))
        daemon.await_ready()
        return daemon

    def keep(self, end: Callable[[], object]) -> None:
        """Ends something else with the daemons, after them."""
        self._stack.callback(end)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    """Daemons for one test."""
    with contextlib.closing(Daemons(tmp_path)) as started:
        yield started
