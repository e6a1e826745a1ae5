"""Bytes as names: lower-case base32 (RFC 4648 section 6), which stands in URLs, logs and user names as it is."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
#: two characters for every ten bits; the standard library takes ten times as long over one
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def base32(data: bytes) -> str:
    """Eight characters for every five bytes; there is no padding, so their number is a multiple of five."""
    if len(data) % 5:
        raise ValueError(f"{len(data)} bytes are no multiple of five")
    bits = int.from_bytes(data)
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(8 * len(data) - 10, -1, -10)])
