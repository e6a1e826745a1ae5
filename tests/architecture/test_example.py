"""config.example.yaml says every key, what it means and its default; and it tells the truth."""

from functools import cache

import pytest

from fairlead.config import validate
from fairlead.config.document import Document
from tests.architecture.house import ROOT
from tests.architecture.sections import Option, daemon_sections, options, sections

EXAMPLE = ROOT / "config.example.yaml"
LINES = EXAMPLE.read_text(encoding="utf-8").splitlines()


def test_the_example_equals_the_defaults() -> None:
    _, found = validate(EXAMPLE, {}, daemon_sections())
    assert found == {name: model() for name, model in sections().items()}


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_the_option_is_in_the_example_with_a_comment(option: Option) -> None:
    if option.commented:
        assert any(_names(option.field, line) for line in _comment_under(option.above))
        return
    number = _line_of(option.key)
    if not option.is_section:
        assert "#" in LINES[number] or LINES[number - 1].lstrip().startswith("#"), f"{option.key}: what does it do?"


@cache
def _document() -> Document:
    return validate(EXAMPLE, {}, {})[0]


def _line_of(key: str) -> int:
    place = _document().keys.get(tuple(key.split(".")))
    assert place is not None, f"{key} is not in {EXAMPLE.name}"
    return place.line - 1


def _names(field: str, comment: str) -> bool:
    """Whether a line of a commented example sets the field, or names the file that it is read from."""
    name = comment.lstrip(" #-").partition(":")[0]
    return name in (field, f"{field}_file")


def _comment_under(key: str) -> list[str]:
    """The comment below a key, which shows what the default leaves out; of a key in a comment, the same comment."""
    while tuple(key.split(".")) not in _document().keys:
        key = key.rpartition(".")[0]
    start = _line_of(key) + 1
    end = next((n for n in range(start, len(LINES)) if not LINES[n].lstrip().startswith("#")), len(LINES))
    return LINES[start:end]
