"""A YAML document as plain data, with the place of every key and value.

Scalars stay the text that was written, except null: the schema decides what a text means. So `realm: no` is the
text "no", `classic: no` is false, and `value: 0123` keeps its zero, whatever YAML 1.1 would make of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from fairlead.config.problems import ConfigError, Key, Place, Problem

_TEXT, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"


def loader_on(parser: Any) -> Any:
    """A loader on one of PyYAML's parsers that knows no scalar but text and null."""
    rules = {
        first: [rule for rule in rules if rule[0] == _NULL]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("Loader", (parser,), {"yaml_implicit_resolvers": rules})


#: libyaml's parser where PyYAML was built with it.
_LOADER = loader_on(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@dataclass(slots=True)
class Document:
    """What a file and the environment say, and where each key and each value stands."""

    source: str
    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[Key, Place] = field(default_factory=dict)
    values: dict[Key, Place] = field(default_factory=dict)
    #: what is wrong with the document, whatever its keys mean
    problems: list[Problem] = field(default_factory=list)

    def place(self, key: Key) -> Place:
        """Where the value stands, or else the nearest key above it that is written anywhere."""
        if key in self.values:
            return self.values[key]
        while key:
            for places in (self.keys, self.values):
                if key in places:
                    return places[key]
            key = key[:-1]
        return Place(self.source)

    def forget(self, key: Key) -> None:
        """Forgets the places of a value and of all inside it."""
        for places in (self.keys, self.values):
            for old in [old for old in places if old[: len(key)] == key]:
                del places[old]


def read_document(text: str, source: str) -> Document:
    """Reads a file's text. Duplicate keys are among the document's problems; raises ConfigError for what is no YAML."""
    document = Document(source)
    node = _compose(text, source)
    if node is None:
        return document
    reader = _Reader(document)
    data = reader.read(node, ())
    if isinstance(data, dict):
        document.data = data
    elif data is not None:
        reader.complain(node, (), "the file holds no keys", "write KEY: VALUE lines, as in config.example.yaml")
    return document


def read_value(text: str, source: str) -> Any:
    """Reads one value, as an environment variable holds it: `[a, b]`, `{a: 1}`. Raises ConfigError."""
    document = Document(source)
    node = _compose(text, source)
    value = None if node is None else _Reader(document).read(node, ())
    if document.problems:
        raise ConfigError(document.problems)
    return value


def _compose(text: str, source: str) -> Any:
    try:
        loader = _LOADER(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source)
        begun = f" ({error.context} from line {error.context_mark.line + 1})" if error.context_mark else ""
        is_tab = error.problem_mark is not None and text[error.problem_mark.index :].startswith("\t")
        remedy = "indent with spaces, not tabs" if is_tab else "look at this line and the one above it"
        # Of an alias or a tag that nobody knows PyYAML's own parser tells the name, which may be a password.
        wrong = str(error.problem)
        if "undefined" in wrong:
            wrong = wrong.partition(" '")[0]
        raise ConfigError([Problem(place, (), f"no YAML: {wrong}{begun}", remedy)]) from None
    except yaml.YAMLError as error:
        # A ReaderError (a control character, broken UTF-8) has no line, and its text would quote the file.
        wrong = f"no YAML: {getattr(error, 'reason', None) or 'it cannot be read'}"
        raise ConfigError([Problem(Place(source), (), wrong, "save the file as UTF-8 text")]) from None


class _Reader:
    """Turns nodes into data, and notes places and problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._open: list[Any] = []

    def complain(self, node: Any, key: Key, wrong: str, remedy: str) -> None:
        self.document.problems.append(Problem(self._place(node), key, wrong, remedy))

    def read(self, node: Any, key: Key) -> Any:
        self.document.values[key] = self._place(node)
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in (_TEXT, _NULL):
                # Which tag is not said: it may be the beginning of a password.
                self.complain(node, key, "what begins with ! is a tag, and none is used here", "put it into quotes")
            return None if node.tag == _NULL else node.value
        if any(node is outer for outer in self._open):
            self.complain(node, key, "an alias to something that holds it", "write the value out")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(item, (*key, index)) for index, item in enumerate(node.value)]
            return dict(self._pairs(node, key))
        finally:
            self._open.pop()

    def _pairs(self, node: Any, key: Key) -> Iterator[tuple[str, Any]]:
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                self.complain(name_node, key, "a key that is no text", "write KEY: VALUE")
                continue
            inner = (*key, name_node.value)
            if inner in self.document.keys:
                first = self.document.keys[inner]
                self.complain(name_node, inner, f"written twice (first at line {first.line})", "keep one of the two")
                continue
            self.document.keys[inner] = self._place(name_node)
            yield name_node.value, self.read(value_node, inner)

    def _place(self, node: Any) -> Place:
        return Place(self.document.source, node.start_mark.line + 1, node.start_mark.column + 1)
