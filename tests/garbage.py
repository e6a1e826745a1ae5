"""What nobody but a garbage collector would find: rings of objects that hold each other."""

import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def uncollected(package: str) -> Iterator[Callable[[], Counter[str]]]:
    """The collector does nothing by itself. What it gives counts, by type, what of this package a collection finds,
    and forgets it."""

    def found() -> Counter[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        ours = Counter(type(each).__qualname__ for each in gc.garbage if package in type(each).__module__)
        gc.garbage.clear()
        gc.collect()  # What was kept to be looked at is garbage still.
        return ours

    gc.collect()
    gc.disable()
    try:
        yield found
    finally:
        gc.enable()
