"""Who sends a request: the long-term credential mechanism (RFC 8489 section 9.2) over static users and time-limited
credentials at once.

Nothing tells a wrong password from an unknown user: both get the same answer after the same work.
"""

import enum
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fairlead.clock import Now
from fairlead.credentials import parse_username, password_for
from fairlead.datagram import Address
from fairlead.stun.attributes import MESSAGE_INTEGRITY_SHA256, NONCE, REALM, USERNAME, AttributeValueError
from fairlead.stun.integrity import SHA1, Integrity, PasswordAlgorithm, PreparedKey, long_term_key
from fairlead.stun.message import Message, Signature
from turnd.protocol.nonces import NonceMint
from turnd.protocol.revocations import Revocations


class AuthFailure(enum.StrEnum):
    """Why a request is not taken for authentic."""

    #: It carries no integrity: how every client begins.
    MISSING = "missing"
    #: It carries MESSAGE-INTEGRITY-SHA256 alone, as only a client does that was offered PASSWORD-ALGORITHMS.
    UNSUPPORTED = "unsupported_integrity"
    #: It carries integrity without USERNAME, REALM or NONCE, or one of them cannot be read.
    INCOMPLETE = "incomplete"
    WRONG_REALM = "wrong_realm"
    UNKNOWN_USER = "unknown_user"
    BAD_INTEGRITY = "bad_integrity"
    EXPIRED = "expired"
    #: It would be good for longer than a credential may be, as one whose expiry is in milliseconds would.
    TOO_LONG = "too_long"
    REVOKED = "revoked"
    #: Ours, and too old.
    STALE_NONCE = "stale_nonce"
    #: Made up, or given to another address and port.
    BAD_NONCE = "bad_nonce"


class Algorithm(NamedTuple):
    """How a request is protected: the generation of its integrity, and how the key comes from the password."""

    integrity: Integrity
    password: PasswordAlgorithm


#: What we accept, the strongest first; a request is judged by the first whose attribute it carries.
ALGORITHMS = (Algorithm(SHA1, PasswordAlgorithm.MD5),)

#: A credential may end this many seconds later than it may live: clocks differ.
CLOCK_SKEW = 60

#: Anybody may sign with a key of zeros: what is found with these is thrown away.
_NOBODYS = {row.password: PreparedKey(bytes(16), row.integrity) for row in ALGORITHMS}


class Account(NamedTuple):
    """Somebody who has proved who they are, and the key that proved it, which belongs to a realm.

    `user_id` is what quotas count: the id inside a time-limited username, else the whole username. `secret_name`
    says which secret made the password, None for a static user; `expires` is Unix time in seconds, None for never.
    """

    username: str
    user_id: str
    realm: str
    key: bytes
    secret_name: str | None = None
    expires: int | None = None
    integrity: Integrity = SHA1

    def has_expired(self, now: Now) -> bool:
        return self.expires is not None and self.expires <= now.wall

    @property
    def signature(self) -> Signature:
        """What replies to this account are signed with."""
        return Signature(self.integrity, self.key)


class Challenge(NamedTuple):
    """The error to answer with: 401 and 438 come with REALM and a fresh NONCE, 400 without (RFC 8489 section 9.2.4).

    `username` is whom the request claims to come from, None when it does not claim anything.
    """

    code: int
    failure: AuthFailure
    username: str | None = None


class Secret(NamedTuple):
    """A secret that time-limited credentials are minted with, under the name that metrics call it by."""

    name: str
    value: bytes


class Revoked(NamedTuple):
    """User names and user ids that are refused altogether, and user ids of which older credentials are: by order, and
    of those that went by themselves, which are so many that they must not push out the others."""

    names: Revocations
    older: Revocations
    parted: Revocations

    @classmethod
    def nobody(cls) -> "Revoked":
        return cls(Revocations(), Revocations(), Revocations())


