"""config.example.yaml says every key, what it means and its default; and it tells the truth."""

import pytest

from fairlead.config import validate
from tests.architecture.house import ROOT
from tests.architecture.sections import Option, daemon_sections, options, sections

EXAMPLE = ROOT / "config.example.yaml"
LINES = EXAMPLE.read_text(encoding="utf-8").splitlines()


def test_the_example_equals_the_defaults() -> None:
    _, found = validate(EXAMPLE, {}, daemon_sections())
    assert found == {name: model() for name, model in sections().items()}


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_the_option_is_in_the_example_with_a_comment(option: Option) -> None:
    if option.in_list:
        # Lists are empty by default: what an entry looks like stands in the comment under the list.
        assert any(line.strip().lstrip("#- ").startswith(f"{option.field}") for line in _comment_under(option.above))
        return
    number = _line_of(option.key)
    assert "#" in LINES[number] or LINES[number - 1].lstrip().startswith("#"), f"{option.key}: what does it do?"


def _line_of(key: str) -> int:
    document, _ = validate(EXAMPLE, {}, {})
    place = document.keys.get(tuple(key.split(".")))
    assert place is not None, f"{key} is not in {EXAMPLE.name}"
    return place.line - 1


def _comment_under(key: str) -> list[str]:
    start = _line_of(key) + 1
    end = next((n for n in range(start, len(LINES)) if not LINES[n].lstrip().startswith("#")), len(LINES))
    return LINES[start:end]
