import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from fairlead_cli.up.process import Process
from fairlead_cli.up.supervision import Order
from tests.architecture.house import ROOT
from tests.processes import wait_for


class Program:
    """A module that consists of this code, as a process."""

    def __init__(self, folder: Path, code: str, *arguments: str) -> None:
        (folder / "program.py").write_text(dedent(code))
        self.lines: list[str] = []
        environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
        self.process = Process("program", arguments, environ, self._hear)
        self._heard = asyncio.Event()

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        self._heard.set()

    async def says(self, line: str) -> None:
        """Waits for a line."""
        async with asyncio.timeout(30):
            while line not in self.lines:
                self._heard.clear()
                await self._heard.wait()


async def test_its_lines_are_heard_and_its_exit_code_returned(tmp_path: Path) -> None:
    code = """
        import sys
        print("out", *sys.argv[1:])
        print("err\\r", file=sys.stderr, end="\\nno line end")
        sys.exit(7)
    """
    program = Program(tmp_path, code, "--config", "x.yaml")
    assert await program.process.run() == 7
    assert program.lines == ["out --config x.yaml", "err", "no line end"]
    assert not program.process.started.is_set()


async def test_a_line_of_any_length_is_heard(tmp_path: Path) -> None:
    program = Program(tmp_path, "print('a' * 200_000); print('b')")
    assert await program.process.run() == 0
    assert program.lines[-1] == "b"
    assert "".join(program.lines[:-1]) == "a" * 200_000


@pytest.mark.parametrize(
    ("order", "status"),
    [(Order.RELOAD, 1), (Order.DRAIN, 15), (Order.STOP, 2), (Order.KILL, -9)],
)
async def test_orders_are_signals(tmp_path: Path, order: Order, status: int) -> None:
    code = """
        import os, signal, sys
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: sys.exit(number))
        print("waiting")
        signal.pause()
    """
    program = Program(tmp_path, code)
    running = asyncio.create_task(program.process.run())
    await program.says("waiting")
    program.process.tell(order)
    assert await running == status
    program.process.tell(order)


async def test_an_order_that_comes_before_the_process_is_kept(tmp_path: Path) -> None:
    program = Program(tmp_path, "import time; time.sleep(60)")
    program.process.tell(Order.DRAIN)
    assert await program.process.run() == -signal.SIGTERM


async def test_it_has_started_when_it_says_so_to_its_manager(tmp_path: Path) -> None:
    """By the runtime's own notifier."""
    code = """
        import os
        from fairlead.daemon.notify import Notifier
        notify = Notifier(os.environ)
        notify(STATUS="nearly")
        print(f"watched every {notify.watchdog_interval}")
        input_is_empty = os.read(0, 1) == b""
        print(f"input is empty: {input_is_empty}")
        import sys, time
        with open(sys.argv[1]) as go:
            go.read()
        notify(READY=1)
        time.sleep(60)
    """
    os.mkfifo(tmp_path / "go")
    program = Program(tmp_path, code, str(tmp_path / "go"))
    running = asyncio.create_task(program.process.run())
    await program.says("input is empty: True")
    assert "watched every None" in program.lines
    assert not program.process.started.is_set()
    (tmp_path / "go").write_text("")
    async with asyncio.timeout(30):
        await program.process.started.wait()
    program.process.tell(Order.KILL)
    assert await running == -signal.SIGKILL


async def test_control_c_at_the_terminal_does_not_reach_it(tmp_path: Path) -> None:
    program = Program(tmp_path, "import os; print(os.getpgid(0) == os.getpid())")
    await program.process.run()
    assert program.lines == ["True"]


async def test_the_directory_that_we_stand_in_is_not_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "downloads"
    here.mkdir()
    (here / "colorsys.py").write_text("print('somebody else')")
    monkeypatch.chdir(here)
    program = Program(tmp_path, "import colorsys; print(colorsys.__name__)")
    await program.process.run()
    assert program.lines == ["colorsys"]


def test_it_drains_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Else it would stay on its ports, and the next start would fail."""
    (tmp_path / "program.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    code = """
        import asyncio, os
        from fairlead_cli.up.process import Process
        asyncio.run(Process("program", [], os.environ, lambda line: print(line, flush=True)).run())
    """
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", dedent(code)], env=environ, stdout=subprocess.PIPE, text=True
    ) as above:
        assert above.stdout is not None
        child = int(above.stdout.readline())
        above.kill()
    wait_for("the end of the child", lambda: True if has_ended(child) else None)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or is kept only for its parent to read the status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
