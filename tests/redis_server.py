"""A real Redis, with a folder and a port of its own, that a test may stop, pause and lose."""

import contextlib
import itertools
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import quiet_port
from tests.skipping import require_program

#: seconds for a call of a Redis that answers in the end: that a machine stands still for a moment is no outage
PATIENT = 10.0
_numbers = itertools.count()


class RedisServer:
    """Keeps nothing on disk, so that a restart loses all; `url` stays the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = require_program("redis-server")
        self.port = quiet_port(socket.SOCK_STREAM)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._program, *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while self.command("PING") != b"+PONG\r\n":
            assert time.monotonic() < deadline, "redis-server does not start"
            time.sleep(0.01)

    def command(self, *words: str) -> bytes:
        """The beginning of the reply; nothing when there is no server."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as link:
            link.sendall(request.encode())
            return link.recv(65536)
        return b""

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests that leave it as it is."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def redis_prefix() -> str:
    """Keys that nobody else has."""
    return f"test{next(_numbers)}"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """One for a test that is not kind to it."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    yield server
    server.kill()
