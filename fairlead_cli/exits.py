"""What the exit codes of every command mean."""

import enum


class Exit(enum.IntEnum):
    """Stable: scripts rely on them."""

    OK = 0
    #: it is configured well and still does not work
    PROBLEM = 1
    #: the command line or the configuration is wrong
    USAGE = 2
