"""How much was relayed: by each relay since it was last told of, and in each pool that several draw on."""

from collections import OrderedDict
from typing import NamedTuple

#: pools and relays that are counted; what was quiet for longest gives way
_POOLS, _RELAYS = 50_000, 50_000


class Spending(NamedTuple):
    """All that one relay has relayed so far in bytes, and the pools that it draws on; None asks and adds nothing.
    Once it `is_over`, another one may come under its name."""

    relay: str
    total: int | None
    pools: tuple[str, ...]
    is_over: bool = False


class Spent(NamedTuple):
    """In bytes: what is counted of the relay, what of it was new, and what is used of each pool, in their order."""

    total: int
    fresh: int
    used: tuple[int, ...]


class Ledger:
    """Counts in memory. The same spending again adds nothing, whoever tells of it."""

    def __init__(self) -> None:
        self._used: OrderedDict[str, int] = OrderedDict()
        #: totals; of a relay that is over, -1 - total
        self._seen: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used) + len(self._seen)

    def spend(self, spending: Spending) -> Spent:
        """Adds what is new of one relay to its pools."""
        total, known = spending.total, self._seen.get(spending.relay, 0)
        if spending.is_over and total is not None and known == -1 - total:
            known = total
        known = max(0, known)
        used = tuple(self._used.get(pool, 0) for pool in spending.pools)
        if total is None:
            return Spent(known, 0, used)
        # Numbers of relays begin anew with each turnd.
        fresh = total - known if total >= known else total
        spent = Spent(total, fresh, tuple(before + fresh for before in used))
        self.learn(spending, spent)
        return spent

    def learn(self, spending: Spending, spent: Spent) -> None:
        """What a ledger says of it that knows more."""
        if spending.total is not None:
            seen = -1 - spent.total if spending.is_over else spent.total
            _remember(self._seen, spending.relay, seen, _RELAYS)
        for pool, used in zip(spending.pools, spent.used, strict=True):
            _remember(self._used, pool, used, _POOLS)


def _remember(book: OrderedDict[str, int], key: str, value: int, most: int) -> None:
    book[key] = value
    book.move_to_end(key)
    if len(book) > most:
        book.popitem(last=False)
