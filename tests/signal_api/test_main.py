"""The command: it starts, says where it listens, drains on SIGTERM, and refuses with a remedy."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.processes import PATIENCE
from tests.signal_api.worlds import DEFAULTS


async def _start(**environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "signal_api",
        env={"PATH": os.environ["PATH"], **environ},
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


async def test_without_a_secret_it_says_what_to_do() -> None:
    process = await _start(FAIRLEAD__SIGNAL_API__OPS="127.0.0.1:0", FAIRLEAD__SIGNAL_API__DEMO="true")
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 1
    assert b"auth.secrets: no secret to make TURN credentials with; set auth.secrets" in errors
    assert b"fairlead up" in errors


async def test_it_serves_until_it_is_told_to_stop() -> None:
    process = await _start(**DEFAULTS)
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        said = b""
        while b'"ready"' not in said:
            said += await process.stderr.readline()
        assert b"http://127.0.0.1:" in said
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_taken_port_names_who_has_it() -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    process = await _start(**(DEFAULTS | {"FAIRLEAD__SIGNAL_API__LISTEN": f"127.0.0.1:{port}"}))
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    taken.close()
    assert process.returncode == 1
    assert f"(pid {os.getpid()})".encode() in errors
    assert b"signal_api.listen" in errors
