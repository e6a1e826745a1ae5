"""What an allocation was made of goes when it ends, without a garbage collector, which turnd lets wait for long
(turnd/__main__.py)."""

from collections import Counter

import pytest

from fairlead.datagram import Address
from fairlead.stun.attributes import LIFETIME
from fairlead.stun.header import Method
from tests.garbage import uncollected
from tests.turnd.conftest import Settle, Sockets, Start, require_native

_MANY = 20


@pytest.mark.parametrize("engine", ["python", "native"])
async def test_an_allocation_that_ends_leaves_nothing_to_collect(
    engine: str, settle: Settle, start: Start, sockets: Sockets
) -> None:
    if engine == "native":
        require_native()
    daemon = await start(settle(engine=engine))
    peer, client = Address(*sockets.peer().getsockname()), sockets.client(daemon)
    with uncollected("turnd.") as found:
        for _ in range(_MANY):
            await client.allocate()
            assert await client.bind(0x4000, peer) == 0
            assert await client.code(Method.REFRESH, (LIFETIME, 600)) == 0
            assert await client.code(Method.REFRESH, (LIFETIME, 0)) == 0
            assert await client.code(Method.REFRESH, (LIFETIME, 0)) == 437
        assert found() == Counter()
