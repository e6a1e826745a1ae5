"""Time and entropy as values: the pure code is handed both and never asks the machine for either."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

#: `entropy(n)` returns n unpredictable bytes; the shell passes os.urandom.
Entropy: TypeAlias = Callable[[int], bytes]


class Now(NamedTuple):
    """One moment on both clocks, in seconds.

    `monotonic` decides how long things live. `wall` (Unix time) is read only where a moment that somebody
    wrote down elsewhere is judged: the expiry inside a credential, the age of a nonce shared by a fleet.
    """

    monotonic: float
    wall: float
