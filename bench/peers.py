"""Servers of others that their registries have: built once, at one version, into the cache of this user."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.programs import cache
from bench.servers import ACCOUNT, REALM, Place, Process, ServerError

_BUILD_SECONDS = 900.0
_PION = "github.com/pion/turn/v4/examples/turn-server/simple@v4.1.4"
_TURN_RS = ("turn-server", "4.1.5")


class Pion(Process):
    """The simple server among pion/turn's examples."""

    name = "pion"

    def command(self, place: Place, folder: Path) -> list[str]:
        program = _built("pion-turn-4.1.4", "simple", "go", ["install", _PION], {"GOFLAGS": "-mod=mod"})
        users = f"{ACCOUNT.username}={ACCOUNT.password}"
        port = str(place.address.port)
        return [str(program), "-public-ip", place.relay_host, "-port", port, "-users", users, "-realm", REALM]


class TurnRs(Process):
    """turn-rs, without what is not relaying. It has no relay sockets: it joins clients of its own to each other, and
    refuses a peer that is not one."""

    name = "turn-rs"

    def command(self, place: Place, folder: Path) -> list[str]:
        crate, version = _TURN_RS
        words = ["install", crate, "--version", version, "--locked", "--no-default-features", "--features", "udp"]
        program = _built(f"turn-rs-{version}", "turn-server", "cargo", words, {})
        (folder / "turn.toml").write_text(
            f'[server]\nport-range = "{place.relay_ports.replace("-", "..")}"\nmax-threads = 1\nrealm = "{REALM}"\n'
            f'[[server.interfaces]]\ntransport = "udp"\nlisten = "{place.address}"\nexternal = "{place.address}"\n'
            f'[log]\nlevel = "error"\n[auth.static-credentials]\n{ACCOUNT.username} = "{ACCOUNT.password}"\n'
        )
        return [str(program), "--config", "turn.toml"]


def _built(folder: str, program: str, tool: str, words: list[str], environ: dict[str, str]) -> Path:
    """A program by its tool, built where it is not there yet. Raises ServerError."""
    bin_folder = cache() / folder / "bin"
    if (bin_folder / program).exists():
        return bin_folder / program
    found = shutil.which(tool) or shutil.which(tool, path=os.pathsep.join(_TOOLS))
    if found is None:
        raise ServerError(f"{folder} is built by {tool}, which is not here")
    print(f"building {folder}, once", flush=True)
    here = {"GOBIN": str(bin_folder), "CARGO_INSTALL_ROOT": str(bin_folder.parent)}
    run = subprocess.run(
        [found, *words],
        env=os.environ | here | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ServerError(f"{folder} cannot be built: {last}")
    return bin_folder / program


#: Where Go and Rust are installed when no PATH names them.
_TOOLS = ("/usr/local/go/bin", str(Path.home() / ".cargo/bin"))
