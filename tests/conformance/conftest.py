"""Every case runs with every engine, and over both families where that could make a difference."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fairlead.native import EngineChoice
from tests.conformance.kit import IPV4, IPV6, Rig, engine_or_skip
from tests.skipping import skip_for_lack_of
from turnd.dataplane.contract import DataPlane, EngineSettings, Io

#: Name, threads and way into the kernel. One that this installation or this machine lacks skips its cases, and the
#: skips are counted.
ENGINES = {
    "python": (EngineChoice.PYTHON, 1, Io.EPOLL),
    "native": (EngineChoice.NATIVE, 1, Io.EPOLL),
    "native-3": (EngineChoice.NATIVE, 3, Io.EPOLL),
    "native-io_uring": (EngineChoice.NATIVE, 1, Io.IO_URING),
    "native-3-io_uring": (EngineChoice.NATIVE, 3, Io.IO_URING),
}

MakeEngine = Callable[..., DataPlane]


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Iterator[MakeEngine]:
    """Makes engines with EngineSettings given by key, and closes them after the test."""
    with ExitStack() as stack:

        def make(**settings: Any) -> DataPlane:
            choice, threads, io = ENGINES[request.param]
            engine = engine_or_skip(choice, EngineSettings(threads=threads, io=io, **settings))
            stack.callback(engine.close)
            return engine

        yield make


@pytest.fixture(params=[IPV4, IPV6])
def host(request: pytest.FixtureRequest) -> str:
    """The loopback address of each family."""
    return _require(request.param)


@pytest.fixture
def rig(make: MakeEngine, host: str) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(make(), host, stack)


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(make: MakeEngine) -> Iterator[MakeRig]:
    """Makes rigs on a host, with EngineSettings given by key."""
    with ExitStack() as stack:
        yield lambda host=IPV4, **settings: Rig(make(**settings), _require(host), stack)


def _require(host: str) -> str:
    if host == IPV6:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.bind((IPV6, 0))
        except OSError:
            skip_for_lack_of("IPv6 on loopback", enable="sudo sysctl net.ipv6.conf.lo.disable_ipv6=0")
    return host
