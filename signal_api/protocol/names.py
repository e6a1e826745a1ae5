"""Bytes as names, in the letters of base32 (RFC 4648 section 6), which stand in URLs, logs and user names as they
are."""

#: what each byte is written as: five of its bits count, so that all letters are equally likely
_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8


def letters(data: bytes) -> str:
    """One character for each byte, of random bytes or of a hash."""
    return data.translate(_LETTERS).decode()
