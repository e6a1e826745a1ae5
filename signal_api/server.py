"""The daemon: sockets, uvicorn, reload and drain."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from functools import partial

from fairlead.config import Key, Loaded, SettingError
from fairlead.daemon import Context, HttpServer, SystemClock, take_all_files
from fairlead.datagram import Address
from fairlead.link import Remote
from fairlead.listeners import BufferSettings, bind
from fairlead.log import get_logger
from fairlead.metrics import Metrics
from signal_api.app import App, create_app
from signal_api.config import SignalApiSettings
from signal_api.engine.contract import Engine
from signal_api.engine.memory import MemoryEngine
from signal_api.engine.redis.engine import RedisEngine
from signal_api.metrics import Instruments
from signal_api.node.turn_link import TurnLink
from signal_api.policy import read_policy
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.transports.arrival import Arrival
from signal_api.transports.upgrade import Upgrade
from signal_api.transports.websocket import FRAME_SLACK
from signal_api.web.doorstep import Doorstep
from signal_api.workers import VARIABLE, Workers, end_with_parent, environment_of

#: Bytes that the kernel keeps for a client that does not read; left to itself it would keep megabytes.
_SEND_BUFFER = 131072
#: milliseconds until the kernel gives up a client that takes nothing
_USER_TIMEOUT = 30000
#: the share of the drain deadline over which clients are sent away; the rest is for those who are slow to go
_DRAIN_SHARE = 0.8
#: seconds for running requests when the daemon stops
_LAST_REQUESTS = 1
#: Who leaves leaves nothing that only a collector would find (tests/signal_api/transports/test_direct_leaving.py). So
#: all that lives is looked through a tenth as often as Python would, since that stops the loop for tens of milliseconds
#: where there are thousands of sessions.
_COLLECT = (700, 10, 100)
#: keys of its section that a running process cannot change
_FIXED = ("listen", "trusted_proxies", "webhooks", "fence", "engine", "workers")

_log = get_logger("signal_api")


class SignalApi:
    """What the runtime runs; see fairlead.daemon.Daemon."""

    name = "signal_api"
    prefix = "signal"
    settings = SignalApiSettings

    def __init__(self) -> None:
        self.app: App | None = None
        #: where it listens, once it does
        self.addresses: tuple[Address, ...] = ()
        self._engine: Engine | None = None
        self._workers = Workers([])
        self._http: HttpServer | None = None
        self._link: TurnLink | None = None

    async def start(self, loaded: Loaded[SignalApiSettings], context: Context) -> None:
        policy = read_policy(loaded)
        clock = context.clock
        self._section = section = loaded.section
        self._fixed = fixed_by(loaded)
        engine = self._engine = open_engine(section, clock, context.metrics)
        app = self.app = create_app(policy, clock, clock.entropy, engine, Instruments(context.metrics))
        try:
            await engine.start()
        except EngineUnavailableError as error:
            remedy = "correct the URL, or what that Redis lets its user do; engine.kind: memory needs none"
            raise SettingError((self.name, "engine", "url"), str(error), remedy) from None
        await app.prepare()
        sockets = open_sockets(loaded)
        gc.set_threshold(*_COLLECT)
        doorstep = Doorstep(app.hub, take_all_files(), section.trusted_proxies)
        self._http = HttpServer(app, sockets, **uvicorn_options(loaded.section, doorstep))
        await self._http.start()
        self.addresses = tuple(Address(*sock.getsockname()[:2]) for sock in sockets)
        await app.hub.keep_keys()
        for address in self.addresses:
            _log.info("listening", on=f"http://{address}", access="open here" if policy.is_demo else "by token")
        app.hub.webhooks.start([webhook.endpoint() for webhook in loaded.section.webhooks])
        text = "Connections of which the rest of a request is missing; one that has said nothing waits for its head."
        context.metrics.gauge("unfinished_requests", text, doorstep.unfinished, ("awaited",))
        text = "Requests, handshakes, hellos and joins that wait for their turn; above 0 for long: too many come."
        context.metrics.gauge("waiting_at_turnstile", text, lambda: len(app.hub.turnstile))
        text = "Events that wait for their back ends."
        context.metrics.gauge("webhooks_waiting", text, app.hub.webhooks.waiting)
        self._start_workers(section)
        way = loaded.shared.link
        place = Remote(way.redis.get_secret_value(), way.prefix) if way.redis is not None else way.socket
        if place is not None:
            self._link = TurnLink(place, app.hub)
            self._link.start()
        link = self._link
        text = (
            "1 while the link to turnd stands. At 0 a kick ends no relay, and budgets and fences stand still; without "
            "a link it is 0 as well."
        )
        context.metrics.gauge("turn_link_connected", text, lambda: link is not None and link.connected)

    def _start_workers(self, section: SignalApiSettings) -> None:
        if VARIABLE in os.environ:
            end_with_parent()
        elif section.workers > 1:
            listen = section.listen.rpartition(":")[0]
            where = f"{listen}:{self.addresses[0].port}"
            numbers = range(1, section.workers)
            self._workers = Workers([environment_of(n, os.environ, where, section.ops_address) for n in numbers])
            self._workers.start()

    async def reload(self, loaded: Loaded[SignalApiSettings]) -> None:
        policy = read_policy(loaded)
        fixed = fixed_by(loaded)
        for key, value in self._fixed.items():
            if fixed[key] != value:
                wrong, remedy = "cannot change while signal_api runs", "restart signal_api, or put it back"
                raise SettingError(key, wrong, remedy)
        assert self.app is not None  # The runtime reloads nothing that has not started.
        await self.app.hub.adopt(policy)
        self._section = loaded.section
        self._workers.tell(signal.SIGHUP)

    async def readiness(self) -> Sequence[str]:
        keys = self.app.hub.policy.keys if self.app is not None else None
        unheard = self._engine.troubles() if self._engine is not None else ()
        return (*unheard, *(keys.troubles() if keys is not None else ()), *self._workers.missing())

    def about(self) -> Mapping[str, str | int]:
        return {}

    async def drain(self) -> None:
        """Sends every client to where it may come back; none is left waiting for the end of the process."""
        if self.app is not None and self._engine is not None:
            self._engine.retire()
            draining = self.app.hub.drain(self._section.drain_deadline * _DRAIN_SHARE)
            await asyncio.gather(draining, self._workers.end(signal.SIGTERM))

    async def stop(self) -> None:
        await self._workers.end(signal.SIGINT)
        if self._link is not None:
            await self._link.stop()
        if self._http is not None:
            await self._http.stop()
        if self.app is not None:
            await self.app.hub.webhooks.stop()
            await self.app.hub.close()
        if self._engine is not None:
            await self._engine.stop()


def fixed_by(loaded: Loaded[SignalApiSettings]) -> dict[Key, object]:
    """What a running process cannot change: its sockets, its engine and its link were opened with that."""
    section = loaded.section
    fixed: dict[Key, object] = {(loaded.name, key): getattr(section, key) for key in _FIXED}
    return fixed | {(loaded.name, "limits", "frame_bytes"): section.limits.frame_bytes, ("link",): loaded.shared.link}


def open_engine(section: SignalApiSettings, clock: SystemClock, metrics: Metrics) -> Engine:
    """The engine that is asked for; it has not begun."""
    if section.engine.kind == "memory" or section.engine.url is None:
        return MemoryEngine(clock)
    url = section.engine.url.get_secret_value()
    return RedisEngine(url, section.engine.prefix, clock, clock.entropy, metrics)


def open_sockets(loaded: Loaded[SignalApiSettings]) -> list[socket.socket]:
    """Binds the listener; what a listening socket is told holds for the connections that it accepts."""
    buffers = BufferSettings(send=_SEND_BUFFER)
    together = loaded.section.workers > 1
    sockets = bind(loaded.section.listener, (loaded.name, "listen"), buffers, together=together)
    for sock in sockets:
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)
    return sockets


def uvicorn_options(section: SignalApiSettings, doorstep: Doorstep) -> dict[str, object]:
    """For uvicorn: our own pings instead of its own, nothing compressed, no names in headers, nobody who dawdles."""
    return {
        "http": partial(Arrival, doorstep),
        "ws": Upgrade,
        "ws_per_message_deflate": False,
        "ws_max_size": section.limits.frame_bytes * FRAME_SLACK,
        "ws_ping_interval": None,
        "lifespan": "off",
        "proxy_headers": bool(section.trusted_proxies),
        "forwarded_allow_ips": list(section.trusted_proxies),
        "timeout_graceful_shutdown": _LAST_REQUESTS,
    }
