"""The load generator: compiled when its source is newer, started on sockets that are ready, read as a Round."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.cases import Direction
from bench.results import Round
from bench.trouble import BenchError
from fairlead.datagram import Address

_SOURCE = "generator.c"
_FLAGS = ("-std=gnu11", "-O2", "-Wall")


class GeneratorError(BenchError):
    """A program of ours in C cannot be compiled or did not finish; the text says what to do."""


class Flow(NamedTuple):
    """One client's socket, where its peers' packets go to, and what frames its payloads both ways."""

    socket: socket.socket
    relayed: Address
    prefix: bytes
    skipped: int


class Load(NamedTuple):
    """A closed window of `window` packets over all flows, `train` of them leaving together; `peer` None means that
    the relay itself echoes."""

    flows: Sequence[Flow]
    peer: socket.socket | None
    direction: Direction
    size: int
    window: int
    warm_up: float
    seconds: float
    train: int = 1


def compiled(name: str = _SOURCE) -> Path:
    """The program of a source beside this one, from the cache of this user where the source has not changed. Raises
    GeneratorError."""
    source = Path(__file__).with_name(name)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise GeneratorError("the loads are made in C and want a compiler: sudo apt-get install gcc libc6-dev")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead"
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        run = subprocess.run([compiler, *_FLAGS, "-o", fresh, source], capture_output=True, text=True, check=False)
        if run.returncode:
            raise GeneratorError(f"{source} does not compile:\n{run.stderr}")
        fresh.replace(program)
    return program


def generate(load: Load, relay_pid: int, core: int | None) -> Round:
    """Runs one round; raises GeneratorError."""
    sockets = [flow.socket for flow in load.flows] + ([load.peer] if load.peer else [])
    process = subprocess.Popen(
        _on_core(core, [str(compiled()), "load"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[each.fileno() for each in sockets],
    )
    output, _ = process.communicate(_plan(load, relay_pid), timeout=load.warm_up + load.seconds + 30)
    if process.returncode:
        raise GeneratorError(f"the load generator ended with {process.returncode}; what it said stands above")
    return Round(**json.loads(output))


def start_echo(sock: socket.socket, core: int | None) -> subprocess.Popen[str]:
    """A process that sends back what comes in on a bound socket: what relaying costs without relaying."""
    command = _on_core(core, [str(compiled()), "echo", str(sock.fileno())])
    return subprocess.Popen(command, pass_fds=[sock.fileno()], text=True)


def _on_core(core: int | None, command: list[str]) -> list[str]:
    return command if core is None else ["taskset", "--cpu-list", str(core), *command]


def _plan(load: Load, relay_pid: int) -> str:
    peer = load.peer.fileno() if load.peer else -1
    head = (
        load.direction,
        load.size,
        load.window,
        load.warm_up,
        load.seconds,
        relay_pid,
        peer,
        load.train,
        len(load.flows),
    )
    rows = [(flow.socket.fileno(), *flow.relayed, flow.prefix.hex() or "-", flow.skipped) for flow in load.flows]
    return "\n".join(" ".join(map(str, line)) for line in (head, *rows))
