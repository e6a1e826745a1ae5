import pytest

from fairlead.buckets import UNLIMITED, Rate
from turnd.routes import Bandwidth

SLOW = Rate(1000, 65536)


@pytest.mark.parametrize(
    ("bandwidth", "is_limit"),
    [
        (Bandwidth(), False),
        (Bandwidth(UNLIMITED, UNLIMITED), False),
        (Bandwidth(Rate(0, 65536)), False),
        (Bandwidth(SLOW), True),
        (Bandwidth(user=SLOW), True),
    ],
)
def test_a_rate_of_either_is_a_limit(bandwidth: Bandwidth, is_limit: bool) -> None:
    assert bandwidth.is_limit is is_limit