class Authenticator:
    """Knows the keys of static users and the secrets of time-limited ones; passwords are not kept.

    Secrets are tried in their order, so the current one comes first. A static user hides a time-limited one of the
    same name. `revocations` may be handed on from one authenticator to the next when a configuration is reloaded.
    `max_lifetime` is how many seconds a time-limited credential may have left, 0 for any number; what it is refused for
    is only told to whoever knows its password.
    """

    def __init__(
        self,
        realm: str,
        users: Mapping[str, str],
        secrets: Iterable[Secret],
        revocations: Revoked | None = None,
        max_lifetime: int = 0,
    ) -> None:
        self.realm = realm
        #: how many seconds a time-limited credential may have left at most
        self.longest = max_lifetime + CLOCK_SKEW if max_lifetime else math.inf
        self.revocations = Revoked.nobody() if revocations is None else revocations
        self._secrets = tuple(secrets)
        self._users = {
            (algorithm.password, username): Account(
                username, username, realm, _key(username, realm, password, algorithm), integrity=algorithm.integrity
            )
            for username, password in users.items()
            for algorithm in ALGORITHMS
        }

    @property
    def secret_names(self) -> tuple[str, ...]:
        return tuple(secret.name for secret in self._secrets)

    def revoke(self, name: str, until: float) -> None:
        """Refuses a username or user id until this Unix time."""
        self.revocations.names.add(name, until)

    def revoke_expiring(self, user_id: str, expires: float, parting: bool = False) -> None:
        """Refuses the credentials of a user id that expire up to this Unix time. Afterwards they would be refused
        anyway, so that it is also the time to forget it; `parting` ones are forgotten before others."""
        (self.revocations.parted if parting else self.revocations.older).add(user_id, expires)

    def is_revoked(self, account: Account, now: Now) -> bool:
        """Whether the account's username or user id is refused at this time."""
        names, older, parted = self.revocations
        if account.expires is not None:
            user_id = account.user_id
            if account.expires <= older.until(user_id) or account.expires <= parted.until(user_id):
                return True
        return names.covers(account.username, now) or names.covers(account.user_id, now)

    def authenticate(
        self, message: Message, username: str, algorithm: Algorithm, now: Now, lives: bool = False
    ) -> Account | AuthFailure:
        """Whose message it is. The nonce is not looked at, and the expiry not where an allocation of this name
        `lives`."""
        is_known = False
        for account in self._candidates(username, algorithm):
            is_known = True
            if message.is_intact(algorithm.integrity, account.key):
                return self._in_force(account, now, lives)
        if is_known:
            return AuthFailure.BAD_INTEGRITY
        # As much work as for a user that is known.
        message.is_intact(algorithm.integrity, _NOBODYS[algorithm.password])
        return AuthFailure.UNKNOWN_USER

    def _candidates(self, username: str, algorithm: Algorithm) -> Iterable[Account]:
        """The accounts that the username may belong to."""
        user = self._users.get((algorithm.password, username))
        return self._time_limited(username, algorithm) if user is None else (user,)

    def _time_limited(self, username: str, algorithm: Algorithm) -> Iterator[Account]:
        """One for each secret, made when it is asked for."""
        limited = parse_username(username)
        if limited is None:
            return
        user_id = limited.user_id or username
        for name, secret in self._secrets:
            key = _key(username, self.realm, password_for(secret, username), algorithm)
            yield Account(username, user_id, self.realm, key, name, limited.expires, algorithm.integrity)

    def _in_force(self, account: Account, now: Now, lives: bool) -> Account | AuthFailure:
        if account.has_expired(now) and not lives:
            return AuthFailure.EXPIRED
        if account.expires is not None and account.expires > now.wall + self.longest:
            return AuthFailure.TOO_LONG
        return AuthFailure.REVOKED if self.is_revoked(account, now) else account


def _key(username: str, realm: str, password: str, algorithm: Algorithm) -> PreparedKey:
    return PreparedKey(long_term_key(username, realm, password, algorithm.password), algorithm.integrity)


def check(
    request: Message,
    client: Address,
    authenticator: Authenticator,
    nonces: NonceMint,
    known: Account | None,
    now: Now,
) -> Account | Challenge:
    """The steps of RFC 8489 section 9.2.4 in their order, which puts the nonce last: 438 is for those whose password
    is right.

    `known` is the account of the living allocation on the request's 5-tuple. Its key stands for its username, so
    that the allocation outlives the expiry of its credential and the secret that made it.
    """
    for algorithm in ALGORITHMS:
        if request.has(algorithm.integrity.attribute):
            break
    else:
        return _without_integrity(request)
    try:
        username, realm, nonce = request.first(USERNAME), request.first(REALM), request.first(NONCE)
    except AttributeValueError:
        return Challenge(400, AuthFailure.INCOMPLETE)
    if username is None or realm is None or nonce is None:
        return Challenge(400, AuthFailure.INCOMPLETE, username)
    if realm != authenticator.realm:
        return Challenge(401, AuthFailure.WRONG_REALM, username)
    lives = known is not None and known.username == username
    if known is not None and lives and known.realm == realm:
        account = _recognise(request, known, authenticator, now)
    else:
        # A key of another realm tells nothing: the realm was renamed while the allocation lived.
        account = authenticator.authenticate(request, username, algorithm, now, lives)
    if isinstance(account, AuthFailure):
        return Challenge(401, account, username)
    if not nonces.check(nonce, client, now):
        is_ours = nonces.issued_at(nonce, client) is not None
        return Challenge(438, AuthFailure.STALE_NONCE if is_ours else AuthFailure.BAD_NONCE, username)
    return account


def _without_integrity(request: Message) -> Challenge:
    """Of what we speak; what else it carries tells the operator which client it was."""
    if not request.has(MESSAGE_INTEGRITY_SHA256):
        return Challenge(401, AuthFailure.MISSING)
    try:
        return Challenge(401, AuthFailure.UNSUPPORTED, request.first(USERNAME))
    except AttributeValueError:
        return Challenge(401, AuthFailure.UNSUPPORTED)


def _recognise(request: Message, known: Account, authenticator: Authenticator, now: Now) -> Account | AuthFailure:
    if not request.is_intact(known.integrity, known.key):
        return AuthFailure.BAD_INTEGRITY
    return AuthFailure.REVOKED if authenticator.is_revoked(known, now) else known
