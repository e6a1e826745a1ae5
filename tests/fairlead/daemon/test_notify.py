import os
import resource
import socket
from contextlib import closing
from pathlib import Path

import pytest

from fairlead.daemon.notify import Notifier


def test_lines_reach_the_manager(tmp_path: Path) -> None:
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        with closing(Notifier({"NOTIFY_SOCKET": path})) as notify:
            notify(READY=1, STATUS="serving")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving\n"


def test_an_abstract_name_begins_with_an_at_sign() -> None:
    name = f"fairlead-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        with closing(Notifier({"NOTIFY_SOCKET": f"@{name}"})) as notify:
            notify(STOPPING=1)
        assert manager.recv(100) == b"STOPPING=1\n"


def test_without_a_manager_or_after_its_end_nothing_happens(tmp_path: Path) -> None:
    Notifier({})(READY=1)
    with closing(Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")})) as notify:
        notify(READY=1)
        notify.close()
        notify(READY=1)


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        with closing(Notifier({"NOTIFY_SOCKET": path})) as notify:
            for _ in range(2000):
                notify(WATCHDOG=1)


def test_signs_of_life_come_twice_as_often_as_they_must() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_interval == 15.0
    assert Notifier({}).watchdog_interval is None
    for written in ("soon", "", "0", "\u00b2"):
        assert Notifier({"WATCHDOG_USEC": written}).watchdog_interval is None


def test_a_daemon_without_a_descriptor_left_still_says_that_it_lives(tmp_path: Path) -> None:
    """Else systemd takes it for dead, and ends every call."""
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        with closing(Notifier({"NOTIFY_SOCKET": path})) as notify:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    socket.socket()
                notify(WATCHDOG=1)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert manager.recv(100) == b"WATCHDOG=1\n"
