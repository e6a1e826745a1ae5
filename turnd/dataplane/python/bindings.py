"""Binding requests, answered where they come in."""

import os
import time
from collections.abc import Callable

from fairlead.buckets import UNLIMITED, BucketTable
from fairlead.datagram import FiveTuple, Via
from fairlead.reasons import Reason
from fairlead.sources import source_prefix
from fairlead.stun.binding import answer_plain_request
from turnd.dataplane.python.clients import Transmit
from turnd.dataplane.python.switchboard import SocketAddress, Switchboard

_SECRET_BYTES = 32


class Bindings:
    """What all listeners of an engine answer; `rate` is what each source may ask."""

    def __init__(self, switchboard: Switchboard, buckets: int) -> None:
        self.rate = UNLIMITED
        self.answered = 0
        self._switchboard = switchboard
        self._sources = BucketTable(buckets, os.urandom(_SECRET_BYTES))

    def take(
        self, data: bytes, five_tuple: FiveTuple, way_to: Callable[[FiveTuple, Via], tuple[Transmit, SocketAddress]]
    ) -> bool:
        """Answers a Binding request, or drops it when its source has sent too many; False where it is for the core."""
        client = five_tuple.client
        if self.rate.per_second and self._sources.take(source_prefix(client.host), self.rate, time.monotonic()):
            self._switchboard.drop(Reason.RATE_LIMITED)
            return True
        reply = answer_plain_request(data, client)
        if reply is None:
            return False
        transmit, destination = way_to(five_tuple, Via(0))
        try:
            transmit(reply.data, destination)
        except OSError as error:
            self._switchboard.drop_refused(error)
        else:
            self.answered += 1
        return True
