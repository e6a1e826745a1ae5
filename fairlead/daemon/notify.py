"""sd_notify: tells systemd (or whoever set NOTIFY_SOCKET) how the daemon is."""

import socket
from collections.abc import Mapping


class Notifier:
    """Sends `NAME=value` lines to the service manager; without one, nothing happens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of Linux's abstract names.
        self._path = "\0" + path[1:] if path.startswith("@") else path
        microseconds = environ.get("WATCHDOG_USEC", "")
        #: seconds between two signs of life, half of what systemd grants; None when it does not watch
        self.watchdog_interval = int(microseconds) / 2e6 if microseconds.isdigit() else None

    def __call__(self, **lines: object) -> None:
        """`notify(READY=1)`. A manager that is gone is not this daemon's problem."""
        if not self._path:
            return
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(text.encode(), self._path)
            except OSError:
                return
