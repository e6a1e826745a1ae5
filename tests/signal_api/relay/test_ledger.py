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


def test_a_relay_that_is_over_is_counted_once_and_its_name_is_free() -> None:
    ledger = Ledger()
    for fresh in (100, 0):
        assert ledger.spend(Spending("one", 100, ("a",), is_over=True)) == Spent(100, fresh, (100,))
    assert ledger.spend(Spending("one", 150, ("a",))) == Spent(150, 150, (250,))
    assert ledger.spend(Spending("one", 20, ("a",))) == Spent(20, 20, (270,)), "a turnd that counts anew"


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
