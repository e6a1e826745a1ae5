"""Who takes part in a run: servers by the names that are typed, started on the relay's host and stopped together."""

from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType

from bench.floor import Floor
from bench.peers import Pion, TurnRs
from bench.servers import Coturn, Place, Process, Server, ServerError, Turnd
from bench.topology import Cores, Topology

#: The servers of others.
PEERS: dict[str, type[Process]] = {peer.name: peer for peer in (Coturn, Pion, TurnRs)}
#: What no relay can be cheaper than, and whether it merges and cuts trains.
FLOORS = {"floor": True, "floor-plain": False}

_OUR_PORTS = "40000-49999"
_THEIR_PORTS = "50000-59999"


def start(name: str, topology: Topology, cores: Cores, turnd: str | None = None) -> Server:
    """A server by its name: a peer's, a floor's, or an engine's of turnd. Raises ServerError."""
    if name in FLOORS:
        return Floor(cores.relay, FLOORS[name], topology.listen_host)
    if name in PEERS:
        return PEERS[name](Place.find(topology, _THEIR_PORTS, cores.relay))
    return Turnd(name, Place.find(topology, _OUR_PORTS, cores.relay), turnd)


class Lineup:
    """The servers of a run, the one first that the others are compared with: without it there is no run (ServerError).
    Another that does not run is `missing`, with the reason.

    `engines` are those of turnd, and floors; `turnd` is a command in place of this environment's.
    """

    def __init__(
        self, peers: Iterable[str], engines: Iterable[str], topology: Topology, cores: Cores, turnd: str | None = None
    ) -> None:
        self.servers: list[Server] = []
        self.missing: dict[str, str] = {}
        self._topology, self._cores, self._turnd = topology, cores, turnd
        self._stack = ExitStack()
        first, *others = peers
        try:
            self._add(first)
            for name in engines:
                self._add(name)
            for name in others:
                try:
                    self._add(name)
                except ServerError as error:
                    self.missing[name] = str(error)
                    print(f"{name} is not measured: {error}")
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "Lineup":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _add(self, name: str) -> None:
        with self._topology.relay():
            server = start(name, self._topology, self._cores, self._turnd)
        self.servers.append(server)
        self._stack.callback(server.stop)
