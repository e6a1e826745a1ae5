"""Each attack of the table, by itself: the refusal is the documented one, and nothing is the worse for it."""

import pytest

from tests.hostile.cases import Attack, all_attacks
from tests.hostile.target import Target

ATTACKS = all_attacks()
#: CPU seconds for which one turn of the event loop may keep everybody else waiting: nearly all stay below 0.005, but
#: caches are cold on a busy machine, and the first of its kind loads something
_TURN = 0.05


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_refused(attack: Attack, target: Target, hasty: Target) -> None:
    attacked = hasty if attack.is_hasty else target
    attacked.longest_turn()
    attack.do(attacked)
    assert attacked.longest_turn() < _TURN, "it held up everybody else"


def test_there_are_many() -> None:
    assert len(ATTACKS) >= 40
