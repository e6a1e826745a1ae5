"""A turnd for tests: its engine is built with the feature that injects panics, and SIGUSR2 injects one."""

import importlib.util
import os
import signal
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

from fairlead.daemon import run

_ROOT = Path(__file__).parents[2]
_NAME = "fairlead.native._engine"


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or _ROOT / "native" / "target")


def build() -> None:
    """Compiles the extension without optimizations, which takes the least time; raises CalledProcessError."""
    command = ["cargo", "build", "--quiet", "--locked", "--package", "pymodule", "--features", "panic-injection"]
    where = ["--manifest-path", str(_ROOT / "native" / "Cargo.toml"), "--target-dir", str(target())]
    environment = os.environ | {"PYO3_NO_PYTHON": "1"}
    subprocess.run([*command, *where], env=environment, check=True, capture_output=True, text=True)


def main() -> int:
    loader = ExtensionFileLoader(_NAME, str(target() / "debug" / "lib_engine.so"))
    specification = importlib.util.spec_from_loader(_NAME, loader)
    assert specification is not None
    extension = importlib.util.module_from_spec(specification)
    loader.exec_module(extension)
    sys.modules[_NAME] = extension
    from turnd.daemon import Turnd
    from turnd.dataplane.native import NativeEngine

    daemon = Turnd()

    def panic(*_: object) -> None:
        engine = daemon.server.engine
        assert isinstance(engine, NativeEngine)
        extension.Engine.panic(engine._engine, 0)

    signal.signal(signal.SIGUSR2, panic)
    return run(daemon)


if __name__ == "__main__":
    sys.exit(main())
