"""All attacks at once, again and again, beside honest clients of the same process: they notice nothing.

FAIRLEAD_HOSTILE=60 does so for a minute and prints what the honest clients saw; then the machine should be quiet.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.cases import all_attacks
from tests.hostile.target import Target
from tests.processes import JOIN_KEY

#: seconds under attack, and threads that attack
SECONDS, ATTACKERS = float(os.environ.get("FAIRLEAD_HOSTILE", "3")), 6
#: what a frame takes at most beside the attacks, in times of what it takes without and in seconds: it waits behind
#: theirs, since there is one loop, but for none of theirs
_TIMES, _SECONDS = 50, 0.5
#: bytes that the process may grow by, whatever is done to it
_GROWTH = 96 << 20


class Honest:
    """The process of tests.hostile.honest."""

    def __init__(self, target: Target) -> None:
        command = [sys.executable, "-m", "tests.hostile.honest", str(target.place), JOIN_KEY]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self) -> dict[str, Any]:
        """What they saw since they were asked last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def over(self, seconds: float) -> dict[str, Any]:
        self.told()
        time.sleep(seconds)  # they talk meanwhile, in a process of their own
        return self.told()

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def honest(hasty: Target) -> Iterator[Honest]:
    with contextlib.closing(contextlib.ExitStack()) as stack:
        clients = Honest(hasty)
        stack.callback(clients.end)
        clients.told()
        yield clients


@contextlib.contextmanager
def _under_attack(target: Target) -> Iterator[None]:
    """What the attacks meet does not matter here: they meet each other."""
    over = threading.Event()
    attacks = all_attacks()

    def attack(first: int) -> None:
        turn = first
        while not over.is_set():
            with contextlib.suppress(Exception):
                attacks[turn % len(attacks)].do(target)
            turn += ATTACKERS

    threads = [threading.Thread(target=attack, args=(number,)) for number in range(ATTACKERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_the_others_notice_nothing(hasty: Target, honest: Honest) -> None:
    before, memory = honest.over(SECONDS / 2), hasty.daemon.resident_memory()
    with _under_attack(hasty):
        during = honest.over(SECONDS)
    after = honest.over(SECONDS / 2)
    sys.stdout.write("\n".join(map(json.dumps, (before, during, after))) + "\n")
    assert after["closed"] == after["disturbed"] == 0
    assert after["missing"] <= 16, "what is on its way just now"
    assert during["frames"] > 0.5 * SECONDS / 0.02 * 8
    assert during["p99"] < max(_TIMES * before["p99"], _SECONDS)
    assert hasty.daemon.resident_memory() - memory < _GROWTH


def test_afterwards_nothing_is_held(hasty: Target) -> None:
    """Every connection of an attacker has ended by itself or by a time of ours."""
    deadline = time.monotonic() + 20
    while len(os.listdir(Path("/proc") / str(hasty.daemon.pid) / "fd")) > 40 or hasty.metric("unfinished_requests"):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # what is waited for is another process, with its own clock
