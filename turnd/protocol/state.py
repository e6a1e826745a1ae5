"""All that the relay knows, in one place that every handler is given."""

from dataclasses import dataclass, field

from fairlead.buckets import BucketTable
from fairlead.clock import Entropy
from fairlead.datagram import Address, Family
from turnd.protocol.allocations import Allocations
from turnd.protocol.authentication import Authenticator
from turnd.protocol.counters import ProtocolCounters
from turnd.protocol.fences import Fences
from turnd.protocol.nonces import NonceMint
from turnd.protocol.openings import Opening
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.ports import PortPool
from turnd.protocol.quotas import Quotas
from turnd.protocol.settings import Settings
from turnd.routes import RelayId


@dataclass(slots=True)
class State:
    """The rules and the books of one relay.

    `challenges` bounds unauthenticated replies per source prefix, `failures` those to wrong passwords per user as well.
    """

    settings: Settings
    entropy: Entropy
    authenticator: Authenticator
    nonces: NonceMint
    policy: PeerPolicy
    ports: dict[Family, PortPool]
    quotas: Quotas
    challenges: BucketTable
    failures: BucketTable
    draining: bool = False
    counters: ProtocolCounters = field(default_factory=ProtocolCounters)
    allocations: Allocations = field(default_factory=Allocations)
    fences: Fences = field(default_factory=Fences)
    #: Allocates whose relay socket the shell has not bound yet
    openings: dict[RelayId, Opening] = field(default_factory=dict)

    def bound_peer(self, peer: Address) -> Address:
        """A peer as our sockets know it: a client that was told our public address means the one behind the NAT."""
        for host in self.settings.hosts.values():
            if peer.host == host.told:
                return Address(host.bound, peer.port)
        return peer

    def told(self, relayed: Address) -> Address:
        """A relayed address as clients are told it; the inverse of bound_peer."""
        bound, told = self.settings.hosts[relayed.family]
        return relayed if bound == told else Address(told, relayed.port)
