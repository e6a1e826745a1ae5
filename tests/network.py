"""A network of one test's own, where every address of both families is this machine's."""

import ctypes
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.loopback import require_ipv6
from tests.skipping import require_program, skip_for_lack_of

_CLONE_NEWNET = 0x40000000

#: Relay addresses there: public ones, so that nothing about them is special.
PUBLIC_IPV4, PUBLIC_IPV6 = "20.0.0.1", "2600::1"

_SET_UP = (
    "link set lo up",
    # No broadcast address, which the network of 127.0.0.1/8 would bring.
    "address delete 127.0.0.1/8 dev lo",
    "address add 127.0.0.1/32 dev lo",
    f"address add {PUBLIC_IPV4}/32 dev lo",
    f"-6 address add {PUBLIC_IPV6}/128 dev lo nodad",
    "route add local 0.0.0.0/0 dev lo",
    "-6 route add local ::/0 dev lo",
)


@pytest.fixture
def own_network() -> Iterator[None]:
    """Puts the test, and what it starts, into a new network namespace, in which a socket that is bound to a wildcard
    address hears what is sent to any address whatsoever."""
    ip = require_program("ip")
    require_ipv6()
    libc = ctypes.CDLL(None)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET):
            skip_for_lack_of("the right to make a network namespace", enable="sudo make test")
        try:
            for words in _SET_UP:
                subprocess.run([ip, *words.split()], check=True)
            yield
        finally:
            assert libc.setns(before, _CLONE_NEWNET) == 0
    finally:
        os.close(before)
