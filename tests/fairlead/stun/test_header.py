"""The first 20 bytes: types are interleaved as printed, and what is not STUN is told by its first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.stun.header import Class, Method, message_type, split_message_type


@pytest.mark.parametrize(
    ("method", "message_class", "expected"),
    [
        (Method.BINDING, Class.REQUEST, 0x0001),
        (Method.BINDING, Class.INDICATION, 0x0011),
        (Method.BINDING, Class.SUCCESS, 0x0101),
        (Method.BINDING, Class.ERROR, 0x0111),
        (Method.ALLOCATE, Class.ERROR, 0x0113),
        (Method.REFRESH, Class.REQUEST, 0x0004),
        (Method.SEND, Class.INDICATION, 0x0016),
        (Method.DATA, Class.INDICATION, 0x0017),
        (Method.CREATE_PERMISSION, Class.REQUEST, 0x0008),
        (Method.CHANNEL_BIND, Class.SUCCESS, 0x0109),
        (Method.CONNECT, Class.REQUEST, 0x000A),
        (Method.CONNECTION_BIND, Class.REQUEST, 0x000B),
        (Method.CONNECTION_ATTEMPT, Class.INDICATION, 0x001C),
        (0xFFF, Class.ERROR, 0x3FFF),
        (0xFFF, Class.REQUEST, 0x3EEF),
    ],
)
def test_message_types_as_they_stand_on_the_wire(method: int, message_class: Class, expected: int) -> None:
    assert message_type(method, message_class) == expected


def test_every_type_is_one_method_and_one_class() -> None:
    for value in range(0x4000):
        assert message_type(*split_message_type(value)) == value


@given(st.integers(0, 0xFFF), st.sampled_from(Class))
def test_splitting_undoes_interleaving(method: int, message_class: Class) -> None:
    assert split_message_type(message_type(method, message_class)) == (method, message_class)
