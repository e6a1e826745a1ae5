"""turnd as the runtime sees it: started, reloaded, drained, stopped."""

import asyncio
from collections.abc import Mapping, Sequence

from fairlead.config import Loaded, SettingError, SharedSettings
from fairlead.daemon import Context
from fairlead.datagram import Address
from fairlead.link import Draining, LinkServer, Remote, RemoteLinkServer
from fairlead.listeners import Listener
from fairlead.log import get_logger
from fairlead.native import EngineMissingError
from fairlead.probe import SelfProbe, declare_probe
from fairlead.streams import declare_streams
from fairlead.tls import ALPN_STUN, ALPN_TURN, Certificate, declare_certificate, load_certificate
from turnd.addresses import Machine, reached_at, relay_hosts, relay_problem
from turnd.assembly import (
    aliases,
    make_authenticator,
    make_challenges,
    make_limits,
    make_nonces,
    make_policy,
    make_settings,
    make_state,
)
from turnd.config import TurndSettings
from turnd.dataplane.choice import make_engine, threads_for
from turnd.dataplane.contract import DataPlane, EngineSettings, IoRefusedError, Usage
from turnd.dataplane.cores import usable_cores
from turnd.journal import Journal
from turnd.liaison import Liaison
from turnd.listening import Entries, Listening
from turnd.metrics import declare, declare_link
from turnd.protocol.bandwidth_change import apply_bandwidth
from turnd.protocol.effects import Ended
from turnd.protocol.endings import cut
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.policy_change import change_policy
from turnd.protocol.relay import Relay
from turnd.server import Event, TurnServer

_log = get_logger("turnd")

#: Keys that a running process cannot change: its sockets and allocations were made with them.
FIXED = ("relay", "engine", "threads", "io", "buffers")
_FIXED = ("cannot change while turnd runs", "restart turnd, or put it back")


