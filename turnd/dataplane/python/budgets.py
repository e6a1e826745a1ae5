"""How many bytes may pass: token buckets of relay sockets, and those that all relay sockets of a user share."""

import time
from weakref import WeakValueDictionary

from fairlead.buckets import TokenBucket
from fairlead.reasons import Reason
from turnd.dataplane.python.switchboard import NotTakenError
from turnd.routes import Bandwidth


class _Shared(TokenBucket):
    """A user's bucket, which lives as long as a relay socket of the user has it."""

    __slots__ = ("__weakref__",)


class Budget:
    """What one relay socket may still move."""

    def __init__(self, user: str, bandwidth: Bandwidth, own: TokenBucket, shared: _Shared) -> None:
        self.user = user
        self.own = own
        self._bandwidth = bandwidth
        self._shared = shared

    def spend(self, size: int) -> None:
        """Raises NotTakenError when there is not enough for so many bytes of application data."""
        now = time.monotonic()
        if self.own.take(self._bandwidth.allocation, now, size):
            raise NotTakenError(Reason.BANDWIDTH)
        if self._shared.take(self._bandwidth.user, now, size):
            raise NotTakenError(Reason.USER_BANDWIDTH)


class Budgets:
    """The budgets of one engine."""

    def __init__(self) -> None:
        self._users: WeakValueDictionary[str, _Shared] = WeakValueDictionary()

    def __len__(self) -> int:
        """Users that have any."""
        return len(self._users)

    def of(self, user: str, bandwidth: Bandwidth, before: Budget | None) -> Budget:
        """A budget for a relay socket that had another one, perhaps: what is in its buckets stays."""
        shared = self._users.get(user)
        if shared is None:
            shared = self._users[user] = _Shared()
        return Budget(user, bandwidth, before.own if before is not None else TokenBucket(), shared)
