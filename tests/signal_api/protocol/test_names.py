import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.protocol.names import base32


@given(st.integers(0, 8).flatmap(lambda fives: st.binary(min_size=5 * fives, max_size=5 * fives)))
def test_it_is_the_standards_base32_in_small_letters(data: bytes) -> None:
    assert base32(data) == base64.b32encode(data).decode().lower()


def test_what_would_need_padding_has_no_name() -> None:
    with pytest.raises(ValueError, match="no multiple of five"):
        base32(b"four")
