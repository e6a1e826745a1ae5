"""The opening handshake of a WebSocket (RFC 6455 section 4.2) as browsers and programs send it, read once.

Two libraries would read it, one after the other, which was the greater part of what a connect cost. So one shape is
read here, strictly: a whole request in one parcel, each header once, printable, nothing of a body. Whatever else comes
is theirs to read, and to refuse.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

#: bytes of a request that is read here; a browser sends one
_LONGEST = 8192
_MOST_HEADERS = 64
_TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
#: Possessive: what was read as a header is never tried as anything else, or long heads would cost milliseconds.
_REQUEST = re.compile(
    rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:%b: ?[!-~](?:[ -~]*[!-~])?\r\n){1,%d}+)\r\n" % (_TOKEN, _MOST_HEADERS)
)
#: one of those that fit
_HEADER = re.compile(rb"([^:]+): ?([^\r]+)\r\n")
_PROTOCOLS = re.compile(rb"%b(?:, ?%b)*" % (_TOKEN, _TOKEN))
#: 16 bytes in base64
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: What says that more follows, or asks for something before it does.
_BODY = (b"content-length", b"transfer-encoding", b"expect")
_OPTIONS = frozenset({b"upgrade", b"keep-alive"})


class Handshake(NamedTuple):
    """A request to open a WebSocket; names of headers are in lower case."""

    target: bytes
    headers: dict[bytes, bytes]

    @property
    def subprotocols(self) -> list[str]:
        offered = self.headers.get(b"sec-websocket-protocol", b"").decode()
        return [name.strip() for name in offered.split(",")] if offered else []


def read_handshake(parcel: bytes) -> Handshake | None:
    """The request that a parcel is; None for every other, and for what is no request at all."""
    if len(parcel) > _LONGEST or not parcel.startswith(b"GET "):
        return None
    found = _REQUEST.fullmatch(parcel)
    if found is None:
        return None
    lines = _HEADER.findall(found[2])
    headers = {name.lower(): value for name, value in lines}
    if len(headers) != len(lines) or not _is_plain(headers):
        return None
    return Handshake(found[1], headers)


def _is_plain(headers: dict[bytes, bytes]) -> bool:
    """Whether these are all right for an upgrade, without a doubt."""
    options = {option.strip().lower() for option in headers.get(b"connection", b"").split(b",")}
    return (
        b"host" in headers
        and b"upgrade" in options <= _OPTIONS
        and headers.get(b"upgrade", b"").lower() == b"websocket"
        and headers.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(headers.get(b"sec-websocket-key", b"")) is not None
        and _PROTOCOLS.fullmatch(headers.get(b"sec-websocket-protocol", b"none")) is not None
        and headers.keys().isdisjoint(_BODY)
    )


def acceptance(handshake: Handshake, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The reply that makes it a WebSocket; `headers` stand in every reply."""
    key = handshake.headers[b"sec-websocket-key"]
    proof = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [_SWITCHING + proof, *(b"%b: %b" % row for row in headers)]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"
