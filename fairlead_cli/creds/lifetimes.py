"""How long a credential shall live, as people write it."""

import re

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LIFETIME = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)
#: seconds; whoever needs a credential for longer wants a user with a password
LONGEST = 366 * 86400


def parse_lifetime(text: str) -> int:
    """Seconds from `90`, `90s`, `15m`, `1h` or `7d`; raises ValueError with a sentence."""
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time; write a number with s, m, h or d behind it, such as 1h")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"{text!r} is no lifetime; write something from 1s to {LONGEST // 86400}d")
    return seconds
