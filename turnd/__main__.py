"""`turnd` and `python -m turnd`."""

import sys

from fairlead.daemon import run
from turnd.daemon import Turnd


def main() -> None:
    sys.exit(run(Turnd()))


if __name__ == "__main__":
    main()
