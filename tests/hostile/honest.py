"""Pairs of honest clients, as a process of their own: what they see while others misbehave.

    python -m tests.hostile.honest HOST:PORT KEY

Each line on standard input is answered by one line of JSON: what happened since the last one. After the line `hush`
nobody says anything more.
"""

import asyncio
import json
import sys
import time
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

#: pairs, and seconds between two frames of each
PAIRS, PAUSE = 8, 0.02


class Tally:
    """Latencies in seconds, and what should never happen."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.sent = self.heard = self.disturbed = self.closed = 0
        self.why = ""  # in words, for whoever reads the failure

    def line(self) -> str:
        taken, self.taken = sorted(self.taken), []
        told = {
            "frames": len(taken),
            "missing": self.sent - self.heard,
            "disturbed": self.disturbed,
            "closed": self.closed,
            "why": self.why,
        }
        if taken:
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                told[name] = round(taken[min(len(taken) - 1, int(share * len(taken)))], 6)
        return json.dumps(told)


class Member:
    """One side of a pair."""

    def __init__(self, socket: ClientConnection, tally: Tally) -> None:
        self._socket = socket
        self._tally = tally
        self._next = 0

    async def say(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind} | fields))

    async def hear(self, kind: str) -> None:
        while json.loads(await self._socket.recv())["type"] != kind:
            pass

    async def talk(self, room: str) -> None:
        """Tells the time, again and again."""
        number = 0
        while True:
            self._tally.sent += 1
            await self.say("message", room=room, to="*", data=[number, time.perf_counter()])
            number += 1
            await asyncio.sleep(PAUSE)

    async def listen(self) -> None:
        """Hears every frame once, in its order, and acknowledges it; anything else disturbs."""
        try:
            async for text in self._socket:
                frame = json.loads(text)
                if frame["type"] == "message":
                    self._note(*frame["data"])
                    if self._next % 32 == 0:
                        await self.say("pong", ack=frame["seq"])
                elif frame["type"] == "ping":
                    await self.say("pong")
                elif frame["type"] not in ("member.joined", "ice", "joined", "ok"):
                    self._tally.disturbed += 1
                    self._tally.why = str(text)
        except ConnectionClosed:
            pass
        self._tally.closed += 1
        self._tally.why += f" {self._socket.close_code} {self._socket.close_reason}"

    def _note(self, number: int, sent: float) -> None:
        self._tally.taken.append(time.perf_counter() - sent)
        self._tally.heard += 1
        self._tally.disturbed += number != self._next
        self._next = number + 1


async def _enter(place: str, key: str, room: str, tally: Tally) -> Member:
    origin, protocols = Origin(f"http://{place}"), [Subprotocol("sig.v1")]
    url = f"ws://{place}/v1/ws"
    member = Member(await connect(url, origin=origin, subprotocols=protocols, ping_interval=None, proxy=None), tally)
    await member.say("hello", data={"v": 1, "token": key, "rooms": [room]})
    await member.hear("joined")
    return member


async def main(place: str, key: str) -> None:
    """Until standard input ends."""
    tally = Tally()
    listening, talking = [], []
    for number in range(PAIRS):
        room = f"honest {number}"
        speaker, listener = [await _enter(place, key, room, tally) for _ in range(2)]
        listening += [asyncio.create_task(member.listen()) for member in (speaker, listener)]
        talking.append(asyncio.create_task(speaker.talk(room)))
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line == "hush\n":
            for task in talking:
                task.cancel()
            await asyncio.gather(*talking, return_exceptions=True)
        sys.stdout.write(tally.line() + "\n")
        sys.stdout.flush()
    for task in (*listening, *talking):
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
