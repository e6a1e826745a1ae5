"""Tokens that are dead before their time: one by its id, or all that a user was given until a moment."""

import enum
from collections.abc import Iterator

import msgspec

from signal_api.protocol.authorization import Grants

#: revocations that are kept at once; beyond it the one that ends first gives way
MAX_REVOCATIONS = 65536


class RevocationKind(enum.StrEnum):
    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    USER = "user"


class Revocation(msgspec.Struct, frozen=True):
    """One token by its `jti`, or every token of a user by its `sub`. Times are Unix seconds.

    A user's tokens are dead that were issued up to `at`, and those that do not say when. Nothing is kept after
    `until`; one that ends before it begins takes an earlier one back.
    """

    kind: RevocationKind
    id: str
    at: float
    until: float

    @property
    def is_lifted(self) -> bool:
        return self.until <= self.at


class Revocations:
    """What is revoked, as a node knows it."""

    def __init__(self) -> None:
        self._known: dict[tuple[RevocationKind, str], Revocation] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Revocation]:
        """In the order of their ends."""
        return iter(sorted(self._known.values(), key=lambda revocation: revocation.until))

    def learn(self, revocation: Revocation, wall: float) -> None:
        """Keeps it until its end, or takes one back."""
        key = revocation.kind, revocation.id
        self._known.pop(key, None)
        if revocation.is_lifted or revocation.until <= wall:
            return
        if len(self._known) >= MAX_REVOCATIONS:
            self.forget(wall)
        if len(self._known) >= MAX_REVOCATIONS:
            first = min(self._known.values(), key=lambda known: known.until)
            del self._known[first.kind, first.id]
        self._known[key] = revocation

    def forget(self, wall: float) -> None:
        """Drops what has ended."""
        self._known = {key: known for key, known in self._known.items() if known.until > wall}

    def cover(self, grants: Grants, wall: float) -> bool:
        """Whether the token behind these grants is dead."""
        if not self._known:
            return False
        token = self._known.get((RevocationKind.TOKEN, grants.token)) if grants.token is not None else None
        if token is not None and wall < token.until:
            return True
        user = self._known.get((RevocationKind.USER, grants.user)) if grants.user is not None else None
        return user is not None and wall < user.until and (grants.issued or 0) <= user.at
