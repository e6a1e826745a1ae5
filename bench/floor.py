"""The floor under every relay: the same sockets and batches without TURN. A relay is as good as it comes near it."""

import socket
import subprocess
from typing import IO, cast

from bench.cases import Framing
from bench.programs import ProgramError, compiled, on_core
from fairlead.datagram import Address

_SOURCE = "floor.c"
_HOST = "127.0.0.1"


class Floor:
    """A process that sends on what comes in, and is told by lines; one core, like every server that is measured.

    `trains` switches UDP_GRO and UDP_SEGMENT, as the native engine uses them.
    """

    def __init__(self, core: int | None, trains: bool = True, host: str = _HOST) -> None:
        self.name = "floor" if trains else "floor-plain"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind((host, 0))
            self.address = Address(*listener.getsockname())
            words = [str(compiled(_SOURCE)), str(listener.fileno()), "trains" if trains else "plain"]
            self._process = subprocess.Popen(
                on_core(core, words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=[listener.fileno()],
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self) -> "FloorCall":
        return FloorCall(self)

    def ask(self, line: str) -> str:
        """What it answers to a line; raises ProgramError when it is gone."""
        told, heard = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        try:
            told.write(f"{line}\n")
            told.flush()
        except BrokenPipeError:
            pass  # it has said why, on the same terminal
        answer = heard.readline()
        if not answer:
            raise ProgramError(f"the floor ended at {line!r}; what it said stands above")
        return answer.strip()

    def stop(self) -> None:
        self._process.communicate(timeout=10)


class FloorCall:
    """One client of the floor, and the port that its peer knows it by; what it sends has no framing."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0.5)
        self.socket.connect(tuple(floor.address))
        host, self._port = self.socket.getsockname()
        self.relayed = Address(floor.address.host, int(floor.ask(f"open {host} {self._port}")))

    def reach(self, peer: Address, framing: Framing, size: int) -> bytes:
        self._floor.ask(f"peer {self._port} {peer.host} {peer.port}")
        return b""

    def release(self) -> None:
        self._floor.ask(f"close {self._port}")
        self.socket.close()
