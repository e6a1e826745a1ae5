"""`signal-api` and `python -m signal_api`."""

import sys

from fairlead.daemon import run
from signal_api.server import SignalApi


def main() -> None:
    sys.exit(run(SignalApi()))


if __name__ == "__main__":
    main()
