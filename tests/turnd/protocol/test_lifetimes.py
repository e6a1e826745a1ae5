"""Lifetimes by policy; the plain rules of the RFC stand in rfc8656/."""

import pytest

from fairlead.clock import Now
from tests.turnd.kit import HOSTS
from turnd.protocol.authentication import Account
from turnd.protocol.lifetimes import granted_lifetime
from turnd.protocol.settings import Expiry, Settings

NOW = Now(monotonic=50.0, wall=1000.0)


@pytest.mark.parametrize(
    ("asked", "default", "most", "granted"),
    [(None, 60, 90, 60), (75, 60, 90, 75), (1, 60, 90, 60), (500, 60, 90, 90), (500, 90, 90, 90), (10, 90, 60, 60)],
)
def test_default_and_maximum_are_settings(asked: int | None, default: int, most: int, granted: int) -> None:
    """A maximum below the default is the maximum still."""
    settings = Settings("realm", HOSTS, default_lifetime=default, max_lifetime=most)
    assert granted_lifetime(settings, asked, Account("alice", "alice", "realm", b"key"), NOW) == granted


@pytest.mark.parametrize("expiry", Expiry)
@pytest.mark.parametrize(
    ("expires", "asked", "cut_to"),
    [(None, None, 600), (1100, None, 100), (1601, None, 600), (5000, 3600, 3600), (1001, 0, 1)],
)
def test_a_credential_cuts_where_the_policy_says_so(
    expiry: Expiry, expires: int | None, asked: int | None, cut_to: int
) -> None:
    account = Account("carol", "carol", "realm", b"key", "current", expires)
    uncut = granted_lifetime(Settings("realm", HOSTS), asked, account, NOW)
    granted = granted_lifetime(Settings("realm", HOSTS, expiry=expiry), asked, account, NOW)
    assert granted == (cut_to if expiry is Expiry.CUT else uncut)


@pytest.mark.parametrize(("wall", "granted"), [(1000.0, 100), (1000.001, 100), (1099.0, 1), (1099.999, 1)])
def test_a_part_of_a_second_counts_as_a_second(wall: float, granted: int) -> None:
    account = Account("carol", "carol", "realm", b"key", "current", 1100)
    settings = Settings("realm", HOSTS, expiry=Expiry.CUT)
    assert granted_lifetime(settings, None, account, Now(monotonic=0.0, wall=wall)) == granted
