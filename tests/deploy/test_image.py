"""The image of deploy/Containerfile, built and run: what it promises, a container keeps. `make image` runs this.

It takes half a minute, and programs that nothing else needs. There is no registry: BASE is made of Debian's packages,
and RUST of the same, with the engine that this checkout has compiled. FAIRLEAD_IMAGE=PATH names a root with cargo and
gcc, as a tar, and the image compiles it.
"""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.datagram import Address, Transport, parse_address
from tests.architecture.house import ROOT
from tests.deploy.containers import Containers
from tests.processes import REALM, SECRET, Samples, wait_for
from tests.skipping import skip_for_lack_of
from tests.turn_client import Sockets, TurnClient

ENGINE = ROOT / "fairlead" / "native" / "_engine.abi3.so"
PACKAGES = "python3-minimal,python3.11-venv,dash,coreutils,libc-bin"
CONFIGURATION = f"""
auth:
  realm: {REALM}
  users: [{{name: user, password: password}}]
turnd:
  listen: ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
  ops: 127.0.0.1:0
  relay: {{address: [127.0.0.1]}}
  peers: {{allow: [loopback]}}
"""
#: megabytes that the image may have beside its base
LARGEST = 100

pytestmark = pytest.mark.timeout(300)


class Turnd:
    """The daemon in its container, as its operator sees it."""

    def __init__(self, containers: Containers, image: str, folder: Path) -> None:
        self._containers = containers
        folder.chmod(0o755)
        (folder / "fairlead.yaml").write_text(CONFIGURATION)
        secret = folder / "turn"
        secret.write_text(SECRET)
        secret.chmod(0o400)
        os.chown(secret, 10001, 10001)
        mounts = ("--volume", f"{folder}:/etc/fairlead:ro", "--volume", f"{secret}:/run/secrets/turn:ro")
        variables = {
            "FAIRLEAD_CONFIG": "/etc/fairlead/fairlead.yaml",
            "FAIRLEAD__AUTH__SECRETS__0__NAME": "current",
            "FAIRLEAD__AUTH__SECRETS__0__VALUE_FILE": "/run/secrets/turn",
        }
        given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        containers.run("turnd", image, options=(*mounts, *given))
        wait_for("ready", lambda: self.records("ready") or None)

    def records(self, event: str) -> list[dict[str, Any]]:
        """What it has logged."""
        text = self._containers.logs("turnd")
        assert all(line.startswith("{") for line in text.splitlines()), text
        return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]

    def address(self, transport: Transport) -> Address:
        (serving,) = self.records("serving")
        places = (place.partition("://") for place in serving["listeners"])
        return next(parse_address(rest) for scheme, _, rest in places if scheme == transport)

    def get(self, path: str) -> str:
        """A page of the ops port, whatever its status."""
        (ready,) = self.records("ready")
        try:
            with urllib.request.urlopen(f"http://{ready['ops']}{path}", timeout=10) as reply:
                return str(reply.read().decode())
        except urllib.error.HTTPError as reply:
            return str(reply.read().decode())

    def exec(self, *command: str) -> str:
        return self._containers.podman("exec", "turnd", *command)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._containers.inspect("turnd")["State"]
        return state


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    with contextlib.closing(Containers(tmp_path_factory.mktemp("containers"))) as started:
        yield started


@pytest.fixture(scope="module")
def image(containers: Containers, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("image")
    base = folder / "base.tar"
    options = ("--quiet", "--variant=extract", f"--include={PACKAGES}")
    subprocess.run(["mmdebstrap", *options, "bookworm", base], check=True)
    containers.import_root("localhost/base", base)
    root = Path(os.environ["FAIRLEAD_IMAGE"])
    if root.is_file():
        containers.import_root("localhost/rust", root)
    else:
        _take_engine(containers, folder)
    stages = {"BASE": "localhost/base", "RUST": "localhost/rust"}
    containers.build("localhost/fairlead", ROOT / "deploy" / "Containerfile", ROOT, stages)
    return "localhost/fairlead"


def _take_engine(containers: Containers, folder: Path) -> None:
    """RUST, as far as it need not compile."""
    if not ENGINE.exists():
        skip_for_lack_of("the native engine", enable="make native")
    (folder / ENGINE.name).write_bytes(ENGINE.read_bytes())
    file = folder / "rust"
    file.write_text(f"FROM localhost/base\nCOPY {ENGINE.name} /\nENV FAIRLEAD_ENGINE=/{ENGINE.name}\n")
    containers.build("localhost/rust", file, folder, {})


@pytest.fixture(scope="module")
def turnd(containers: Containers, image: str, tmp_path_factory: pytest.TempPathFactory) -> Turnd:
    return Turnd(containers, image, tmp_path_factory.mktemp("etc"))


def test_it_is_small(containers: Containers, image: str) -> None:
    base, whole = (containers.inspect(name)["Size"] for name in ("localhost/base", image))
    assert whole - base < LARGEST * 1_000_000
    layers = containers.inspect(image)["RootFS"]["Layers"]
    assert len(layers) == 2, "the stages that build leave nothing behind"


def test_it_moves_packets_in_compiled_code(turnd: Turnd) -> None:
    ready = json.loads(turnd.get("/readyz"))
    assert (ready["ready"], ready["engine"]) == (True, "native")
    server = turnd.address(Transport.UDP)
    command = ["turnutils_uclient", "-y", "-c", "-n", "100", "-p", str(server.port), "-W", SECRET, server.host]
    run = subprocess.run(["timeout", "60", *command], capture_output=True, text=True, check=True)
    assert "Total lost packets 0 (0.000000%), total send dropped 0" in run.stdout + run.stderr
    samples = Samples(turnd.get("/metrics"))
    assert samples.sum("turnd_datapath", datapath="native") == 1
    assert samples.sum("turnd_relay_packets_total", datapath="native") >= 200


def test_it_has_no_right_that_it_does_not_need(turnd: Turnd) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{turnd.state['Pid']}/status").read_text().splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for place in ("/", "/opt/fairlead", "/etc/fairlead", "/tmp"):
        assert turnd.exec("sh", "-c", f"touch {place}/x 2>/dev/null || echo refused") == "refused\n"


def test_it_may_open_as_many_files_as_the_container(turnd: Turnd) -> None:
    limits = Path(f"/proc/{turnd.state['Pid']}/limits").read_text()
    (files,) = [line.split() for line in limits.splitlines() if line.startswith("Max open files")]
    assert files[3] == files[4]


def test_it_is_probed_from_inside(containers: Containers, turnd: Turnd, image: str) -> None:
    probe = containers.inspect(image)["Healthcheck"]["Test"]
    assert probe[:4] == ["CMD", "python", "-m", "fairlead.probe"]
    assert "sees 127.0.0.1" in turnd.exec(*probe[1:4], str(turnd.address(Transport.UDP)))


def test_its_calls_go_on_when_it_is_to_stop_and_a_second_signal_ends_them(
    containers: Containers, turnd: Turnd, sockets: Sockets
) -> None:
    client = TurnClient(sockets.connect(turnd.address(Transport.UDP), Transport.UDP))
    client.allocated()
    containers.podman("kill", "--signal", "TERM", "turnd")
    wait_for("draining", lambda: turnd.records("draining") or None)
    assert json.loads(turnd.get("/readyz"))["reasons"] == ["draining"]
    assert client.refresh().code == 0
    containers.podman("kill", "--signal", "TERM", "turnd")
    wait_for("the end", lambda: not turnd.state["Running"] or None)
    assert turnd.state["ExitCode"] == 0
    assert turnd.records("stopped")
