"""What turnd writes to its log: allocations as they come and go, and refusals in words that lead to their cause."""

import logging
from collections.abc import Callable
from dataclasses import asdict

from fairlead.clock import Now
from fairlead.log import SampledLog, get_logger
from fairlead.native import FaultLog
from turnd.dataplane.contract import Fault, Usage
from turnd.protocol.authentication import AuthFailure
from turnd.protocol.effects import Allocated, Challenged, Ended, Refused
from turnd.server import Event

_log = get_logger("turnd")
#: The same one: asked first where there is a line for each allocation, since to make a line that nobody reads is dear.
_threshold = logging.getLogger("turnd")

#: What lies behind a failed authentication, most likely, and what to do.
EXPLANATIONS = {
    AuthFailure.MISSING: "the request carries no credentials",
    AuthFailure.UNSUPPORTED: "it carries MESSAGE-INTEGRITY-SHA256 alone; the client has to send MESSAGE-INTEGRITY",
    AuthFailure.INCOMPLETE: "USERNAME, REALM or NONCE is missing or cannot be read; the client is broken",
    AuthFailure.WRONG_REALM: "the realm is not auth.realm; the client keeps that of another server",
    AuthFailure.UNKNOWN_USER: "no such user in auth.users, and the name is no time-limited one (<expiry>:<id>)",
    AuthFailure.BAD_INTEGRITY: "wrong password, or one made with a secret that is not in auth.secrets",
    AuthFailure.EXPIRED: "the credential has expired; get a fresh one, and compare the clocks if it is fresh",
    AuthFailure.TOO_LONG: "the credential lives longer than auth.max_lifetime; is its expiry in milliseconds? it is "
    "Unix time in seconds",
    AuthFailure.REVOKED: "the credential was revoked",
    AuthFailure.STALE_NONCE: "the nonce is too old; clients try again with the new one by themselves",
    AuthFailure.BAD_NONCE: "the nonce was given to another address or by another server; is there a NAT that "
    "changes ports, or a fleet without a common auth.nonce_key?",
}

#: Refusals that are a client's ordinary life: browsers ask for every candidate of the other side.
_ORDINARY = frozenset({403, 437, 443})


class Journal:
    """A watcher of the server; `clock` is read for what is sampled. Refusals are: one line per source, kind and
    minute. Strangers have no part in the lines that are kept for users: over UDP a source is what anybody writes."""

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self._strangers, self._users = SampledLog(_log), SampledLog(_log)
        self._faults = FaultLog(_log)

    def write(self, event: Event, usage: Usage | None) -> None:
        match event:
            case Allocated() | Ended() if not _threshold.isEnabledFor(logging.INFO):
                pass
            case Allocated():
                self._allocated(event)
            case Ended():
                self._ended(event, usage or Usage())
            case Refused():
                self._refused(event)
            case Challenged():
                self._challenged(event)
            case Fault():
                self._faults.write(event.thread, event.text, self._clock().monotonic)

    def _allocated(self, event: Allocated) -> None:
        _log.info(
            "allocation created",
            allocation=event.allocation,
            user=event.username,
            transport=event.five_tuple.transport,
            client=str(event.five_tuple.client),
            relayed=str(event.relayed),
        )

    def _ended(self, event: Ended, usage: Usage) -> None:
        _log.info(
            "allocation ended",
            allocation=event.allocation,
            user=event.username,
            reason=event.reason,
            seconds=round(event.seconds, 1),
            **asdict(usage),
        )

    def _challenged(self, event: Challenged) -> None:
        self._strangers.warning(
            self._clock().monotonic,
            "not authenticated",
            event.five_tuple.client.host,
            kind=event.failure,
            failure=event.failure,
            user=event.username,
            why=EXPLANATIONS[event.failure],
        )

    def _refused(self, event: Refused) -> None:
        client = event.five_tuple.client
        if event.code in _ORDINARY:
            _log.debug("refused", code=event.code, user=event.username, client=str(client), why=event.reason)
            return
        name = f"refused {event.code}"
        self._users.warning(self._clock().monotonic, name, client.host, user=event.username, why=event.reason)
