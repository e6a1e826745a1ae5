"""A daemon that does nothing but write down what it is told."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from fairlead.config import DaemonSettings, Loaded, SettingError, load
from fairlead.daemon import Context
from fairlead.daemon.runtime import Runtime
from tests.waiting import eventually

#: httpx reads every certificate authority of the machine unless it is given a context.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class RecordingSettings(DaemonSettings):
    word: str = "first"


class Recording:
    """`drained` is what its drain waits for; `refuse` is what its next start or reload raises."""

    name = "stund"
    prefix = "stund"
    settings = RecordingSettings

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.reasons: list[str] = []
        self.drained = asyncio.Event()
        self.started = asyncio.Event()
        self.refuse: BaseException | None = None
        self.context: Context | None = None
        self.may_start: Callable[[], Awaitable[object]] | None = None

    async def start(self, loaded: Loaded[RecordingSettings], context: Context) -> None:
        self.calls.append(f"start {loaded.section.word}")
        self.context = context
        self.started.set()
        if self.may_start is not None:
            await self.may_start()
        self._fail()

    async def reload(self, loaded: Loaded[RecordingSettings]) -> None:
        self.calls.append(f"reload {loaded.section.word}")
        self._fail()

    async def readiness(self) -> Sequence[str]:
        return self.reasons

    def about(self) -> Mapping[str, str | int]:
        return {"word": "spoken"}

    async def drain(self) -> None:
        self.calls.append("drain")
        self._fail()
        await self.drained.wait()

    async def stop(self) -> None:
        self.calls.append("stop")

    def _fail(self) -> None:
        error, self.refuse = self.refuse, None
        if error is not None:
            raise error


REFUSAL = SettingError(("stund", "word"), "is no good", "write another")


class Life:
    """A recording daemon in its runtime, in the running loop, with a configuration file."""

    def __init__(
        self, folder: Path, text: str = "", environ: Mapping[str, str] | None = None, ops: str = "127.0.0.1:0"
    ) -> None:
        self.file = folder / "fairlead.yaml"
        self.configure(text, ops)
        self.daemon = Recording()
        self.runtime = Runtime(self.daemon, self._load(), self._load, environ or {})
        self.serving: asyncio.Task[bool] | None = None

    def configure(self, text: str = "", ops: str = "127.0.0.1:0") -> None:
        """Writes the file; `text` begins at its third line."""
        self.file.write_text(f"stund:\n  ops: {ops}\n{text}")

    def start(self) -> None:
        self.serving = asyncio.create_task(self.runtime.serve())

    def _load(self) -> Loaded[RecordingSettings]:
        return load(self.file, {}, "stund", RecordingSettings)

    async def get(self, path: str) -> httpx.Response:
        """A page of the ops port."""
        assert self.runtime._ops is not None
        async with httpx.AsyncClient(base_url=f"http://{self.runtime._ops.address}", verify=NO_TLS) as client:
            return await client.get(path)

    async def ready(self) -> dict[str, Any]:
        """What /readyz says."""
        response = await self.get("/readyz")
        body: dict[str, Any] = response.json()
        assert response.status_code == (200 if body["ready"] else 503)
        return body

    async def end(self) -> None:
        """Stops it, unless it has stopped."""
        assert self.serving is not None
        if not self.serving.done():
            os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(20):
            await self.serving

    async def lived(self) -> bool:
        """Its whole life, when that ends by itself: whether it could start."""
        async with asyncio.timeout(20):
            return await self.runtime.serve()


@asynccontextmanager
async def living(folder: Path, text: str = "", environ: Mapping[str, str] | None = None) -> AsyncIterator[Life]:
    """A life that has begun, and is ended."""
    life = Life(folder, text, environ)
    life.start()
    try:
        await until_called(life, "start")
        await eventually(lambda: life.runtime._started)
        yield life
    finally:
        await life.end()


async def until_called(life: Life, call: str) -> None:
    await eventually(lambda: any(made.startswith(call) for made in life.daemon.calls))
