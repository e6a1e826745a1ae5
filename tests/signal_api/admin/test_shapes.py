"""JSON of back ends: what goes into frames is JSON that every client can read."""

import json

import pytest

from signal_api.admin.shapes import json_of
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
