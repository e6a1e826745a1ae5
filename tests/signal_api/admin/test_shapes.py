"""JSON of back ends: what goes into frames is JSON that every client can read."""

import json

import pytest
from pydantic import ValidationError

from signal_api.admin.shapes import NewBan, RoomChange, json_of
from signal_api.web.problems import RefusedError


@pytest.mark.parametrize("value", [None, 7, "€\n", [1, {"a": [True]}], 2**80, "\ud800"])
def test_json_goes_out_on_one_line_of_ascii(value: object) -> None:
    text = bytes(json_of(value, 1000))
    assert json.loads(text) == value
    assert b"\n" not in text
    assert text.isascii()


def _deep(levels: int) -> object:
    return [] if levels == 1 else [_deep(levels - 1)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x" * 1000, _deep(31)])
def test_what_no_client_could_read_is_refused(value: object) -> None:
    with pytest.raises(RefusedError):
        json_of(value, 1000)
    assert json_of(_deep(30), 1000)


def test_a_number_is_no_word_and_no_word_a_number() -> None:
    """Whatever a document of JSON Schema calls an integer is one, as 5.0; nothing else is taken for a number."""
    assert RoomChange.model_validate({"capacity": 5.0}).capacity == 5
    for capacity in (5.5, "5", True):
        with pytest.raises(ValidationError):
            RoomChange.model_validate({"capacity": capacity})
    assert NewBan.model_validate({"user": "eve", "seconds": 5}).seconds == 5.0
    for seconds in ("5", False):
        with pytest.raises(ValidationError):
            NewBan.model_validate({"user": "eve", "seconds": seconds})
