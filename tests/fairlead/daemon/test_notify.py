import os
import socket
from pathlib import Path

from fairlead.daemon.notify import Notifier


def test_lines_reach_the_manager(tmp_path: Path) -> None:
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        Notifier({"NOTIFY_SOCKET": path})(READY=1, STATUS="serving")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving\n"


def test_an_abstract_name_begins_with_an_at_sign() -> None:
    name = f"fairlead-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"})(STOPPING=1)
        assert manager.recv(100) == b"STOPPING=1\n"


def test_without_a_manager_or_after_its_end_nothing_happens(tmp_path: Path) -> None:
    Notifier({})(READY=1)
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")})(READY=1)


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        notify = Notifier({"NOTIFY_SOCKET": path})
        for _ in range(2000):
            notify(WATCHDOG=1)


def test_signs_of_life_come_twice_as_often_as_they_must() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_interval == 15.0
    assert Notifier({}).watchdog_interval is None
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_interval is None
