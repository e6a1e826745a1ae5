"""How much one source may ask for before it has shown who it is: token buckets in a table of a fixed size.

The table is allocated at the start and never grows, so that a flood from a million addresses costs what a flood from
one costs. Sources that fall into the same slot share its bucket; a key that only we know keeps anybody from
choosing whose.
"""

import hashlib
from array import array

from fairlead.clock import Now


class BucketTable:
    """`size` buckets that hold at most `burst` tokens and gain `rate` tokens a second; rate 0 switches it off.

    A bucket is one number: the moment at which it will be full again. A full one lies in the past.
    """

    def __init__(self, size: int, rate: float, burst: int, key: bytes) -> None:
        if rate < 0 or (rate and (burst < 1 or size < 1)):
            raise ValueError(f"a limit of {rate}/s with a burst of {burst} lets nothing through; 0/s switches it off")
        self._size = size
        self._key = key
        self._cost = 1 / rate if rate else 0.0
        # Half a token of slack, lest rounding eat the last one.
        self._depth = (burst - 0.5) * self._cost
        self._full_at = array("d", bytes(8 * size)) if rate else None

    def allow(self, prefix: bytes, now: Now) -> bool:
        """Takes a token from the bucket of these bytes; False when it is empty."""
        if self._full_at is None:
            return True
        slot = int.from_bytes(hashlib.blake2b(prefix, digest_size=8, key=self._key).digest()) % self._size
        full_at = max(self._full_at[slot], now.monotonic)
        if full_at - now.monotonic > self._depth:
            return False
        self._full_at[slot] = full_at + self._cost
        return True
