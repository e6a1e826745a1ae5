"""One daemon as a process: started in the service manager's way, heard line by line, told things by signals.

It has a process group of its own, so that Ctrl-C reaches the supervisor alone; and it is asked to drain by the kernel
if the supervisor is killed, so that no daemon stays behind on its ports.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from fairlead_cli.up.supervision import Order

_SIGNALS = {
    Order.RELOAD: signal.SIGHUP,
    Order.DRAIN: signal.SIGTERM,
    Order.STOP: signal.SIGINT,
    Order.KILL: signal.SIGKILL,
}
#: bytes of one line of output; a longer one is cut into pieces
_LONGEST_LINE = 1 << 16
_PR_SET_PDEATHSIG = 1


class Process:
    """A process of `python -m MODULE`; `heard` is called with each line that it writes."""

    def __init__(
        self, module: str, arguments: Sequence[str], environ: Mapping[str, str], heard: Callable[[str], None]
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environ = environ
        self._heard = heard
        self._orders: list[Order] = []
        self._process: asyncio.subprocess.Process | None = None
        #: set when the daemon says that it has started
        self.started = asyncio.Event()

    async def run(self) -> int:
        """From start to end; returns the exit code, or the negative number of the signal that ended it."""
        with _notify_socket() as notify:
            asyncio.get_running_loop().add_reader(notify, self._notified, notify)
            try:
                return await self._run(notify.getsockname())
            finally:
                asyncio.get_running_loop().remove_reader(notify)

    def tell(self, order: Order) -> None:
        """Sends a signal; one that comes before the process does is sent when it is there."""
        if self._process is None:
            self._orders.append(order)
        elif self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(_SIGNALS[order])

    async def _run(self, notify: bytes) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            env={**self._environ, **_manager_variables(notify)},
            process_group=0,
            preexec_fn=_end_with(os.getpid()),
        )
        for order in self._orders:
            self.tell(order)
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            self._heard(line)
        return await self._process.wait()

    def _notified(self, notify: socket.socket) -> None:
        if b"READY=1" in notify.recv(4096).split(b"\n"):
            self.started.set()


def _manager_variables(notify: bytes) -> dict[str, str]:
    """What a service manager sets. Imports come from the installation, never from the directory that we stand in."""
    return {"NOTIFY_SOCKET": "@" + notify[1:].decode(), "WATCHDOG_USEC": "", "PYTHONSAFEPATH": "1"}


def _notify_socket() -> socket.socket:
    """A datagram socket under a name that the kernel chooses, without a file."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind("")
    return sock


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            line = await stream.readuntil()
        except asyncio.IncompleteReadError as rest:
            line = rest.partial
        except asyncio.LimitOverrunError as overrun:
            line = await stream.readexactly(overrun.consumed)
        if not line:
            return
        yield line.decode(errors="replace").rstrip("\r\n")


def _end_with(parent: int) -> Callable[[], None]:
    """For the child, before it becomes the daemon: the kernel is to send SIGTERM when the parent ends."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return arrange
