"""Users are remembered as long as they have a relay socket."""

import pytest

from fairlead.buckets import Rate
from fairlead.reasons import Reason
from turnd.dataplane.python.budgets import Budgets
from turnd.dataplane.python.switchboard import NotTakenError
from turnd.routes import Bandwidth

LIMITS = Bandwidth(user=Rate(0.001, 100))


def test_a_user_who_is_gone_is_forgotten() -> None:
    budgets = Budgets()
    kept = budgets.of("kept", LIMITS, None)
    for number in range(100):
        budgets.of(str(number), LIMITS, None)
    assert len(budgets) == 1
    kept.spend(100)
    again = budgets.of("kept", LIMITS, None)
    del kept
    with pytest.raises(NotTakenError) as refused:
        again.spend(1)
    assert refused.value.reason is Reason.USER_BANDWIDTH
