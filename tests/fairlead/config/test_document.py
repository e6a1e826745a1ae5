from typing import Any

import pytest
import yaml

from fairlead.config import document as module
from fairlead.config.document import Document, loader_on, read_document, read_value
from fairlead.config.problems import ConfigError, Place

TEXT = """\
# a comment
log:
  level: info
stund:
  listen:
    - udp://*:3479
    - {a: 1}
"""


@pytest.fixture
def document() -> Document:
    return read_document(TEXT, "f.yaml")


def test_every_key_and_value_has_its_place(document: Document) -> None:
    assert document.keys[("log",)] == Place("f.yaml", 2, 1)
    assert document.keys[("log", "level")] == Place("f.yaml", 3, 3)
    assert document.values[("log", "level")] == Place("f.yaml", 3, 10)
    assert document.values[("stund", "listen", 0)] == Place("f.yaml", 6, 7)
    assert document.keys[("stund", "listen", 1, "a")] == Place("f.yaml", 7, 8)


def test_what_is_not_written_is_placed_at_the_nearest_key_above(document: Document) -> None:
    assert document.place(("log", "format")) == Place("f.yaml", 2, 1)
    assert document.place(("turnd", "ops")) == Place("f.yaml")


@pytest.mark.parametrize("text", ["no", "on", "1:30", "0123", "1e3", "2026-11-22", "=", "<<", "'null'", '"~"', "0x1f"])
def test_scalars_stay_as_they_were_written(text: str) -> None:
    assert read_document(f"key: {text}", "f").data == {"key": text.strip("'\"")}


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null_is_the_only_word_with_a_meaning(text: str) -> None:
    assert read_document(f"key: {text}", "f").data == {"key": None}


@pytest.mark.parametrize("text", ["", "# nothing", "---", "null"])
def test_an_empty_file_holds_no_keys(text: str) -> None:
    assert read_document(text, "f").data == {}


def test_duplicate_keys_are_all_found_with_the_line_of_the_first() -> None:
    document = read_document("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "f")
    assert [str(problem) for problem in document.problems] == [
        "f:4:3: b.c: written twice (first at line 3); keep one of the two",
        "f:5:1: a: written twice (first at line 1); keep one of the two",
    ]
    assert document.data["a"] == "1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "f:1:1: the file holds no keys; write KEY: VALUE lines, as in config.example.yaml"),
        ("a: !!int 3", "f:1:4: a: what begins with ! is a tag, and none is used here; put it into quotes"),
        ("a: !s3cr3t", "f:1:4: a: what begins with ! is a tag, and none is used here; put it into quotes"),
        ("? [a]\n: 1", "f:1:3: a key that is no text; write KEY: VALUE"),
        ("a: &x [*x]", "f:1:4: a[0]: an alias to something that holds it; write the value out"),
    ],
)
def test_what_yaml_allows_and_we_do_not(text: str, problem: str) -> None:
    assert [str(found) for found in read_document(text, "f").problems] == [problem]


def test_an_alias_stands_for_what_it_names() -> None:
    assert read_document("a: &x [1]\nb: *x", "f").data == {"a": ["1"], "b": ["1"]}


def test_broken_yaml_says_where() -> None:
    with pytest.raises(ConfigError) as caught:
        read_document("a: 1\nb: [1,\nc: 2\n", "f.yaml")
    assert str(caught.value) == (
        "f.yaml:4:1: no YAML: did not find expected ',' or ']' (while parsing a flow sequence from line 2); "
        "look at this line and the one above it"
    )


def test_a_tab_is_called_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:3:1: no YAML: .*; indent with spaces, not tabs$"):
        read_document("# \u00e4\nturnd:\n\trelay: 3\n", "f.yaml")


@pytest.mark.parametrize("parser", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize(
    "text",
    ["s3cr3t\x01", "'s3cr3t", "s3cr3t: x", "*s3cr3t", "!s3cr3t!x", "%s3cr3t", "@s3cr3t", "[s3cr3t", '"s3cr3t\\q"'],
)
def test_broken_yaml_never_quotes_the_file(text: str, parser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOADER", loader_on(parser))
    with pytest.raises(ConfigError) as caught:
        read_document(f"password: {text}", "f")
    assert "s3cr3t" not in str(caught.value)


def test_a_value_alone() -> None:
    assert read_value("[a, {b: 1}]", "v") == ["a", {"b": "1"}]
    assert read_value("", "v") is None
    with pytest.raises(ConfigError, match="written twice"):
        read_value("{a: 1, a: 2}", "v")


def test_both_of_pyyamls_parsers_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT + "a: ~\nb: no\nc: {d: 0123}\na: 2\n"
    documents = []
    for parser in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        monkeypatch.setattr(module, "_LOADER", loader_on(parser))
        documents.append(read_document(text, "f"))
    assert documents[0] == documents[1]
    assert documents[0].data["c"] == {"d": "0123"}
