"""Revoked names stay refused until their moment, in bounded memory."""

import math

from hypothesis import given
from hypothesis import strategies as st

from fairlead.clock import Now
from turnd.protocol.revocations import Revocations


def at(wall: float) -> Now:
    return Now(monotonic=0.0, wall=wall)


def test_a_name_is_refused_until_its_moment() -> None:
    revocations = Revocations()
    revocations.add("alice", 100.0)
    assert revocations.covers("alice", at(99.9))
    assert not revocations.covers("alice", at(100.0))
    assert not revocations.covers("bob", at(0.0))


def test_a_shorter_revocation_does_not_lift_a_longer_one() -> None:
    revocations = Revocations()
    revocations.add("alice", 100.0)
    revocations.add("alice", 50.0)
    assert revocations.covers("alice", at(99.0))
    revocations.add("alice", 200.0)
    assert revocations.covers("alice", at(199.0))


def test_a_full_list_forgets_what_would_be_forgotten_next() -> None:
    revocations = Revocations(size=2)
    for name, until in (("long", 300.0), ("short", 100.0), ("middle", 200.0)):
        revocations.add(name, until)
    assert len(revocations) == 2
    assert [revocations.covers(name, at(0)) for name in ("long", "short", "middle")] == [True, False, True]


def test_of_those_that_never_end_the_oldest_is_forgotten() -> None:
    """As all do where auth.max_lifetime is 0: names come in no order of their own."""
    revocations = Revocations(size=3)
    for name in ("zoe", "bob", "mia"):
        revocations.add(name, math.inf)
    revocations.add("zoe", math.inf)  # refused once more, so that bob is the oldest
    revocations.add("alice", math.inf)
    assert [revocations.covers(name, at(0)) for name in ("zoe", "bob", "mia", "alice")] == [True, False, True, True]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 20).map(float)), min_size=5, max_size=80))
def test_the_longest_lasting_are_kept_and_of_those_the_youngest(added: list[tuple[str, float]]) -> None:
    """A name that was forgotten for want of room may come again; the bound holds throughout."""
    revocations, model = Revocations(size=5), dict[str, float]()
    for name, until in added:
        revocations.add(name, until)
        if until >= model.get(name, until):
            model.pop(name, None)  # so that it stands last
            model[name] = until
        if len(model) > 5:
            del model[min(model, key=model.__getitem__)]
        assert len(revocations) == len(model)
        for key in "abcdefgh":
            assert revocations.covers(key, at(model.get(key, 0.0) - 0.5)) is (key in model)


def test_prolonging_one_name_fills_no_memory_and_costs_no_other() -> None:
    revocations = Revocations(size=10)
    revocations.add("bob", 5.0)
    for until in range(10_000):
        revocations.add("alice", float(until))
        assert len(revocations._order) <= 20
    assert revocations.covers("alice", at(9998.0))
    assert revocations.covers("bob", at(4.0))


def test_a_prolonged_name_is_not_forgotten_by_its_old_moment() -> None:
    revocations = Revocations(size=2)
    revocations.add("alice", 10.0)
    revocations.add("alice", 300.0)
    revocations.add("bob", 20.0)
    revocations.add("carol", 200.0)
    assert [revocations.covers(name, at(0)) for name in ("alice", "bob", "carol")] == [True, False, True]


def test_when_it_ends_can_be_asked() -> None:
    revocations = Revocations()
    revocations.add("alice", 100.0)
    assert revocations.until("alice") == 100.0
    assert revocations.until("bob") == float("-inf")
