"""A client in a call with a peer, as tests of a whole turnd look at it."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from fairlead.datagram import Transport
from tests.processes import Daemon, wait_for
from tests.turn_client import Sockets

CHANNEL = 0x4000


class Call:
    """An allocation with a channel to a peer on loopback, which turnd has to allow."""

    def __init__(
        self,
        turnd: Daemon,
        sockets: Sockets,
        transport: Transport = Transport.UDP,
        credential: tuple[str, str] = ("user", "password"),
    ) -> None:
        username, password = credential
        self.client = sockets.client(turnd, transport, username=username, password=password)
        self.peer = sockets.peer()
        self._turnd = turnd
        self.relayed = self.client.allocated()
        assert self.client.bind(CHANNEL, self.peer.address).code == 0
        self.assert_goes_on()

    def assert_goes_on(self) -> None:
        """Data passes, by every means and in both directions."""
        self.client.send(CHANNEL, b"by channel")
        assert self.peer.receive() == (b"by channel", self.relayed)
        self.client.indicate(self.peer.address, b"by indication")
        assert self.peer.receive() == (b"by indication", self.relayed)
        self.peer.send(b"back", self.relayed)
        assert self.client.receive() == (CHANNEL, b"back")

    @contextmanager
    def assert_loses_nothing(self) -> Iterator[None]:
        """Until it is left, packets pass one after the other in both directions: a hundred or more."""
        is_over = threading.Event()

        def talk() -> None:
            for number in itertools.count():
                said = number.to_bytes(4)
                self.client.send(CHANNEL, said)
                assert self.peer.receive() == (said, self.relayed)
                self.peer.send(said, self.relayed)
                assert self.client.receive() == (CHANNEL, said)
                if is_over.wait(0.002) and number >= 100:
                    return

        with ThreadPoolExecutor(1) as thread:
            talking = thread.submit(talk)
            try:
                yield
            finally:
                is_over.set()
            talking.result()

    def assert_is_cut(self, counted: int = 3) -> None:
        """Nothing passes, by no means and in no direction; each attempt is counted, but for what comes to a relayed
        address that is no more."""
        before = self._dropped()
        self.peer.send(b"back", self.relayed)
        self.client.send(CHANNEL, b"by channel")
        self.client.indicate(self.peer.address, b"by indication")
        wait_for(f"{counted} packets dropped", lambda: self._dropped() == before + counted or None)
        assert not self.peer.heard()
        assert not self.client.waiting()

    def _dropped(self) -> int:
        return self._turnd.metrics().sum("turnd_dropped_total")
