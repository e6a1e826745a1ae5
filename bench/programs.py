"""Our programs in C: compiled when a source is newer than what is there, run on a core of their own."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.trouble import BenchError

_FLAGS = ("-std=gnu11", "-O2", "-Wall")


class ProgramError(BenchError):
    """A program cannot be compiled or did not finish; the text says what to do."""


def cache() -> Path:
    """Where this user keeps what was built for benchmarks, outside of the checkout."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compiled(name: str) -> Path:
    """The program of a source beside this one, from the cache while no source has changed. Raises ProgramError."""
    source = Path(__file__).with_name(name)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ProgramError("the loads are made in C and want a compiler: sudo apt-get install gcc libc6-dev")
    text = b"".join(path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h"))))
    program = cache() / f"{source.stem}-{hashlib.sha256(text).hexdigest()[:16]}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        run = subprocess.run([compiler, *_FLAGS, "-o", fresh, source], capture_output=True, text=True, check=False)
        if run.returncode:
            raise ProgramError(f"{source} does not compile:\n{run.stderr}")
        fresh.replace(program)
    return program


def on_core(core: int | None, command: list[str]) -> list[str]:
    """The command, held on one core unless that is None."""
    return command if core is None else ["taskset", "--cpu-list", str(core), *command]


def report(
    name: str, words: Iterable[str], plan: str, core: int | None, seconds: float, sockets: Iterable[socket.socket] = ()
) -> Any:
    """What a program prints as JSON when it is given a plan. Raises ProgramError, after `seconds` at the latest."""
    command = on_core(core, [str(compiled(name)), *words])
    inherited = [each.fileno() for each in sockets]
    try:
        run = subprocess.run(
            command, input=plan, stdout=subprocess.PIPE, text=True, pass_fds=inherited, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{name} was not done after {seconds:.0f} s") from None
    if run.returncode:
        raise ProgramError(f"{name} ended with {run.returncode}; what it said stands above")
    return json.loads(run.stdout)
