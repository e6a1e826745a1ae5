"""Each attack of the table, by itself: the refusal is the documented one, and nothing is the worse for it."""

import pytest

from tests.hostile.cases import Attack, all_attacks
from tests.hostile.target import Target

ATTACKS = all_attacks()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_refused(attack: Attack, target: Target, hasty: Target) -> None:
    attack.do(hasty if attack.is_hasty else target)


def test_there_are_many() -> None:
    assert len(ATTACKS) >= 40
