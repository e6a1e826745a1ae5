"""What relays have relayed is counted once, whoever tells of it and however often."""

import pytest

from signal_api.relay import ledger as module
from signal_api.relay.ledger import Ledger, Spending, Spent


def test_only_what_is_new_is_added_to_every_pool() -> None:
    ledger = Ledger()
    assert ledger.spend(Spending("one", 100, ("a", "b"))) == Spent(100, 100, (100, 100))
    assert ledger.spend(Spending("one", 100, ("a", "b"))) == Spent(100, 0, (100, 100))
    assert ledger.spend(Spending("other", 7, ("b",))) == Spent(7, 7, (107,))
    assert ledger.spend(Spending("one", None, ("a", "b", "c"))) == Spent(100, 0, (100, 107, 0))
    assert len(ledger) == 4


def test_what_was_told_before_and_comes_late_adds_nothing() -> None:
    """A Usage behind the end of its relay, or one of two nodes that was slower."""
    ledger = Ledger()
    assert ledger.spend(Spending("one", 100, ("a",))) == Spent(100, 100, (100,))
    assert ledger.spend(Spending("one", 70, ("a",))) == Spent(100, 0, (100,))
    assert ledger.spend(Spending("one", 150, ("a",))) == Spent(150, 50, (150,))
    ledger.learn(Spending("one", 120, ("a",)), Spent(120, 0, (150,)))
    assert ledger.spend(Spending("one", 150, ("a",))) == Spent(150, 0, (150,))


def test_who_knows_more_is_believed() -> None:
    ledger = Ledger()
    ledger.learn(Spending("one", 100, ("a",)), Spent(100, 0, (900,)))
    assert ledger.spend(Spending("one", 110, ("a",))) == Spent(110, 10, (910,))


def test_what_is_counted_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POOLS", 2)
    monkeypatch.setattr(module, "_RELAYS", 2)
    ledger = Ledger()
    for number in range(5):
        ledger.spend(Spending(str(number), 1, ("a", "b", "c")))
    assert len(ledger) == 4
