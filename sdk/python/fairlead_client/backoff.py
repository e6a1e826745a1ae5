"""How long to wait before the next attempt to connect."""

from collections.abc import Callable

_FIRST, _LONGEST = 0.5, 20.0
#: seconds after which a connection counts as good
SETTLED = 10.0


def is_final(code: int) -> bool:
    """Whether the server says that coming back would not help."""
    return code == 1000 or 4000 <= code < 4100


def pause(attempts: int, code: int, drained: float | None, random: Callable[[], float]) -> float:
    """Seconds: full jitter below a bound that doubles, one more where the server asked for patience (4100-4199), and
    what it named when it drained."""
    if drained is not None:
        return drained
    bound = min(_LONGEST, _FIRST * 2.0 ** min(attempts, 16))
    return (1.0 if 4100 <= code < 4200 else 0.0) + random() * bound
