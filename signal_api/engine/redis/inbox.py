"""What other nodes, and this one, have for this node: one stream, read in order, none left out."""

import asyncio
from collections.abc import Callable
from typing import Any

from fairlead.log import get_logger
from signal_api.engine.redis.store import Store

#: milliseconds that a read waits for entries, and seconds after which it is taken for dead
_BLOCK, _PATIENCE = 500, 2.0
_MOST = 256
#: seconds between two attempts to read
_PAUSE = 0.1

_log = get_logger("signal_api.engine")

#: takes the number of an entry, what it is, and its two fields
Handler = Callable[[int, bytes, bytes, bytes], None]


class Inbox:
    """Reads the stream of a node from where it is. A number that is missing means that something is lost for good:
    `lost` is called, and nothing more is read until `restart`."""

    def __init__(self, store: Store, handle: Handler, lost: Callable[[], None]) -> None:
        self._store = store
        self._handle = handle
        self._lost = lost
        #: the number of the last entry that was handled
        self.applied = 0
        self._is_whole = True

    def restart(self) -> None:
        """A stream begins that is empty."""
        self.applied = 0
        self._is_whole = True

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if not self._is_whole or not await self._read():
                await asyncio.sleep(_PAUSE)

    async def _read(self) -> bool:
        node = self._store.node
        key = f"{self._store.prefix}in:{node}"
        found = await self._store.read(key, self.applied, _MOST, _BLOCK, _PATIENCE)
        if found is None:
            return False
        if node == self._store.node:
            for number, fields in found:
                self._take(int(number.partition(b"-")[0]), fields)
        return True

    def _take(self, number: int, fields: dict[bytes, Any]) -> None:
        if number != self.applied + 1 and self._is_whole:
            self._is_whole = False
            self._lost()
        if not self._is_whole:
            return
        try:
            self._handle(number, fields[b"k"], fields[b"a"], fields[b"b"])
        except Exception:
            _log.exception("an entry of the stream could not be handled")
        self.applied = number
