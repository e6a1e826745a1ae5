"""The daemon: which sockets are open, and what is told of them."""

import itertools
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from fairlead.config import Key, Loaded, SettingError
from fairlead.daemon import Context
from fairlead.datagram import Address
from fairlead.listeners import Listener, bind
from fairlead.log import get_logger
from fairlead.metrics import LabelSet, Metrics
from fairlead.native import EngineMissingError, is_native
from fairlead.probe import SelfProbe, Target, declare_probe
from fairlead.streams import StreamServer, declare_streams
from fairlead.stun.header import LARGEST_REQUEST
from fairlead.tls import ALPN_STUN, ALPN_TURN, Certificate, declare_certificate, load_certificate
from fairlead.udp import UdpSocket, address_of
from stund.config import StundSettings
from stund.metrics import StundMetrics
from stund.service import Rules, Service, Threads

_log = get_logger("stund")


class _Open(NamedTuple):
    """What one configured listener has opened: datagram sockets, and stream listeners by their number."""

    datagram: list[UdpSocket]
    stream: dict[int, Address]


class Server:
    """Every socket of the daemon. take_over() is its start and its reload."""

    def __init__(self, loaded: Loaded[StundSettings], context: Context) -> None:
        """Opens what is configured; raises SettingError."""
        section = loaded.section
        self._section = section
        native = _make_native(section)
        self.engine = "python" if native is None else "native"
        self.metrics = StundMetrics(context.metrics, native.totals if native is not None else None)
        self._service = Service(self.metrics, context.clock, _rules(section), section.limits.buckets, native)
        self.streams = StreamServer(self._service, section.streams, largest=LARGEST_REQUEST)
        self._open: dict[Listener, _Open] = {}
        self._numbers = itertools.count(1)
        self._certificate: Certificate | None = None
        self.probe = SelfProbe(self.targets, context.clock.entropy)
        try:
            self.take_over(loaded)
        except BaseException:
            self._service.close()
            raise
        self._declare(context.metrics)
        _log.info("answering", engine=self.engine)

    def take_over(self, loaded: Loaded[StundSettings]) -> None:
        """Opens what is new and closes what is gone; raises SettingError before anything has changed."""
        section = loaded.section
        for key, before, after in (
            (("engine",), self._section.engine, section.engine),
            (("limits", "buckets"), self._section.limits.buckets, section.limits.buckets),
        ):
            if before != after:
                raise SettingError(("stund", *key), "cannot change while stund runs", "restart stund, or put it back")
        certificate = load_certificate(loaded.shared.tls, (ALPN_STUN, ALPN_TURN))
        wanted = dict(_wanted(section, with_tls=certificate is not None))
        fresh = _bind_all({listener: key for listener, key in wanted.items() if listener not in self._open}, section)
        opened = self._serve_all(fresh, wanted)
        # Nothing below can fail.
        for listener in [listener for listener in self._open if listener not in wanted]:
            self._close(self._open.pop(listener))
            _log.info("no longer listening", on=str(listener))
        self._certificate = certificate
        self.streams.settings = section.streams
        self.streams.context = certificate.context if certificate is not None else None
        self._section = section
        self._service.change(_rules(section))
        for kept in itertools.chain.from_iterable(opened.datagram for opened in self._open.values()):
            kept.resize(section.buffers.receive, section.buffers.send)
        self._open |= opened
        self.probe.forget()

    def close(self) -> None:
        for opened in self._open.values():
            self._close(opened)
        self._open.clear()
        self._service.close()
        self.streams.close()

    def _serve_all(
        self, fresh: Mapping[Listener, Sequence[socket.socket]], keys: Mapping[Listener, Key]
    ) -> dict[Listener, _Open]:
        """Serves all or none; raises SettingError."""
        opened = {listener: _Open([], {}) for listener in fresh}
        for listener, sockets in fresh.items():
            try:
                for sock in sockets:
                    self._serve(listener, sock, opened[listener])
            except OSError as error:
                for begun in opened.values():
                    self._close(begun)
                for unserved in itertools.chain.from_iterable(fresh.values()):
                    unserved.close()
                remedy = "raise the limit of open files (LimitNOFILE, ulimit -n), or listen in fewer places"
                raise SettingError(keys[listener], f"{listener} cannot be read: {error.strerror}", remedy) from None
        return opened

    def _serve(self, listener: Listener, sock: socket.socket, opened: _Open) -> None:
        address = address_of(sock.getsockname())
        if listener.transport.is_stream:
            number = next(self._numbers)
            self.streams.listen(number, sock, listener.transport)
            opened.stream[number] = address
        else:
            datagram = UdpSocket(sock, LARGEST_REQUEST)
            self._service.serve(datagram)
            opened.datagram.append(datagram)
        _log.info("listening", on=f"{listener.transport}://{address}")

    def _close(self, opened: _Open) -> None:
        for sock in opened.datagram:
            self._service.withdraw(sock)
        for number in opened.stream:
            self.streams.close_listener(number)

    def targets(self) -> list[Target]:
        """Every address that is served, for the probe."""
        return [
            Target(listener.transport, address)
            for listener, opened in self._open.items()
            for address in [*(sock.address for sock in opened.datagram), *opened.stream.values()]
        ]

    def _declare(self, metrics: Metrics) -> None:
        declare_streams(metrics, self.streams)
        declare_probe(metrics, self.probe)
        declare_certificate(metrics, lambda: self._certificate)
        text = (
            "Datagrams that the kernel dropped because a listener's receive buffer was full: raise "
            "stund.buffers.receive and net.core.rmem_max."
        )
        metrics.counter("socket_rx_drops", text, lambda: self._memory("dropped"), ("listener",))
        text = "Bytes that wait in a listener's receive buffers, the kernel's bookkeeping included."
        metrics.gauge("socket_rx_queue_bytes", text, lambda: self._memory("queued"), ("listener",))

    def _memory(self, what: Literal["dropped", "queued"]) -> Mapping[LabelSet, float]:
        return {
            (str(listener),): sum(getattr(sock.memory(), what) for sock in opened.datagram)
            for listener, opened in self._open.items()
            if opened.datagram
        }


