import pytest
from pydantic import ValidationError

from fairlead.buckets import UNLIMITED, Rate, TokenBucket
from fairlead.rates import RateSettings


def test_a_rate_as_buckets_know_it() -> None:
    assert RateSettings(rate=100, burst=500).as_rate == Rate(100, 500)


def test_rate_0_is_no_limit() -> None:
    off = RateSettings(rate=0, burst=1).as_rate
    assert TokenBucket().take(off, 0.0) == TokenBucket().take(UNLIMITED, 0.0) == 0.0


@pytest.mark.parametrize("row", [{"rate": -1, "burst": 1}, {"rate": 1, "burst": 0}])
def test_less_than_nothing_is_refused(row: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RateSettings.model_validate(row)
