"""What the core counts, in plain integers that are read when somebody scrapes."""

from collections import Counter
from dataclasses import dataclass, field

from fairlead.datagram import Transport
from fairlead.reasons import Reason
from turnd.protocol.authentication import AuthFailure
from turnd.protocol.effects import EndReason
from turnd.protocol.peer_policy import PeerClass
from turnd.protocol.quotas import QuotaScope


@dataclass(slots=True)
class ProtocolCounters:
    """Running totals since start."""

    #: by method, transport and error code, None for a success
    replies: Counter[tuple[int, Transport, int | None]] = field(default_factory=Counter)
    dropped: Counter[Reason] = field(default_factory=Counter)
    auth_failures: Counter[AuthFailure] = field(default_factory=Counter)
    secret_matches: Counter[str] = field(default_factory=Counter)
    peer_denied: Counter[PeerClass] = field(default_factory=Counter)
    quota_rejections: Counter[QuotaScope] = field(default_factory=Counter)
    allocations_opened: Counter[Transport] = field(default_factory=Counter)
    allocations_ended: Counter[EndReason] = field(default_factory=Counter)
    #: hosts outside of a fence that only logs
    fence_logged: int = 0
    challenges_sent: int = 0
    challenges_suppressed: int = 0

    def count_reply(self, method: int, transport: Transport, code: int | None) -> None:
        self.replies[method, transport, code] += 1
