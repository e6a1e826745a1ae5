import os
import stat
from pathlib import Path

import pytest

from fairlead_cli.state import StateDirectory, StateError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/fairlead"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/var/state"}, "/var/state/fairlead"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "relative/is/ignored"}, "/home/me/.local/state/fairlead"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/var/state", "FAIRLEAD_STATE": "/run/fairlead"}, "/run/fairlead"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "", "FAIRLEAD_STATE": ""}, "/home/me/.local/state/fairlead"),
    ],
)
def test_where_it_is(environ: dict[str, str], path: str) -> None:
    assert StateDirectory.of(environ).path == Path(path)


def test_without_a_home_the_remedy_is_named() -> None:
    with pytest.raises(StateError, match="set FAIRLEAD_STATE"):
        StateDirectory.of({})


def test_what_is_needed_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "deep" / "state")
    state.prepare({state.secret, state.join_key})
    assert mode(state.path) == 0o700
    assert mode(state.secret) == mode(state.join_key) == 0o600
    assert len(state.secret.read_text().strip()) >= 43, "32 random bytes"
    assert state.secret.read_text() != state.join_key.read_text()
    assert sorted(file.name for file in state.path.iterdir()) == ["join-key", "secret"], "nothing else is left behind"


def test_what_is_not_needed_is_not_made(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.prepare({state.link})
    assert list(state.path.iterdir()) == []


def test_it_is_kept(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.prepare({state.secret})
    first = state.secret.read_text()
    state.prepare({state.secret})
    assert state.secret.read_text() == first


def test_a_file_that_others_could_read_is_closed(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.secret.write_text("from somewhere else\n")
    state.secret.chmod(0o644)
    state.prepare({state.secret})
    assert mode(state.secret) == 0o600
    assert state.secret.read_text() == "from somewhere else\n"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.secret.touch()
    with pytest.raises(StateError, match="is empty; write the secret into it, or remove it for a new one"):
        state.prepare({state.secret})


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that all may write to, somebody else could have put a secret there that they know."""
    state = StateDirectory(tmp_path)
    state.prepare({state.secret})
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(StateError, match="belongs to another user"):
        state.prepare({state.secret})


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"file/state cannot be used \(Not a directory\); set FAIRLEAD_STATE"):
        StateDirectory(tmp_path / "file" / "state").prepare(set())


def test_a_path_that_no_socket_can_have_is_refused_before_anything_starts(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / ("x" * 107))
    with pytest.raises(StateError, match=r"too long for a socket .* set FAIRLEAD_STATE"):
        state.prepare({state.link})
    assert not state.path.exists()
    state.prepare({state.secret})
