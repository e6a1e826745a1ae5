"""What tests need of the loopback interface."""

import contextlib
import random
import socket

from tests.skipping import skip_for_lack_of


def quiet_port(*kinds: socket.SocketKind) -> int:
    """An even port of 127.0.0.1 at which nobody has sockets of these kinds, nor at the one above it. The system gives
    it to nobody who does not ask for it, so that it is free still when somebody does."""
    while True:
        # Below those for whoever asks for any.
        port = 2 * random.randrange(1000, 10_000)  # noqa: S311 - so that those who look at the same time do not meet
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for each in (port, port + 1):
                for kind in kinds:
                    stack.enter_context(socket.socket(type=kind)).bind(("127.0.0.1", each))
            return port


def require_ipv6() -> None:
    """Skips the running test where the kernel has no ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        skip_for_lack_of("IPv6 on lo", enable="sudo sysctl net.ipv6.conf.lo.disable_ipv6=0")
