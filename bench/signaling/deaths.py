"""How long clients are without their session when its node dies: two nodes on one Redis, kill -9, and everybody dials
the other node at once."""

import json
import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bench.signaling.clients import ClientError, Crowd
from bench.signaling.dialects import Heard, Opening, SigV1
from bench.signaling.servers import Node, RedisServer
from bench.topology import Cores

#: what the nodes have to do when all are in: tell the members of each other, and keep it
_SETTLE = 1.0


@dataclass(frozen=True)
class Death:
    """Seconds from the kill until a client had its session again, on the other node; `anew` were told to begin anew."""

    clients: int
    anew: int
    median_s: float
    p99_s: float
    most_s: float

    def __str__(self) -> str:
        times = f"median {self.median_s:.2f} s, p99 {self.p99_s:.2f} s, last {self.most_s:.2f} s"
        return f"{self.clients} sessions go on after kill -9 of their node: {times}; {self.anew} began anew"


class _Resident(SigV1):
    """A member that remembers what it needs to come back."""

    def __init__(self, host: str, pair: int) -> None:
        super().__init__(host, pair)
        self._welcome: dict[str, Any] = {}
        self._seq = 0

    def hear(self, text: bytes) -> Heard:
        frame = json.loads(text)
        self._seq = frame.get("seq", self._seq)
        if frame["type"] == "welcome":
            self._welcome = frame["data"]
        return super().hear(text)

    def position(self) -> dict[str, str]:
        after = f"{self._welcome['epoch']}.{self._seq}"
        return {"sid": self._welcome["sid"], "key": self._welcome["key"], "after": after}


class _Survivor:
    """The same member at another node, ready when it is welcome there; `resumed` tells whether as who it was."""

    def __init__(self, host: str, resident: _Resident) -> None:
        self._host = host
        self._resident = resident
        self.resumed: bool | None = None
        self.at = 0.0

    def opening(self) -> Opening:
        headers = {"Sec-WebSocket-Protocol": "sig.v1", "Origin": f"http://{self._host}"}
        hello = {"type": "hello", "data": {"v": 1, "resume": self._resident.position()}}
        return Opening(f"ws://{self._host}/v1/ws", headers, (json.dumps(hello).encode(),))

    def hear(self, text: bytes) -> Heard:
        frame = json.loads(text)
        if frame["type"] == "welcome":
            self.resumed, self.at = frame["data"]["resumed"], time.perf_counter()
        return Heard(ready=self.resumed is not None)

    def frame(self) -> bytes:
        raise ClientError("a survivor only comes back")


async def death_of_a_node(clients: int, cores: Cores, sleep: Callable[[float], Any]) -> Death:
    """Raises BenchError."""
    with ExitStack() as stack:
        redis = RedisServer(cores.relay, 0)
        stack.callback(redis.stop)
        nodes = [Node(cores.relay, clients, redis.address) for _ in range(2)]
        for node in nodes:
            stack.callback(node.stop)
        residents = [_Resident(str(nodes[0].address), number // 2) for number in range(clients)]
        survivors = [_Survivor(str(nodes[1].address), resident) for resident in residents]
        async with Crowd() as before, Crowd(at_once=clients) as after:
            await before.enter(residents)
            await sleep(_SETTLE)
            killed = time.perf_counter()
            os.kill(nodes[0].pid, signal.SIGKILL)
            await after.enter(survivors)
    waited = [survivor.at - killed for survivor in survivors]
    percentiles = statistics.quantiles(waited, n=100)
    anew = sum(not survivor.resumed for survivor in survivors)
    return Death(clients, anew, statistics.median(waited), percentiles[98], max(waited))


def row(death: Death) -> dict[str, Any]:
    return {"server": "signal_api, two nodes on Redis", "death": asdict(death)}
