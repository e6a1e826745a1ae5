"""turnd's listeners: opened and closed as the configuration names them, UDP in the engine, streams in the server."""

import itertools
from collections.abc import Iterable

from fairlead.config import Key
from fairlead.datagram import Address, Transport
from fairlead.listeners import Listener, bind, open_each
from fairlead.log import get_logger
from fairlead.probe import Target
from fairlead.streams import StreamServer
from fairlead.udp import address_of, socket_name
from turnd.dataplane.contract import DataPlane

_log = get_logger("turnd")

#: Entries with the key that they stand under.
Entries = Iterable[tuple[Key, Listener]]


class Listening:
    """What is open. `apply` is all or nothing: when one new entry cannot be opened, the old ones stay."""

    def __init__(self, engine: DataPlane, streams: StreamServer, receive_buffer: int = 0) -> None:
        self._engine = engine
        self._receive_buffer = receive_buffer
        self._streams = streams
        self._numbers = itertools.count(1)
        self._open: dict[Listener, list[tuple[int, Address]]] = {}

    def targets(self) -> list[Target]:
        """Every listener as it is bound, to be probed."""
        return [Target(listener.transport, address) for listener, bound in self._open.items() for _, address in bound]

    def apply(self, entries: Entries) -> None:
        """Opens what is new and closes what is gone. Raises SettingError."""
        wanted = {listener: key for key, listener in entries}
        opened: dict[Listener, list[tuple[int, Address]]] = {}
        try:
            for listener, key in wanted.items():
                if listener not in self._open:
                    opened[listener] = self._open_one(listener, key)
        except BaseException:
            for listener, bound in opened.items():
                self._close_one(listener, bound)
            raise
        for listener in self._open.keys() - wanted.keys():
            self._close_one(listener, self._open.pop(listener))
        self._open |= opened

    def _open_one(self, listener: Listener, key: Key) -> list[tuple[int, Address]]:
        if not listener.transport.is_stream:
            return open_each(listener, key, self._open_udp, lambda bound: self._engine.close_listener(bound[0]))
        bound = []
        for sock in bind(listener, key):
            number = next(self._numbers)
            bound.append((number, address_of(sock.getsockname())))
            self._streams.listen(number, sock, listener.transport)
        return bound

    def _open_udp(self, address: Address) -> tuple[int, Address]:
        number = next(self._numbers)
        # Engines know interfaces by their numbers.
        bound = self._engine.open_listener(number, address_of(socket_name(address)))
        given = self._engine.receive_buffer(number)
        if given < self._receive_buffer:
            remedy = f"sysctl -w net.core.rmem_max={self._receive_buffer}, or a smaller turnd.buffers.listeners"
            _log.warning(
                "small receive buffer", listener=str(bound), bytes=given, asked=self._receive_buffer, remedy=remedy
            )
        return number, bound

    def _close_one(self, listener: Listener, bound: list[tuple[int, Address]]) -> None:
        for number, _ in bound:
            if listener.transport is Transport.UDP:
                self._engine.close_listener(number)
            else:
                self._streams.close_listener(number)
