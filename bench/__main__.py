"""Measures this checkout beside others: `python -m bench COMMAND --help` says more of each command."""

import argparse
import resource
import signal
import sys

from bench.commands import commands
from bench.trouble import BenchError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choice = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in commands():
        help_line = (command.__doc__ or "").partition("\n")[0]
        below = choice.add_parser(name, help=help_line, description=command.__doc__)
        command.add_arguments(below)
        below.set_defaults(run=command.run)
    return top


def main() -> int:
    """The command's exit status, 1 when it could not measure."""
    options = parser().parse_args()
    # A socket for each client here, and one for each allocation in the servers, which inherit the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Whoever ends a run ends its servers and takes its namespaces away too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return int(options.run(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
