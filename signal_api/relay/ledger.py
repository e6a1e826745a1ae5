"""How much was relayed: by each relay since it was last told of, and in each pool that several draw on."""

from collections import OrderedDict
from typing import NamedTuple

#: pools and relays that are counted; what was quiet for longest gives way
_POOLS, _RELAYS = 50_000, 50_000


class Spending(NamedTuple):
    """All that one relay has relayed so far in bytes, and the pools that it draws on; None asks and adds nothing."""

    relay: str
    total: int | None
    pools: tuple[str, ...]


class Spent(NamedTuple):
    """In bytes: what is counted of the relay, what of it was new, and what is used of each pool, in their order."""

    total: int
    fresh: int
    used: tuple[int, ...]


class Ledger:
    """Counts in memory. A total only grows: one that was told before, or that a later one has overtaken, adds nothing,
    whoever tells of it and when, also after the end of its relay. No two relays have one name."""

    def __init__(self) -> None:
        self._used: OrderedDict[str, int] = OrderedDict()
        self._seen: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used) + len(self._seen)

    def spend(self, spending: Spending) -> Spent:
        """Adds what is new of one relay to its pools."""
        known = self._seen.get(spending.relay, 0)
        total = max(known, spending.total or 0)
        fresh = total - known
        spent = Spent(total, fresh, tuple(self._used.get(pool, 0) + fresh for pool in spending.pools))
        if spending.total is not None:
            self.learn(spending, spent)
        return spent

    def learn(self, spending: Spending, spent: Spent) -> None:
        """What a ledger says of it that knows more."""
        if spending.total is not None:
            _remember(self._seen, spending.relay, max(spent.total, self._seen.get(spending.relay, 0)), _RELAYS)
        for pool, used in zip(spending.pools, spent.used, strict=True):
            _remember(self._used, pool, used, _POOLS)


def _remember(book: OrderedDict[str, int], key: str, value: int, most: int) -> None:
    book[key] = value
    book.move_to_end(key)
    if len(book) > most:
        book.popitem(last=False)
