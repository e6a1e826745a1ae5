"""The files of a process: how many it may open, of which a relay needs one for each allocation, and the first three."""

import math
import os
import resource
import sys


def take_all_files() -> float:
    """Lets the process open as many files as the system allows it, and says how many those are. What it begins with is
    often 1024, for programs that wait by select(); none of ours does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return math.inf if most == resource.RLIM_INFINITY else most


def open_standard_files() -> None:
    """Opens what a process was started without: the next socket would have its number, hear what is printed, and end
    the process when it is closed, since libuv takes that for a mistake."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # as long as the process lives
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
