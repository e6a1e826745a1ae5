"""Puts the native engine into wheels that are built where Rust is; elsewhere the wheel is pure Python."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

EXTENSION = "fairlead/native/_engine.abi3.so"


class EngineHook(BuildHookInterface[Any]):
    """`pip install .` and `python -m build`; an editable installation leaves building to `make native`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files of a wheel."""
        if self.target_name != "wheel" or version == "editable":
            return
        root = Path(self.root)
        run = subprocess.run([root / "tools" / "build-engine", "--if-possible"], stdout=subprocess.PIPE, check=True)
        # Standard output is the build frontend's.
        sys.stderr.write(run.stdout.decode())
        if (root / EXTENSION).exists():
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform}"
            build_data["artifacts"].append(EXTENSION)
