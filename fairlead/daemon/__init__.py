"""The runtime of every daemon: signals, reload, drain, the ops port, systemd."""

from fairlead.daemon.clocks import SystemClock
from fairlead.daemon.command import run
from fairlead.daemon.files import take_all_files
from fairlead.daemon.http import HttpServer
from fairlead.daemon.protocol import Context, Daemon

__all__ = ["Context", "Daemon", "HttpServer", "SystemClock", "run", "take_all_files"]
