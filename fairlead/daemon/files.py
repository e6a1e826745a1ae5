"""How many files a process may open: a relay needs one for each allocation, and a listener one for each client."""

import math
import resource


def take_all_files() -> float:
    """Lets the process open as many files as the system allows it, and says how many those are. What it begins with is
    often 1024, for programs that wait by select(); none of ours does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return math.inf if most == resource.RLIM_INFINITY else most
