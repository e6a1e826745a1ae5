"""Where a session may be had: where it began, and where servers that drain point to."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


class Entrances:
    """Addresses without a path behind them, the first being the one to go by."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._all = [home]

    @property
    def current(self) -> str:
        return self._all[0]

    def leave(self, alternatives: Any, dice: Callable[[], float]) -> None:
        """The one that is current is about to close, and names others: in any order they come before it."""
        here = self.current
        # A token that went by https goes by nothing less.
        schemes = ("https",) if here.startswith("https:") else ("https", "http")
        named = [origin_of(each) for each in alternatives] if isinstance(alternatives, list) else []
        others = [origin for origin in named if origin.partition("://")[0] in schemes and origin != origin_of(here)]
        self._all = list(dict.fromkeys((*sorted(others, key=lambda _: dice()), here, self._home)))

    def next(self) -> None:
        """Nobody was met by the current one."""
        self._all.append(self._all.pop(0))


def origin_of(address: Any) -> str:
    """Empty for what is no address."""
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""
