"""`turnd` and `python -m turnd`."""

import gc
import sys

from fairlead.daemon import run
from turnd.daemon import Turnd

#: An allocation is some thirty objects, and leaves nothing behind that only a collector would find
#: (tests/turnd/test_daemon_leaving.py). At Python's 700 those that were just made are walked through again and again.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000


def main() -> None:
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.exit(run(Turnd()))


if __name__ == "__main__":
    main()
