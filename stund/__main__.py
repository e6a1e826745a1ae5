"""The command `stund`."""

import sys

from fairlead.daemon import run
from stund.server import Stund


def main() -> None:
    sys.exit(run(Stund()))


if __name__ == "__main__":
    main()
