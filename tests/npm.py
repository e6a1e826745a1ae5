"""What tests need from the npm registry, by lock files alone: installed once, and again when the lock has changed."""

import fcntl
import hashlib
import subprocess
from pathlib import Path

from tests.skipping import require_program

_STAMP = ".fairlead-lock"


def installed(folder: Path) -> Path:
    """The node_modules of a folder that has a package-lock.json; skips the running test where there is no npm."""
    npm = require_program("npm")
    modules = folder / "node_modules"
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    with (folder / "package.json").open() as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        stamp = modules / _STAMP
        if not stamp.is_file() or stamp.read_text() != lock:
            command = [npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
            assert run.returncode == 0, f"npm ci in {folder}:\n{run.stdout}{run.stderr}"
            stamp.write_text(lock)
    return modules
