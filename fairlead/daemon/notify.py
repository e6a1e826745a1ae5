"""sd_notify: tells systemd (or whoever set NOTIFY_SOCKET) how the daemon is."""

import socket
from collections.abc import Mapping


class Notifier:
    """Sends `NAME=value` lines to the service manager; without one, nothing happens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of Linux's abstract names.
        self._path = "\0" + path[1:] if path.startswith("@") else path
        # Opened before anything else takes descriptors: a daemon that has none left is alive, and has to say so.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if path else None
        microseconds = environ.get("WATCHDOG_USEC", "")
        granted = int(microseconds) if microseconds.isascii() and microseconds.isdigit() else 0
        #: seconds between two signs of life, half of what systemd grants; None when it does not watch
        self.watchdog_interval = granted / 2e6 if granted else None

    def __call__(self, **lines: object) -> None:
        """`notify(READY=1)`. A manager that is gone is not this daemon's problem."""
        if self._socket is None:
            return
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        try:
            self._socket.sendto(text.encode(), self._path)
        except OSError:
            return

    def close(self) -> None:
        """Nothing more is said."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
