"""Sockets that say whatever an attacker likes: requests letter by letter, WebSocket frames bit by bit."""

import base64
import contextlib
import itertools
import json
import os
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from fairlead.datagram import Address
from tests.processes import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTROL = 0x8

#: Each attack comes from an address of its own, so that no limit of one source speaks for another.
_sources = itertools.count(1)


def new_source() -> str:
    """An address of 127.0.0.0/8 that nobody has come from."""
    number = next(_sources)
    return f"127.{1 + number // 60000}.{number // 250 % 240}.{1 + number % 250}"


class Reply(NamedTuple):
    """An HTTP reply; names of headers in lower case, without Date."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document that it has to be."""
        assert self.headers["content-type"] == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert (document["status"], document["type"]) == (self.status, "about:blank"), self
        return document

    @property
    def code(self) -> str:
        return str(self.problem["code"])

    def json(self) -> Any:
        return json.loads(self.body)


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        return struct.unpack_from("!H", self.payload)[0] if len(self.payload) >= 2 else 1005


class Raw:
    """A TCP connection to the place, from a source of its own unless one is given."""

    def __init__(self, place: Address, source: str | None = None, buffer: int | None = None) -> None:
        """`buffer` is how many bytes the kernel takes for who does not read."""
        self._place = place
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.bind((source or new_source(), 0))
        self.socket.connect((place.host, place.port))
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    # HTTP

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> None:
        """Sends a request as a program would; underscores in the names of headers are hyphens, "" leaves one out."""
        self.send(self.head(method, path, {"Content-Length": str(len(body))} | _named(headers)) + body)

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in ({"Host": str(self._place)} | dict(headers)).items() if value]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def reply(self) -> Reply:
        """Reads one reply to its end; interim ones are passed over."""
        status, headers = self._head()
        while status == 100:
            status, headers = self._head()
        if status in (101, 204):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, b"".join(iter(self._chunk, b"")))
        # A client of HTTP/1.0 reads to the end.
        return Reply(status, headers, self._file.read(int(headers.get("content-length", -1))))

    def begun(self) -> int:
        """The status of a reply that does not end."""
        return self._head()[0]

    def rest(self) -> bytes:
        """All that the other side says until it hangs up, politely or not."""
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := self._file.read1(65536):
                parts.append(part)
        return b"".join(parts)

    def _head(self) -> tuple[int, dict[str, str]]:
        first = self._line()
        assert first.startswith("HTTP/1.1 "), first
        headers = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        headers.pop("date", None)
        return int(first.split()[1]), headers

    def _line(self) -> str:
        line = self._file.readline()
        assert line.endswith(b"\r\n"), f"the connection ended at {line!r}"
        return line[:-2].decode("latin-1")

    def _chunk(self) -> bytes:
        data = self._file.read(int(self._line(), 16))
        assert self._line() == ""
        return data

    # WebSocket

    def upgrade(self, path: str = "/v1/ws", **headers: str) -> Reply:
        """Asks for a WebSocket from our own page, unless `headers` say otherwise."""
        usual = {
            "Origin": f"http://{self._place}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Protocol": "sig.v1",
        }
        self.send(self.head("GET", path, usual | _named(headers)))
        return self.reply()

    def frame(self, opcode: int, payload: bytes, **bits: Any) -> None:
        self.send(frame(opcode, payload, **bits))

    def say(self, kind: str, **fields: Any) -> None:
        self.frame(TEXT, json.dumps({"type": kind} | fields).encode())

    def hear(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; others are passed over, but for errors."""
        while True:
            heard = self.read()
            assert heard.opcode == TEXT, f"{kind} was awaited, and {heard} came"
            spoken: dict[str, Any] = json.loads(heard.payload)
            if spoken["type"] == kind:
                return spoken
            assert spoken["type"] != "error", spoken

    def read(self) -> Frame:
        """The next frame of the server, which masks nothing, fragments nothing and compresses nothing."""
        first, second = self._file.read(2)
        assert first & 0xF0 == 0x80, f"{first:#x}"
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self._file.read(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", self._file.read(8))
        return Frame(first & 0x0F, self._file.read(length))

    def closing(self) -> Frame:
        """Reads until the server closes, and answers that as one should (RFC 6455 section 5.5.1)."""
        while (heard := self.read()).opcode != CLOSE:
            pass
        with contextlib.suppress(ConnectionError):
            self.frame(CLOSE, heard.payload)
        return heard


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True, claimed: int | None = None
) -> bytes:
    """One frame of a client (RFC 6455 section 5.2); `claimed` is the length that it says it has, in 64 bits."""
    first = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if claimed is not None:
        length = bytes([bit | 127]) + struct.pack("!Q", claimed)
    elif len(payload) < 126:
        length = bytes([bit | len(payload)])
    elif len(payload) < 65536:
        length = bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        length = bytes([bit | 127]) + struct.pack("!Q", len(payload))
    # A mask of zeros changes nothing, and is one.
    return first + length + (bytes(4) if masked else b"") + payload


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title().replace("Websocket", "WebSocket"): value for name, value in headers.items()}
