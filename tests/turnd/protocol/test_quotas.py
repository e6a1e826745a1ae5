"""Quotas against a plain list of claims: the census is exact, and the burst is for the young."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fairlead.clock import Now
from turnd.protocol.quotas import Claim, Limits, Quotas, QuotaScope

USERS = ["alice", "bob", ""]
HOSTS = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]


def at(moment: float) -> Now:
    return Now(monotonic=moment, wall=0.0)


def source(host: str) -> str:
    return "2001:db8::/64" if ":" in host else host


class QuotasMachine(RuleBasedStateMachine):
    @initialize(
        limits=st.builds(
            Limits,
            allocations=st.integers(0, 9),
            allocations_per_user=st.integers(0, 4),
            allocations_per_source=st.integers(0, 4),
            burst=st.integers(0, 3),
            burst_seconds=st.sampled_from([0.0, 10.0]),
        )
    )
    def make(self, limits: Limits) -> None:
        self.quotas = Quotas(limits)
        self.now = 0.0
        self.claims: list[tuple[str, str, Claim]] = []

    def is_full(self, limit: int, ages: list[float]) -> bool:
        limits = self.quotas.limits
        old = [age for age in ages if age >= limits.burst_seconds]
        return bool(limit) and (len(ages) >= limit + limits.burst or len(old) >= limit)

    def expected(self, user: str, host: str) -> QuotaScope | None:
        limits = self.quotas.limits
        if limits.allocations and len(self.claims) >= limits.allocations:
            return QuotaScope.TOTAL
        if self.is_full(limits.allocations_per_user, [self.now - claim.at for u, _, claim in self.claims if u == user]):
            return QuotaScope.USER
        ages = [self.now - claim.at for _, h, claim in self.claims if source(h) == source(host)]
        return QuotaScope.SOURCE if self.is_full(limits.allocations_per_source, ages) else None

    @rule(user=st.sampled_from(USERS), host=st.sampled_from(HOSTS))
    def claim(self, user: str, host: str) -> None:
        expected = self.expected(user, host)
        claim = self.quotas.claim(user, host, at(self.now))
        if isinstance(claim, Claim):
            assert expected is None
            self.claims.append((user, host, claim))
        else:
            assert claim is expected

    @rule(index=st.integers(0, 100))
    def release(self, index: int) -> None:
        if self.claims:
            self.quotas.release(self.claims.pop(index % len(self.claims))[2])

    @rule(seconds=st.sampled_from([0.5, 5.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def census_is_exact(self) -> None:
        if hasattr(self, "quotas"):
            assert len(self.quotas) == len(self.claims)
            for user in USERS:
                assert self.quotas.of_user(user) == sum(claim[0] == user for claim in self.claims)


TestQuotas: Any = QuotasMachine.TestCase
TestQuotas.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


def claim_many(
    quotas: Quotas, count: int, now: float, user: str = "alice", host: str = HOSTS[0]
) -> list[Claim | QuotaScope]:
    return [quotas.claim(user, host, at(now)) for _ in range(count)]


def granted(claims: list[Claim | QuotaScope]) -> list[Claim]:
    return [claim for claim in claims if isinstance(claim, Claim)]


def test_without_limits_nothing_is_refused() -> None:
    assert len(granted(claim_many(Quotas(Limits()), 1000, 0.0))) == 1000


def test_a_call_may_open_more_than_it_keeps() -> None:
    quotas = Quotas(Limits(allocations_per_user=2, burst=3, burst_seconds=60))
    claims = granted(claim_many(quotas, 9, 0.0))
    assert len(claims) == 5
    for claim in claims[1:]:
        quotas.release(claim)
    assert len(granted(claim_many(quotas, 9, 100.0))) == 4
    assert quotas.of_user("alice") == 5


def test_who_keeps_the_burst_gets_nothing_more() -> None:
    quotas = Quotas(Limits(allocations_per_user=2, burst=3, burst_seconds=60))
    claims = granted(claim_many(quotas, 5, 0.0))
    quotas.release(claims[0])
    young = granted(claim_many(quotas, 9, 59.0))
    assert len(young) == 1
    quotas.release(young[0])
    assert claim_many(quotas, 1, 60.0) == [QuotaScope.USER]


def test_one_user_does_not_use_up_anothers() -> None:
    quotas = Quotas(Limits(allocations_per_user=1))
    assert granted(claim_many(quotas, 1, 0.0))
    assert claim_many(quotas, 1, 0.0, host=HOSTS[1]) == [QuotaScope.USER]
    assert granted(claim_many(quotas, 1, 0.0, user="bob"))


def test_a_source_counts_whoever_the_users_are() -> None:
    quotas = Quotas(Limits(allocations_per_source=1))
    assert granted(claim_many(quotas, 1, 0.0, "alice", "2001:db8::1"))
    assert claim_many(quotas, 1, 0.0, "bob", "2001:db8::2") == [QuotaScope.SOURCE]
    assert granted(claim_many(quotas, 1, 0.0, "bob", "2001:db8:0:1::2"))


def test_what_the_machine_can_bear_knows_no_burst() -> None:
    quotas = Quotas(Limits(allocations=2, burst=3, burst_seconds=60))
    assert len(granted(claim_many(quotas, 9, 0.0))) == 2
    assert claim_many(quotas, 1, 0.0, "bob", HOSTS[2]) == [QuotaScope.TOTAL]


def test_a_refusal_takes_nothing() -> None:
    quotas = Quotas(Limits(allocations_per_source=1))
    (claim,) = granted(claim_many(quotas, 1, 0.0))
    assert claim_many(quotas, 50, 0.0, "bob") == [QuotaScope.SOURCE] * 50
    assert (len(quotas), quotas.of_user("bob")) == (1, 0)
    quotas.release(claim)
    assert granted(claim_many(quotas, 1, 0.0, "bob"))


def test_new_limits_judge_from_then_on() -> None:
    quotas = Quotas(Limits())
    claim_many(quotas, 5, 0.0)
    quotas.limits = Limits(allocations_per_user=3)
    assert claim_many(quotas, 1, 1.0) == [QuotaScope.USER]
    assert len(quotas) == 5


def test_a_claim_is_given_back_once() -> None:
    quotas = Quotas(Limits())
    first, second = granted(claim_many(quotas, 1, 1.0) + claim_many(quotas, 1, 2.0))
    quotas.release(first)
    with pytest.raises(ValueError, match="no claim made at"):
        quotas.release(first)
    assert len(quotas) == quotas.of_user("alice") == 1
    quotas.release(second)
    assert len(quotas) == 0
