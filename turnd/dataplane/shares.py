"""What each client may hand up to the core, which serves all of them one message after the other.

Without a share, whoever has one allocation fills the line in which everybody's Refreshes wait, and other calls end with
their allocations. native/routes/src/share.rs says the same.
"""

from fairlead.buckets import Rate, TokenBucket

#: Requests, where the engine can tell those whose nonce proves that the client wrote them: an ICE restart binds a few
#: dozen channels at once, and calls that go on ask every few minutes.
REQUESTS = Rate(64, 256)
#: All else, which anybody may write in the client's name, and data that asks for more than an engine does.
ALL_ELSE = Rate(512, 512)
#: Bytes that a token is good for: the core reads attribute by attribute.
TOKEN = 2048


class Share:
    """What one client has left, full at first."""

    __slots__ = ("_all_else", "_requests")

    def __init__(self) -> None:
        self._requests = TokenBucket()
        self._all_else = TokenBucket()

    def take(self, is_request: bool, size: int, now: float) -> bool:
        """Whether a message of `size` bytes may go up at a moment of time.monotonic(); it is spent then."""
        tokens = -(-size // TOKEN)
        if is_request:
            return not self._requests.take(REQUESTS, now, tokens)
        return not self._all_else.take(ALL_ELSE, now, tokens)
