"""The load on signaling servers, on socket pairs whose other ends a test plays."""

import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from bench.programs import ProgramError
from bench.signaling.clients import talk
from bench.signaling.dialects import COUNT, SEEN, SENT, Centrifuge, Client, PeerJs, SigV1

pytestmark = pytest.mark.requires("gcc")


#: The number of what a client has been sent before it says anything.
GREETED = 7


class Server(threading.Thread):
    """Answers each text with one that has a number and brings the time back."""

    def __init__(self, end: socket.socket, answers: bool = True) -> None:
        super().__init__(daemon=True)
        self.end = end
        self.answers = answers
        self.texts: list[dict[str, Any]] = []

    def run(self) -> None:
        framing = ServerProtocol(state=State.OPEN)
        while data := self.end.recv(65536):
            framing.receive_data(data)
            for frame in framing.events_received():
                assert isinstance(frame, Frame)
                self.texts.append(json.loads(bytes(frame.data)))
                if self.answers:
                    answer = {"seq": GREETED + len(self.texts), "sent": self.texts[-1]["sent"], "pad": "x" * 100}
                    self._say(answer)

    def greet(self) -> None:
        """Says something that waits for the client before it begins."""
        self._say({"seq": GREETED})

    def _say(self, text: dict[str, Any]) -> None:
        self.end.sendall(Frame(Opcode.TEXT, json.dumps(text).encode()).serialize(mask=False))


def _text() -> bytes:
    return json.dumps({"ack": SEEN, "id": COUNT, "sent": SENT, "pad": "x" * 100}).encode()


def test_texts_leave_in_turn_with_their_numbers_and_are_timed() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    servers = [Server(end) for _, end in pairs]
    for server in servers:
        server.greet()
        server.start()
    began = time.monotonic()
    said = talk([near for near, _ in pairs], [_text()] * 3, 600, 0.5, os.getpid())
    took_ms = 1000 * (time.monotonic() - began)
    for (near, far), server in zip(pairs, servers, strict=True):
        near.close()
        server.join(10)
        far.close()
    assert said.sent == said.arrived == sum(len(server.texts) for server in servers)
    assert said.sent == 300
    assert said.refused == 0
    assert 0 < said.p50_ms <= said.p99_ms < took_ms
    for server in servers:
        assert [text["id"] for text in server.texts] == list(range(1001, 1001 + len(server.texts)))
        acknowledged = [text["ack"] for text in server.texts]
        assert acknowledged == sorted(acknowledged)
        assert all(GREETED <= ack <= GREETED + number for number, ack in enumerate(acknowledged)), "what it was sent"


def test_who_answers_nothing_is_told_apart() -> None:
    near, far = socket.socketpair()
    Server(far, answers=False).start()
    said = talk([near], [_text()], 100, 0.1, os.getpid())
    assert (said.arrived, said.p99_ms) == (0, 0)
    assert said.sent == 10
    far.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ProgramError):
        talk([near], [_text()], 100, 0.1, os.getpid())
    near.close()
    far.close()


@pytest.mark.parametrize("kind", [SigV1, PeerJs, Centrifuge])
def test_what_each_kind_says_has_the_time_in_it(kind: Any) -> None:
    clients: Sequence[Client] = [SigV1("h", 1)] if kind is SigV1 else [kind("h", 1, True), kind("h", 1, False)]
    for client in clients:
        text = client.frame()
        assert text.count(str(SENT).encode()) == 1
        assert 126 <= len(text) <= 2048
        json.loads(text)
