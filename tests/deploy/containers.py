"""Images and containers without a registry, a daemon or systemd: buildah, podman and runc, with a store of one test
run's own. It takes root, which also says where it is not to be had: inside of many containers."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.skipping import skip_for_lack_of

_PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
#: what only root may, and not where containers are forbidden to
_MOUNTING = ("unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt")
#: What of this machine a build needs to reach the package index as this machine does.
_OF_THIS_MACHINE = ("/etc/ssl/certs", "/etc/pip.conf")
#: Programs that read what podman would ask systemd for.
_PLAIN = ("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none")
#: As deploy/compose.yaml runs it; the limits are podman's own, which it may not raise everywhere.
HARDENED = (
    "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges",
    "--user", "10001:10001", "--network", "host", "--no-healthcheck",
    "--ulimit", "nofile=1024:8192", "--ulimit", "nproc=1000:1000",
)  # fmt: skip


class Containers:
    """One store of images, and what runs of them."""

    def __init__(self, folder: Path) -> None:
        missing = [program for program in _PROGRAMS if shutil.which(program) is None]
        if missing:
            enable = f"sudo apt-get install --no-install-recommends {' '.join(_PROGRAMS)}"
            skip_for_lack_of(", ".join(missing), enable=enable)
        if subprocess.run(_MOUNTING, capture_output=True, check=False).returncode:
            skip_for_lack_of("the right to mount, as containers need", enable="sudo make image, not inside of one")
        driver = "vfs" if _filesystem(folder) == "overlayfs" else "overlay"
        self._store = ("--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", driver)

    def import_root(self, tag: str, archive: Path) -> None:
        """Makes an image of the one layer that is the archive of a root."""
        self.podman("import", "--quiet", str(archive), tag)

    def build(self, tag: str, file: Path, context: Path, arguments: Mapping[str, str]) -> None:
        """Builds an image from the images that are here."""
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        mounts = [
            word for path in _OF_THIS_MACHINE if Path(path).exists() for word in ("--volume", f"{path}:{path}:ro")
        ]
        options = ("--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--layers=false")
        _call(
            "buildah", *self._store, "bud", *options, *given, *mounts, "--tag", tag, "--file", str(file), str(context)
        )

    def run(self, name: str, image: str, *command: str, options: Sequence[str] = ()) -> None:
        """Starts a container in the background, with as few rights as the daemons have."""
        self.podman("run", "--detach", "--name", name, *HARDENED, *options, image, *command)

    def inspect(self, what: str) -> dict[str, Any]:
        """All that is known of a container or image."""
        (known,) = json.loads(self.podman("inspect", what))
        assert isinstance(known, dict)
        return known

    def logs(self, name: str) -> str:
        """What the daemon in a container has written."""
        command = ("podman", *self._store, *_PLAIN, "logs", name)
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

    def podman(self, *words: str) -> str:
        """What a command of podman says; raises CalledProcessError."""
        return _call("podman", *self._store, *_PLAIN, *words)

    def close(self) -> None:
        """Ends what runs, and takes everything away."""
        self.podman("rm", "--all", "--force", "--time", "0")
        self.podman("rmi", "--all", "--force")


def _call(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _filesystem(folder: Path) -> str:
    return _call("stat", "--file-system", "--format", "%T", str(folder)).strip()
