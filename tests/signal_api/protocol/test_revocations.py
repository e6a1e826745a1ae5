"""Dead tokens: which grants a revocation covers, and for how long."""

import pytest

from signal_api.protocol import revocations
from signal_api.protocol.authorization import GUEST, Grants
from signal_api.protocol.revocations import Revocation, RevocationKind, Revocations

NOW = 1000.0


def _grants(user: str = "ann", token: str | None = "t1", issued: float | None = 900.0) -> Grants:
    return Grants(user, ("*",), expires=5000.0, token=token, issued=issued)


def _known(*known: Revocation) -> Revocations:
    table = Revocations()
    for revocation in known:
        table.learn(revocation, NOW)
    return table


TOKEN = Revocation(RevocationKind.TOKEN, "t1", NOW, NOW + 60)
USER = Revocation(RevocationKind.USER, "ann", NOW, NOW + 60)


@pytest.mark.parametrize(
    ("known", "grants", "covered"),
    [
        ((), _grants(), False),
        ((TOKEN,), _grants(), True),
        ((TOKEN,), _grants(token="t2"), False),
        ((TOKEN,), _grants(token=None), False),
        ((TOKEN,), GUEST, False),
        ((USER,), _grants(token=None), True),
        ((USER,), _grants(issued=None), True),
        ((USER,), _grants(issued=NOW), True),
        ((USER,), _grants(issued=NOW + 1), False),
        ((USER,), _grants(user="bob"), False),
        ((USER,), GUEST, False),
    ],
)
def test_whom_it_covers(known: tuple[Revocation, ...], grants: Grants, covered: bool) -> None:
    table = _known(*known)
    assert table.cover(grants, NOW) is covered
    assert not table.cover(grants, NOW + 60)


def test_a_token_and_a_user_of_one_name_are_two_things() -> None:
    assert not _known(Revocation(RevocationKind.USER, "t1", NOW, NOW + 60)).cover(_grants(), NOW)


def test_it_can_be_taken_back() -> None:
    table = _known(TOKEN, Revocation(RevocationKind.TOKEN, "t1", NOW, NOW))
    assert not table.cover(_grants(), NOW)
    assert len(table) == 0


def test_they_are_listed_in_the_order_of_their_ends() -> None:
    later = Revocation(RevocationKind.TOKEN, "t2", NOW, NOW + 90)
    assert list(_known(later, USER)) == [USER, later]


def test_they_have_a_bound_and_what_is_over_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 2)
    table = _known(*(Revocation(RevocationKind.TOKEN, f"t{n}", NOW, NOW + 10 + n) for n in range(3)))
    assert [revocation.id for revocation in table] == ["t1", "t2"]
    table.learn(Revocation(RevocationKind.TOKEN, "t9", NOW, NOW + 90), NOW + 11.5)
    assert [revocation.id for revocation in table] == ["t2", "t9"]