def _rules(section: StundSettings) -> Rules:
    return Rules(section.responder, section.limits.bindings.as_rate, section.streams.idle)


def _make_native(section: StundSettings) -> Threads | None:
    """The native engine where it is to run; raises SettingError where it is asked for and missing."""
    try:
        if not is_native(section.engine):
            return None
    except EngineMissingError as error:
        raise SettingError(("stund", "engine"), str(error), error.remedy) from None
    # Importable where is_native() says so, and only there.
    from stund.native import NativeListeners

    return NativeListeners(section.limits.buckets)


def _wanted(section: StundSettings, with_tls: bool) -> Iterator[tuple[Listener, Key]]:
    """The listeners to have, and where each is configured."""
    for name, listeners in (("listen", section.listen), ("listen_tls", section.listen_tls if with_tls else ())):
        for index, listener in enumerate(listeners):
            yield listener, ("stund", name, index)


def _bind_all(wanted: Mapping[Listener, Key], section: StundSettings) -> dict[Listener, list[socket.socket]]:
    """Binds all or none; raises SettingError."""
    bound: dict[Listener, list[socket.socket]] = {}
    try:
        for listener, key in wanted.items():
            bound[listener] = bind(listener, key, section.buffers)
    except SettingError:
        for sock in itertools.chain.from_iterable(bound.values()):
            sock.close()
        raise
    return bound


class Stund:
    """What the runtime runs; see fairlead.daemon.Daemon."""

    name = "stund"
    prefix = "stund"
    settings = StundSettings

    def __init__(self) -> None:
        self._server: Server | None = None

    async def start(self, loaded: Loaded[StundSettings], context: Context) -> None:
        self._server = Server(loaded, context)

    async def reload(self, loaded: Loaded[StundSettings]) -> None:
        if self._server is not None:
            self._server.take_over(loaded)

    async def readiness(self) -> Sequence[str]:
        return await self._server.probe.reasons() if self._server is not None else ()

    def about(self) -> Mapping[str, str | int]:
        if self._server is None:
            return {}
        return {"engine": self._server.engine, "panics": self._server.metrics.panics()}

    async def drain(self) -> None:
        if self._server is not None:
            await self._server.streams.emptied()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
