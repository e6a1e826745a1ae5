from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from signal_api.protocol.names import letters

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def test_all_letters_are_equally_likely() -> None:
    assert Counter(letters(bytes(range(256)))) == dict.fromkeys(ALPHABET, 8)


@given(st.binary(max_size=64))
def test_there_is_a_letter_for_each_byte_and_nothing_else(data: bytes) -> None:
    name = letters(data)
    assert len(name) == len(data)
    assert set(name) <= set(ALPHABET)
