"""Whether a client is still there: pings while it is connected, and what follows when it is not."""

from collections.abc import Callable
from functools import partial

from signal_api.clients import Client, Connection
from signal_api.config import TimeSettings
from signal_api.protocol.messages import PING
from signal_api.protocol.refusals import CloseCode
from signal_api.timers import Clock, Timers


class Liveness:
    """The timers of every client. `away` is called when the grace of one that lost its connection is over, `gone`
    when its session is to be forgotten."""

    def __init__(
        self, clock: Clock, timers: Timers, away: Callable[[Client], None], gone: Callable[[Client], None]
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._away = away
        self._gone = gone

    def connected(self, client: Client, connection: Connection, times: TimeSettings) -> None:
        """Pings from now on, and ends the connection with the token that allowed it."""
        client.stop_timers()
        self._schedule(client, times.ping_interval, partial(self._ping, client, connection, times))
        self.authorized(client, connection)

    def expect(self, client: Client, connection: Connection, patience: float) -> None:
        """Instead of pings: the client speaks at least every `patience` seconds, or is gone."""
        for timer in client.timers:
            timer.cancel()
        client.timers.clear()
        left = client.last_heard + patience - self._clock.now().monotonic
        if left <= 0:
            connection.close(CloseCode.PING_TIMEOUT)
        else:
            self._schedule(client, left, partial(self.expect, client, connection, patience))

    def authorized(self, client: Client, connection: Connection) -> None:
        """Watches the end of the token; to be called again for a fresh one."""
        if client.expiry is not None:
            client.expiry.cancel()
            client.expiry = None
        if client.grants.expires is not None:
            left = max(0.0, client.grants.expires - self._clock.now().wall)
            client.expiry = self._timers.after(left, partial(connection.close, CloseCode.TOKEN_EXPIRED))

    def disconnected(self, client: Client, times: TimeSettings) -> None:
        """Waits for the client to come back."""
        client.stop_timers()
        self._schedule(client, min(times.presence_grace, times.session_linger), partial(self._away, client))
        self._schedule(client, times.session_linger, partial(self._gone, client))

    def _schedule(self, client: Client, delay: float, callback: Callable[[], None]) -> None:
        client.timers.append(self._timers.after(delay, callback))

    def _ping(self, client: Client, connection: Connection, times: TimeSettings) -> None:
        pinged = self._clock.now().monotonic
        client.timers.clear()
        self._schedule(client, times.ping_timeout, partial(self._listen, client, connection, times, pinged))
        connection.send(PING)

    def _listen(self, client: Client, connection: Connection, times: TimeSettings, pinged: float) -> None:
        client.timers.clear()
        if client.last_heard < pinged:
            connection.close(CloseCode.PING_TIMEOUT)
            return
        rest = max(0.0, times.ping_interval - times.ping_timeout)
        self._schedule(client, rest, partial(self._ping, client, connection, times))
