"""What an allocation was made of goes when it ends, without a garbage collector, which turnd lets wait for long
(turnd/__main__.py)."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from fairlead.datagram import Address
from fairlead.stun.attributes import LIFETIME
from fairlead.stun.header import Method
from tests.turnd.conftest import Settle, Sockets, Start, require_native

_MANY = 20


@pytest.fixture
def collector() -> Iterator[None]:
    """It does nothing by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def _left_behind() -> Counter[str]:
    """What the collector finds of this house, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("turnd."))
    gc.garbage.clear()
    return found


@pytest.mark.parametrize("engine", ["python", "native"])
async def test_an_allocation_that_ends_leaves_nothing_to_collect(
    engine: str, settle: Settle, start: Start, sockets: Sockets, collector: None
) -> None:
    if engine == "native":
        require_native()
    daemon = await start(settle(engine=engine))
    peer, client = Address(*sockets.peer().getsockname()), sockets.client(daemon)
    for _ in range(_MANY):
        await client.allocate()
        assert await client.bind(0x4000, peer) == 0
        assert await client.code(Method.REFRESH, (LIFETIME, 600)) == 0
        assert await client.code(Method.REFRESH, (LIFETIME, 0)) == 0
        assert await client.code(Method.REFRESH, (LIFETIME, 0)) == 437
    assert _left_behind() == Counter()
