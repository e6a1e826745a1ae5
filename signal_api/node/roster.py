"""Who is here: the sessions of this node by id, by user and by source, and how many of each there may be."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from signal_api.clients import Client
from signal_api.config import LimitSettings
from signal_api.protocol.refusals import CloseCode, Closing


class Roster:
    """Every client of this node, connected or away."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Client] = {}
        #: the client of a session, None when it is not here
        self.get: Callable[[str], Client | None] = self._by_sid.get
        self._by_user: defaultdict[str, set[Client]] = defaultdict(set)
        self._by_source: Counter[bytes] = Counter()

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._by_sid.values()))

    def __len__(self) -> int:
        return len(self._by_sid)

    def of(self, user: str) -> tuple[Client, ...]:
        """The sessions of one user."""
        return tuple(self._by_user.get(user, ()))

    def holder(self, sid: str, key: str) -> Client | None:
        """The client whose session this is, when the key is right."""
        client = self._by_sid.get(sid)
        return client if client is not None and client.session.holds(key) else None

    def has_ended(self, client: Client) -> bool:
        """Whether a session that was here is forgotten for good; one that goes on elsewhere is not."""
        return self._by_sid.get(client.sid) is not client and not client.is_elsewhere

    def connected(self) -> int:
        return sum(client.connection is not None for client in self._by_sid.values())

    def room_for(self, user: str | None, source: bytes, limits: LimitSettings) -> Client | Closing | None:
        """Whether one more fits: None, or a session that is away and gives way to the same user's new one, or why
        it does not."""
        if len(self) >= limits.sessions or self._by_source[source] >= limits.sessions_per_source:
            return Closing(CloseCode.OVER_CAPACITY, "too many sessions; try again later")
        theirs = self._by_user.get(user, set()) if user is not None else set()
        if len(theirs) < limits.sessions_per_user:
            return None
        away = [client for client in theirs if client.connection is None]
        if away:
            return min(away, key=lambda client: client.last_heard)
        return Closing(CloseCode.SESSION_LIMIT, f"a user has at most {limits.sessions_per_user} sessions")

    def add(self, client: Client) -> None:
        self._by_sid[client.sid] = client
        self._by_source[client.visitor.source] += 1
        if client.grants.user is not None:
            self._by_user[client.grants.user].add(client)

    def remove(self, client: Client) -> None:
        """Forgets a client; one that is not here is no error."""
        if self._by_sid.pop(client.sid, None) is None:
            return
        source, user = client.visitor.source, client.grants.user
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]
        if user is not None:
            self._by_user[user].discard(client)
            if not self._by_user[user]:
                del self._by_user[user]
