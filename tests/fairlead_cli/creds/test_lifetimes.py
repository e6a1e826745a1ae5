import pytest

from fairlead_cli.creds.lifetimes import LONGEST, parse_lifetime


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800), ("366d", LONGEST)]
)
def test_times_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1w", "-1h", "1.5h", "1 h", "1H", "forever", "٣", "1234567890s"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time; write a number with s, m, h or d"):
        parse_lifetime(text)


@pytest.mark.parametrize("text", ["0", "0d", "367d", "999999999d"])
def test_nothing_and_forever_are_no_lifetimes(text: str) -> None:
    with pytest.raises(ValueError, match="is no lifetime; write something from 1s to 366d"):
        parse_lifetime(text)
