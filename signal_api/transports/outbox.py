"""What waits for one connection: a bounded queue between whoever sends to it and the one task that writes."""

import asyncio
from collections import deque
from collections.abc import Iterable

from signal_api.protocol.refusals import CloseCode


class Outbox:
    """Frames in the order in which they are to be written, then at most one close code.

    A client that does not read fills it; then its frames are dropped and it is closed as a slow consumer. What was
    dropped is still in the session's log.
    """

    __slots__ = ("_bytes", "_first", "_frames", "_most_bytes", "_most_frames", "_wakeup", "closing")

    def __init__(self, most_frames: int, most_bytes: int) -> None:
        self._first: deque[bytes] = deque()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._wakeup: asyncio.Future[None] | None = None
        self.closing: CloseCode | None = None

    def put_first(self, frames: Iterable[bytes]) -> None:
        """Queues what was missed before all else. How much that is says nothing of how fast the client reads."""
        self._first.extend(frames)
        self._wake()

    def put(self, frame: bytes) -> bool:
        """Queues a frame; False when the client reads too slowly for that, which ends the queue."""
        if self.closing is not None:
            return True
        if len(self._frames) >= self._most_frames or self._bytes + len(frame) > self._most_bytes:
            self._first.clear()
            self._frames.clear()
            self._bytes = 0
            self.close(CloseCode.SLOW_CONSUMER)
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        self._wake()
        return True

    def close(self, code: CloseCode) -> bool:
        """Ends the queue behind what is in it; False when it had ended already."""
        if self.closing is not None:
            return False
        self.closing = code
        self._wake()
        return True

    async def take(self) -> bytes | None:
        """The next frame; waits for it. None when the queue was closed and is empty. For one reader."""
        while not self._first and not self._frames:
            if self.closing is not None:
                return None
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        return self.pop()

    def pop(self) -> bytes | None:
        """The next frame, None when there is none."""
        if self._first:
            return self._first.popleft()
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
