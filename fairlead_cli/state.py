"""What `fairlead up` keeps between two starts: its secret and its join key, for nobody else to read."""

import os
import secrets
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path

from fairlead.config.overlay import read_secret

#: random bytes of each
_SECRET_BYTES = 32
_JOIN_KEY_BYTES = 16
#: bytes (unix(7)), the zero behind it left out
_LONGEST_SOCKET_PATH = 107


class StateError(Exception):
    """The directory cannot be used; a sentence with the remedy."""


class StateDirectory:
    """A directory of our own. Nothing is made before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "StateDirectory":
        """FAIRLEAD_STATE, else `fairlead` in the user's state directory (XDG Base Directory Specification)."""
        own, users = environ.get("FAIRLEAD_STATE", ""), environ.get("XDG_STATE_HOME", "")
        if own:
            return cls(Path(own).absolute())
        # The specification has relative paths ignored.
        if users.startswith("/"):
            return cls(Path(users) / "fairlead")
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise StateError(
                "there is no home directory to keep a secret in; set FAIRLEAD_STATE to a directory of your own"
            )
        return cls(Path(home) / ".local" / "state" / "fairlead")

    @property
    def secret(self) -> Path:
        """The file of the secret that credentials are made with."""
        return self.path / "secret"

    @property
    def join_key(self) -> Path:
        """The file of the key that lets people into rooms."""
        return self.path / "join-key"

    @property
    def link(self) -> Path:
        """The socket that joins turnd and signal_api."""
        return self.path / "link"

    def prepare(self, needed: Container[Path]) -> None:
        """Makes what is needed and missing, the directory in any case. Raises StateError."""
        if self.link in needed and len(os.fsencode(self.link)) > _LONGEST_SOCKET_PATH:
            raise StateError(
                f"{self.link} is too long for a socket ({_LONGEST_SOCKET_PATH} bytes); "
                "set FAIRLEAD_STATE to a directory with a shorter path"
            )
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file, length in ((self.secret, _SECRET_BYTES), (self.join_key, _JOIN_KEY_BYTES)):
                if file in needed:
                    _keep(file, length)
        except OSError as error:
            raise StateError(
                f"{error.filename or self.path} cannot be used ({error.strerror}); "
                "set FAIRLEAD_STATE to a directory that you may write to"
            ) from None
        except ValueError as error:
            raise StateError(f"{error}, or remove it for a new one") from None


def _keep(file: Path, length: int) -> None:
    """Makes a file with a random text that only its owner may read, or keeps the one that is there."""
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}-") as fresh:
            fresh.write(f"{secrets.token_urlsafe(length)}\n")
            fresh.flush()
            _link(Path(fresh.name), file)
    status = file.stat()
    if status.st_uid != os.geteuid():
        raise ValueError(f"{file} belongs to another user; set FAIRLEAD_STATE to a directory of your own")
    if status.st_mode & 0o077:
        file.chmod(0o600)
    read_secret(file)


def _link(fresh: Path, file: Path) -> None:
    """Gives the file its name, whole; of two who start at once, the first one's counts."""
    try:
        os.link(fresh, file)
    except FileExistsError:
        return
