"""turnd's end of the link: a Unix socket that only our user may open."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from fairlead.config import SettingError
from fairlead.link.connection import Connection
from fairlead.link.messages import LONGEST_LINE, Budget, Command, End, Event, Fence, LinkError, Message, Revoke
from fairlead.link.outbox import Outbox
from fairlead.log import get_logger

_log = get_logger("fairlead.link")

_KEY = ("link", "socket")
_CONNECTIONS = 128
_OUTBOX = 4096


class LinkServer:
    """Tells every connected signal_api the events, and hands its commands on.

    `receive` is called with each command; `living` says what is true when somebody connects, mostly an Allocated for
    each living allocation.
    """

    def __init__(
        self,
        path: Path,
        receive: Callable[[Command], None],
        living: Callable[[], Iterable[Event]],
        daemon: str = "turnd",
    ) -> None:
        self._path = path
        self._receive = receive
        self._living = living
        self._daemon = daemon
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        #: the file of the socket
        self._made: tuple[int, int] | None = None
        self._dropped = 0

    @property
    def connected(self) -> int:
        """How many are connected."""
        return len(self._connections)

    @property
    def state(self) -> str:
        """In words."""
        if self._made is not None and self._made != _identity(self._path):
            return f"{self.connected} connected; {self._path} was removed, so that nobody else can: restart turnd"
        return f"{self.connected} connected"

    @property
    def dropped(self) -> int:
        """Events that a slow reader had no room for."""
        return self._dropped + sum(connection.outbox.dropped for connection in self._connections)

    async def start(self) -> None:
        """Listens; raises SettingError for a path that cannot be used."""
        sock = _bind(self._path)
        self._made = _identity(self._path)
        self._server = await asyncio.start_unix_server(self._accept, sock=sock, limit=LONGEST_LINE)
        _log.info("link open", socket=str(self._path))

    def publish(self, event: Event) -> None:
        """Tells everybody who is connected; without anybody, nothing happens."""
        for connection in self._connections:
            connection.send(event)

    async def stop(self) -> None:
        """Closes every connection and removes the socket, unless another one has taken its place."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._made == _identity(self._path):
            self._path.unlink(missing_ok=True)
        self._server = self._made = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, Outbox(_OUTBOX))
        try:
            if len(self._tasks) > _CONNECTIONS:
                raise LinkError(f"more than {_CONNECTIONS} connections")
            hello = await connection.greet(self._daemon)
            _log.info("link connected", daemon=hello.daemon)
            self._connections.add(connection)
            await connection.run(self._take, first=tuple(self._living()))
        except (LinkError, OSError) as error:
            _log.warning("link closed", problem=str(error))
        finally:
            self._connections.discard(connection)
            self._dropped += connection.outbox.dropped
            await connection.close()

    def _take(self, message: Message) -> None:
        if not isinstance(message, Revoke | End | Fence | Budget):
            raise LinkError(f"{type(message).__name__} is no command")
        self._receive(message)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bind(path: Path) -> socket.socket:
    """A listening socket that only our user may open (mode 0600 from its first moment)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        _remove_stale(path)
        sock.bind(str(path))
        sock.listen()
    except OSError as error:
        sock.close()
        raise SettingError(_KEY, *_explain(path, error)) from error
    except SettingError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _remove_stale(path: Path) -> None:
    """Removes the socket of a process that is gone; raises SettingError for one that is alive, or for another file."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise SettingError(_KEY, f"{path} is there and no socket", "write a path that is free")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SettingError(_KEY, f"{path} is in use by another process", "stop it, or write another path")


def _explain(path: Path, error: OSError) -> tuple[str, str]:
    if error.errno == errno.ENOENT:
        return f"there is no directory {path.parent}", "make it, owned by the daemon's user"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path.parent} may not be written to", "write a path in a directory of the daemon's user, in /run best"
    if "too long" in str(error):
        return f"{path} is too long for a socket", "write a path of at most 107 bytes"
    return f"{path} cannot be opened ({error.strerror or error})", "write another path"
