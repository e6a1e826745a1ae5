"""What tests need of the loopback interface."""

import socket

from tests.skipping import skip_for_lack_of


def require_ipv6() -> None:
    """Skips the running test where the kernel has no ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        skip_for_lack_of("IPv6 on lo", enable="sudo sysctl net.ipv6.conf.lo.disable_ipv6=0")
