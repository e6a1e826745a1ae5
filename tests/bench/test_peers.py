"""Peers are built once, or said to be missing."""

from pathlib import Path

import pytest

from bench import peers
from bench.lineup import Lineup
from bench.peers import Pion
from bench.servers import Place, ServerError
from bench.topology import Cores, Loopback
from fairlead.datagram import Address

PLACE = Place(Address("127.0.0.1", 3478), "127.0.0.1", "40000-40999", "127.0.0.1", None)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is all of PATH, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(peers, "_TOOLS", ())
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def write_tool(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def command(folder: Path) -> list[str]:
    return Pion.command(Pion.__new__(Pion), PLACE, folder)


def test_a_peer_is_built_once(tools: Path, tmp_path: Path) -> None:
    script = 'echo "$@" >> "$GOBIN.asked"; echo "#!/bin/sh" > "$GOBIN/simple"; chmod +x "$GOBIN/simple"'
    write_tool(tools / "go", f'mkdir -p "$GOBIN"; {script}')
    words = command(tmp_path)
    assert command(tmp_path) == words
    assert Path(words[0]).exists()
    asked = Path(words[0]).parent.with_suffix(".asked").read_text().splitlines()
    assert asked == ["install github.com/pion/turn/v4/examples/turn-server/simple@v4.1.4"]


def test_what_cannot_be_built_says_why(tools: Path, tmp_path: Path) -> None:
    write_tool(tools / "go", "echo first >&2; echo no way there >&2; exit 1")
    with pytest.raises(ServerError, match="cannot be built: no way there"):
        command(tmp_path)


@pytest.mark.requires("turnserver")
def test_a_run_goes_on_without_a_peer_and_says_so(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for tool in ("go", "cargo"):
        write_tool(tools / tool, "echo broken >&2; exit 1")
    with Lineup(["coturn", "pion", "turn-rs"], [], Loopback(), Cores(None, None)) as lineup:
        assert [server.name for server in lineup.servers] == ["coturn"]
    assert {name: "broken" in why for name, why in lineup.missing.items()} == {"pion": True, "turn-rs": True}
    assert "pion is not measured: pion-turn-4.1.4 cannot be built: broken" in capsys.readouterr().out