class Turnd:
    """The TURN daemon. Its parts exist from start() on."""

    name = "turnd"
    prefix = "turnd"
    settings = TurndSettings

    def __init__(self) -> None:
        self._server: TurnServer | None = None
        self._empty = asyncio.Event()
        self._certificate: Certificate | None = None
        self._looking: asyncio.Task[None] | None = None
        self.link: LinkServer | RemoteLinkServer | None = None
        self.liaison: Liaison | None = None

    @property
    def server(self) -> TurnServer:
        # The runtime calls nothing but stop() before start() has returned.
        assert self._server is not None
        return self._server

    async def start(self, loaded: Loaded[TurndSettings], context: Context) -> None:
        shared, section = loaded.shared, loaded.section
        self._context = context
        self._shared, self._section = shared, section
        self._machine = Machine()
        self._hosts = relay_hosts(section.relay, self._machine.hosts)
        self._refuse_foreign_relays()
        certificate = load_certificate(shared.tls, (ALPN_TURN, ALPN_STUN))
        clock = context.clock
        state = make_state(shared.auth, section, self._hosts, (), clock.entropy)
        engine = self._make_engine(section)
        engine.challenge(make_challenges(state))
        server = self._server = TurnServer(Relay(state), engine, section.streams, clock.now)
        self.listening = Listening(engine, server.streams, section.buffers.listeners)
        self._take_certificate(certificate)
        self.listening.apply(_entries(section, certificate))
        state.policy = self._make_policy(section)
        server.watchers += [Journal(clock.now).write, self._watch_for_empty]
        await self._open_link(shared)
        self._probe = SelfProbe(self.listening.targets, clock.entropy)
        declare(context.metrics, server, clock.now)
        link = self.link
        declare_link(context.metrics, lambda: link.connected if link else 0, lambda: link.dropped if link else 0)
        declare_streams(context.metrics, server.streams)
        declare_certificate(context.metrics, lambda: self._certificate)
        declare_probe(context.metrics, self._probe)
        server.start()
        self._looking = asyncio.create_task(self._keep_looking())
        self._say_what_runs(shared)

    async def reload(self, loaded: Loaded[TurndSettings]) -> None:
        server, section, auth = self.server, loaded.section, loaded.shared.auth
        for key in FIXED:
            if getattr(section, key) != getattr(self._section, key):
                raise SettingError(("turnd", key), *_FIXED)
        if section.limits.buckets != self._section.limits.buckets:
            raise SettingError(("turnd", "limits", "buckets"), *_FIXED)
        if loaded.shared.link != self._shared.link:
            raise SettingError(("link",), *_FIXED)
        state = server.relay.state
        certificate = load_certificate(loaded.shared.tls, (ALPN_TURN, ALPN_STUN))
        authenticator = make_authenticator(auth, state.authenticator.revocations)
        # What may fail ends here: the listeners are all or nothing, the rest is assignment.
        self.listening.apply(_entries(section, certificate))
        self._machine.look()
        self._take_certificate(certificate)
        state.authenticator = authenticator
        bandwidth = state.settings.bandwidth
        state.settings = make_settings(auth, section, self._hosts)
        if auth.nonce_key != self._shared.auth.nonce_key:
            state.nonces = make_nonces(auth, self._context.clock.entropy)
        server.engine.challenge(make_challenges(state))
        server.execute(apply_bandwidth(state, bandwidth))
        server.execute(cut(state, self._context.clock.now()))
        state.quotas.limits = make_limits(section)
        server.engine.limit_bindings(section.limits.bindings.as_rate)
        server.streams.settings = section.streams
        server.execute(change_policy(state, self._make_policy(section), self._context.clock.now()))
        self._shared, self._section = loaded.shared, section
        self._probe.forget()

    async def readiness(self) -> Sequence[str]:
        problems = {relay.bound: relay_problem(relay.bound) for relay in self._hosts.values()}
        relays = [f"no relay socket on {host}: {problem}" for host, problem in problems.items() if problem is not None]
        return [*relays, *await self._probe.reasons()]

    def about(self) -> Mapping[str, str | int]:
        engine = self.server.engine
        about: dict[str, str | int] = {"engine": engine.name, "threads": engine.threads, "io": engine.io.value}
        about["panics"] = engine.counters().panics
        if self.link is not None:
            about["link"] = self.link.state
        return about

    async def drain(self) -> None:
        """No new allocations; returns when the last one is gone."""
        state = self.server.relay.state
        state.draining = True
        if self.liaison is not None:
            self.liaison.drain(self._farewell())
        if len(state.allocations):
            await self._empty.wait()

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            self._server.stop()
        if self.liaison is not None:
            self.liaison.stop()
        if self.link is not None:
            await self.link.stop()

    def _refuse_foreign_relays(self) -> None:
        # What was chosen and not configured may be too new to be bound to, as an IPv6 address is for a second while the
        # kernel looks for another who has it: until then turnd is unready.
        for relay in self._hosts.values() if self._section.relay.address else ():
            problem = relay_problem(relay.bound)
            if problem is not None:
                raise SettingError(
                    ("turnd", "relay", "address"),
                    f"no socket can be bound to {relay.bound}: {problem}",
                    "name an address that this machine has, and in turnd.relay.advertise the one that a NAT puts in "
                    "its place; for one that it is given later, as by keepalived, set net.ipv4.ip_nonlocal_bind=1",
                )

    def _make_engine(self, section: TurndSettings) -> DataPlane:
        buffers = section.buffers
        settings = EngineSettings(
            aliases(self._hosts),
            buffers.listeners,
            buffers.receive,
            buffers.send,
            buckets=section.limits.buckets,
            threads=threads_for(usable_cores()) if section.threads == "auto" else section.threads,
            io=section.io,
        )
        try:
            engine = make_engine(section.engine, settings)
        except EngineMissingError as error:
            raise SettingError(("turnd", "engine"), str(error), error.remedy) from None
        except IoRefusedError as error:
            raise SettingError(("turnd", "io"), str(error), error.remedy) from None
        if section.threads not in ("auto", engine.threads):
            engine.close()
            text = f"the {engine.name} engine has one thread"
            raise SettingError(("turnd", "threads"), text, "install the native engine, or write threads: auto")
        engine.limit_bindings(section.limits.bindings.as_rate)
        return engine

    async def _open_link(self, shared: SharedSettings) -> None:
        """The link to signal_api, where there is one."""
        socket, redis = shared.link.socket, shared.link.redis
        if socket is None and redis is None:
            return
        server = self.server
        liaison = self.liaison = Liaison(server, lambda event: link.publish(event))
        link: LinkServer | RemoteLinkServer
        if redis is not None:
            remote = Remote(redis.get_secret_value(), shared.link.prefix)
            link = RemoteLinkServer(remote, liaison.receive, liaison.living)
        else:
            assert socket is not None  # One of them is set.
            link = LinkServer(socket, liaison.receive, liaison.living)
        self.link = link
        await link.start()
        server.watchers.append(liaison.watch)
        liaison.start()

    def _take_certificate(self, certificate: Certificate | None) -> None:
        self._certificate = certificate
        self.server.streams.context = certificate.context if certificate is not None else None

    def _make_policy(self, section: TurndSettings) -> PeerPolicy:
        """The policy under the listeners that are open now, which the engine is told as well: where a permission is
        for a whole host, only the engine sees the port of a packet."""
        own_listeners = self._own_listeners()
        self.server.engine.deny(own_listeners)
        return make_policy(section, self._hosts, own_listeners, self._machine.hosts)

    async def _keep_looking(self) -> None:
        """Addresses that this machine has got are its own to relays too."""
        while True:
            await asyncio.sleep(self._machine.rest)
            try:
                await self._look_again()
            except Exception:
                _log.exception("the look at the addresses of this machine failed, and is taken again")

    async def _look_again(self) -> None:
        if await self._machine.look_aside():
            policy = self._make_policy(self._section)
            self.server.execute(change_policy(self.server.relay.state, policy, self._context.clock.now()))
            self._probe.forget()

    def _own_listeners(self) -> list[Address]:
        bound = (target.address for target in self.listening.targets())
        return [reached for address in bound for reached in reached_at(address, self._machine.hosts)]

    def _farewell(self) -> Draining:
        places = self._own_listeners()
        hosts = [place.host for place in places] + [host.told for host in self._hosts.values()]
        hosts += [self._shared.public_host] if self._shared.public_host is not None else []
        ports = {place.port for place in places}
        return Draining(self._section.drain_deadline, tuple(dict.fromkeys(hosts)), tuple(sorted(ports)))

    def _watch_for_empty(self, event: Event, usage: Usage | None) -> None:
        state = self.server.relay.state
        if isinstance(event, Ended) and state.draining and not len(state.allocations):
            self._empty.set()

    def _say_what_runs(self, shared: SharedSettings) -> None:
        _log.info(
            "serving",
            engine=self.server.engine.name,
            threads=self.server.engine.threads,
            io=self.server.engine.io.value,
            listeners=[f"{target.transport}://{target.address}" for target in self.listening.targets()],
            relay=[bound if bound == told else f"{bound} as {told}" for bound, told in self._hosts.values()],
            ports=self._section.relay.ports,
            realm=shared.auth.realm,
            tls=self._certificate is not None,
        )


def _entries(section: TurndSettings, certificate: Certificate | None) -> Entries:
    """The listeners to open, TLS ones only with a certificate."""
    entries: list[tuple[tuple[str | int, ...], Listener]] = [
        (("turnd", "listen", place), listener) for place, listener in enumerate(section.listen)
    ]
    if certificate is not None:
        entries += [(("turnd", "listen_tls", place), listener) for place, listener in enumerate(section.listen_tls)]
    return entries
