"""turnd and signal_api as two processes that are linked, and members of rooms who relay."""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.processes import JOIN_KEY, PATIENCE, Daemon, Daemons, relay_on_loopback
from tests.system.calls import Call
from tests.turn_client import Sockets, TurnClient


class Pair:
    """A turnd that relays to loopback, and a signal_api whose credentials it takes; the link between them stands."""

    def __init__(
        self,
        daemons: Daemons,
        folder: Path,
        signal_api: dict[str, Any] | None = None,
        redis: str | None = None,
        **turnd: Any,
    ) -> None:
        """`redis` is the URL of a link that is no socket."""
        self._link: dict[str, Any] = {"link": {"redis": redis} if redis else {"socket": str(folder / "link")}}
        self.turnd = self.start_turnd(daemons, **turnd)
        self.signal_api = self.another_node(daemons, signal_api)

    def another_node(self, daemons: Daemons, own: dict[str, Any] | None) -> Daemon:
        """One more signal_api that gives credentials for this turnd, and is linked to it."""
        node = daemons.signal_api(f"turn:{self.turnd.address('udp')}", own=own, **self._link)
        node.await_record("link connected")
        return node

    def start_turnd(self, daemons: Daemons, **section: Any) -> Daemon:
        return daemons.turnd(relay_on_loopback(peers={"allow": ["loopback"]}, **section) | self._link)


class Session:
    """One client of signal_api over WebSocket."""

    def __init__(self, signal_api: Daemon, sockets: Sockets, token: str = JOIN_KEY) -> None:
        place = signal_api.address("http")
        self.socket: ClientConnection = sockets.stack.enter_context(
            connect(f"ws://{place}/v1/ws", subprotocols=[Subprotocol("sig.v1")], origin=Origin(f"http://{place}"))
        )
        self.say("hello", data={"v": 1, "token": token})
        self.welcome = self.hear("welcome")["data"]

    def say(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind} | fields))

    def hear(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; others before it are passed over."""
        while True:
            frame: dict[str, Any] = json.loads(self.socket.recv(PATIENCE))
            assert frame["type"] not in {"error", "close"} - {kind}, frame
            if frame["type"] == kind:
                return frame

    def closed(self) -> int | None:
        """Waits until the server ends the connection; the code that it gives."""
        with pytest.raises(ConnectionClosed):
            self.socket.recv(PATIENCE)
        return self.socket.close_code

    def join(self, room: str, **data: Any) -> dict[str, Any]:
        """Joins; the data of `joined`."""
        self.say("join", room=room, data=data)
        joined: dict[str, Any] = self.hear("joined")["data"]
        return joined


class Member:
    """A session in a room, and its call through the relay with the credential that it was given."""

    def __init__(
        self, pair: Pair, sockets: Sockets, room: str, token: str = JOIN_KEY, at: Daemon | None = None
    ) -> None:
        self._pair, self._sockets = pair, sockets
        self.session = Session(at or pair.signal_api, sockets, token)
        self.joined = self.session.join(room)
        self.call = Call(pair.turnd, sockets, credential=self.credential)

    @property
    def credential(self) -> tuple[str, str]:
        server = next(row for row in self.joined["ice"]["iceServers"] if "username" in row)
        return server["username"], server["credential"]

    def another(self) -> TurnClient:
        """Another client with the same credential."""
        username, password = self.credential
        return self._sockets.client(self._pair.turnd, username=username, password=password)
