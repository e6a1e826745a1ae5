"""What is read here the libraries read the same; what they might read otherwise, or refuse, is left to them."""

import base64

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from signal_api.transports.handshake import acceptance, read_handshake

KEY = base64.b64encode(bytes(16)).decode()
#: As a browser sends it.
PLAIN = {
    "Host": "signal.example:8080",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
    "Origin": "http://signal.example:8080",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Protocol": "sig.v1, other",
}
LINE = "GET /v1/ws?a=b HTTP/1.1"


def parcel(line: str = LINE, more: str = "", **changed: str | None) -> bytes:
    """The plain request with other headers; None leaves one out."""
    headers = PLAIN | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode("latin-1")


def by_libraries(data: bytes) -> tuple[h11.Request, Request, int]:
    """What h11 reads, what websockets makes of it, and the status that it answers."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert connection.trailing_data == (b"", False)
    protocol = ServerProtocol()
    protocol.receive_data(data)
    (read,) = protocol.events_received()
    assert isinstance(read, Request)
    return request, read, protocol.accept(read).status_code


def test_a_browsers_handshake_is_read() -> None:
    handshake = read_handshake(parcel())
    assert handshake is not None
    assert handshake.target == b"/v1/ws?a=b"
    assert handshake.headers[b"host"] == b"signal.example:8080"
    assert handshake.subprotocols == ["sig.v1", "other"]


def test_without_subprotocols_none_is_offered() -> None:
    handshake = read_handshake(parcel(Sec_WebSocket_Protocol=None))
    assert handshake is not None
    assert handshake.subprotocols == []


@pytest.mark.parametrize(
    "other",
    [
        b"",
        parcel()[:-1],
        parcel() + b"\x81\x80\0\0\0\0",
        parcel("POST /v1/ws HTTP/1.1"),
        parcel("GET /v1/ws HTTP/1.0"),
        parcel("GET  /v1/ws HTTP/1.1"),
        parcel("GET http://signal.example/v1/ws HTTP/1.1"),
        parcel().replace(b"\r\n", b"\n"),
        parcel(more="Host: other\r\n"),
        parcel(more="host: signal.example:8080\r\n"),
        parcel(more="Content-Length: 0\r\n"),
        parcel(more="Transfer-Encoding: chunked\r\n"),
        parcel(more="Expect: 100-continue\r\n"),
        parcel(more="Folded: a\r\n b\r\n"),
        parcel(more="Spaced : a\r\n"),
        parcel(more="Trailing: a \r\n"),
        parcel(more="Tab: a\tb\r\n"),
        parcel(more="Latin: \xe4\r\n"),
        parcel(more="Empty:\r\n"),
        parcel(more="No colon\r\n"),
        parcel(more="".join(f"X-{number}: 1\r\n" for number in range(100))),
        parcel(more=f"Long: {'a' * 8192}\r\n"),
        parcel(Host=None),
        parcel(Upgrade="h2c"),
        parcel(Upgrade="websocket, h2c"),
        parcel(Connection="close"),
        parcel(Connection="upgrade, close"),
        parcel(Sec_WebSocket_Version="12"),
        parcel(Sec_WebSocket_Key=None),
        parcel(Sec_WebSocket_Key=KEY[:-4]),
        parcel(Sec_WebSocket_Key=KEY[:-1] + "A"),
        parcel(Sec_WebSocket_Protocol="sig.v1,,other"),
        parcel(Sec_WebSocket_Protocol='"sig.v1"'),
    ],
)
def test_everything_else_is_left_to_the_libraries(other: bytes) -> None:
    assert read_handshake(other) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(parcel())),
            st.integers(0, 3),
            st.sampled_from([b"", b" ", b"\t", b":", b",", b"\r\n", b"\n", b"\0", b"a", b"\xe4", b"=", b"upgrade"]),
        ),
        max_size=3,
    )
)
def test_the_libraries_take_whatever_is_taken_and_read_the_same(changes: list[tuple[int, int, bytes]]) -> None:
    data = parcel()
    for start, length, put in changes:
        data = data[:start] + put + data[start + length :]
    handshake = read_handshake(data)
    if handshake is None:
        return
    request, read, status = by_libraries(data)
    assert status == 101
    assert request.target == handshake.target == read.path.encode()
    assert list(request.headers) == list(handshake.headers.items())
    assert [(name.lower(), value) for name, value in read.headers.raw_items()] == [
        (name.decode(), value.decode()) for name, value in handshake.headers.items()
    ]


def test_the_proof_is_the_one_of_the_standards_example() -> None:
    """RFC 6455 section 1.3."""
    handshake = read_handshake(parcel(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
    assert handshake is not None
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in acceptance(handshake, None, ())
