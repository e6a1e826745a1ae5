import resource
import subprocess
import sys
from pathlib import Path

from fairlead.daemon.files import take_all_files


def test_a_process_takes_the_files_that_it_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert take_all_files() >= 256
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


SCRIPT = """
import os, socket, sys
from fairlead.daemon.files import open_standard_files
open_standard_files()
sys.stderr.write("nobody reads this")
with open(sys.argv[1], "w") as told, socket.socket() as first:
    print(first.fileno() > 2, *map(os.path.realpath, ("/proc/self/fd/0", "/proc/self/fd/2")), file=told)
"""


def test_what_a_process_was_started_without_is_no_sockets_number(tmp_path: Path) -> None:
    """uvloop aborted with all calls when the first of these closed."""
    told = tmp_path / "told"
    close_all = 'exec "$0" -c "$1" "$2" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", close_all, sys.executable, SCRIPT, str(told)], check=True, timeout=30)
    assert told.read_text().split() == ["True", "/dev/null", "/dev/null"]
