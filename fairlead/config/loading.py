"""From a file and the environment to settings: everything that is wrong at once, and where each value came from."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from fairlead.config.document import Document, read_document
from fairlead.config.keys import SECTIONS, SharedSettings
from fairlead.config.overlay import lay_environment, lay_secret_files, top_level_shapes
from fairlead.config.problems import ConfigError, Key, Place, Problem, SettingError, key_text
from fairlead.config.schema import DaemonSettings, Settings, known_keys, shape_at

S = TypeVar("S", bound=DaemonSettings)

DEFAULT = Place("default")


class Effective(NamedTuple):
    """One value as it counts, in words, and where it was written (DEFAULT when nowhere)."""

    key: Key
    text: str
    place: Place

    def __str__(self) -> str:
        return f"{key_text(self.key)} = {self.text}  ({self.place})"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A valid configuration, as one daemon sees it."""

    shared: SharedSettings
    section: S
    name: str
    document: Document

    def locate(self, error: SettingError) -> Problem:
        """The problem that a setting turned out to be, with the place where the setting was written."""
        return Problem(self.document.place(error.key), error.key, error.wrong, error.remedy)

    def effective(self) -> Iterator[Effective]:
        """Every value that counts for this daemon, secrets as stars."""
        yield from _effective(self.shared, (), self.document)
        yield from _effective(self.section, (self.name,), self.document)


def load(path: Path | None, environ: Mapping[str, str], name: str, model: type[S]) -> Loaded[S]:
    """Reads the shared keys and the section `name`; without a path, the environment and the defaults alone.

    Raises ConfigError with all problems. The sections of other daemons are not looked into.
    """
    document, found = validate(path, environ, {name: model})
    section, shared = found[name], found[""]
    assert isinstance(section, model)
    assert isinstance(shared, SharedSettings)
    return Loaded(shared, section, name, document)


def validate(
    path: Path | None, environ: Mapping[str, str], models: Mapping[str, type[DaemonSettings]]
) -> tuple[Document, dict[str, Settings]]:
    """Reads the shared keys (under the name "") and any number of sections; raises ConfigError with all problems."""
    document = _read(path)
    base = path.parent if path is not None else None
    shapes = top_level_shapes(models, SharedSettings)
    problems = list(document.problems)
    problems += lay_environment(document, environ, shapes, base)
    problems += lay_secret_files(document, shapes, base)
    problems += _unknown_sections(document)
    shared_data = {key: document.data[key] for key in SharedSettings.model_fields if key in document.data}
    found: dict[str, Settings] = {}
    parts: list[tuple[str, type[Settings], Any]] = [("", SharedSettings, shared_data)]
    parts += [(name, model, document.data.get(name)) for name, model in models.items()]
    for name, model, data in parts:
        try:
            found[name] = model.model_validate(data, context={"base": base})
        except ValidationError as error:
            prefix = (name,) if name else ()
            problems += (_explain(details, prefix, model, document) for details in _details(error))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.place))
    return document, found


def _read(path: Path | None) -> Document:
    if path is None:
        return Document("configuration")
    remedy = "give the path of a YAML file by --config or FAIRLEAD_CONFIG"
    try:
        return read_document(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError([Problem(Place(str(path)), (), f"cannot be read ({error.strerror})", remedy)]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(Place(str(path)), (), "is no UTF-8 text", remedy)]) from None


def _unknown_sections(document: Document) -> Iterator[Problem]:
    known = [*SharedSettings.model_fields, *SECTIONS]
    for key in document.data:
        if key not in known:
            yield Problem(document.keys[(key,)], (key,), "unknown key", _nearest(key, known))


def _nearest(key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(names))}"


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _explain(details: ErrorDetails, prefix: Key, model: type[BaseModel], document: Document) -> Problem:
    location = details["loc"]
    key = (*prefix, *location)
    kind = details["type"]
    if kind == "extra_forbidden":
        above = shape_at(model, location[:-1])
        names = known_keys(above.model) if above is not None and above.model is not None else ()
        return Problem(document.keys.get(key, document.place(key)), key, "unknown key", _nearest(str(key[-1]), names))
    wrong, remedy = _sentence(kind, details)
    # Behind a value that may be of several kinds pydantic names the kind.
    while location and shape_at(model, location) is None:
        location = location[:-1]
    key = (*prefix, *location)
    return Problem(document.place(key), key, wrong, remedy)


_WHOLE = ("{given} is no whole number", "write digits")
_NUMBER = ("{given} is no number", "write digits")
_TRUTH = ("{given} is neither true nor false", "write true or false")
_CHOICE = ("{given} is not known", "write {expected}")
_TEXT = ("one text belongs here", "write KEY: TEXT")
_LIST = ("a list belongs here", "write [A, B], or one entry a line behind a dash")
_SECTION = ("keys belong here", "write them on the lines below, indented")

#: pydantic's error types in our words, and the remedy.
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "add it"),
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_parsing": _TRUTH,
    "bool_type": _TRUTH,
    "literal_error": _CHOICE,
    "enum": _CHOICE,
    "greater_than": ("{given} is too small", "write more than {gt}"),
    "greater_than_equal": ("{given} is too small", "write {ge} or more"),
    "less_than": ("{given} is too large", "write less than {lt}"),
    "less_than_equal": ("{given} is too large", "write {le} or less"),
    "too_short": ("has too few entries", "write {min_length} or more"),
    "too_long": ("has too many entries", "write {max_length} or fewer"),
    "string_too_short": ("is too short", "write {min_length} characters or more"),
    "string_too_long": ("is too long", "write {max_length} characters or fewer"),
    "string_pattern_mismatch": ("{given} is not of the form that it has here", "write what {pattern} matches"),
    "string_type": _TEXT,
    "path_type": _TEXT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
}


def _sentence(kind: str, details: ErrorDetails) -> tuple[str, str]:
    context = details.get("ctx", {})
    if kind == "value_error":
        wrong, _, remedy = str(context["error"]).partition("; ")
        return wrong, remedy
    if kind not in _SENTENCES:
        return details["msg"][:1].lower() + details["msg"][1:], ""
    given = details.get("input")
    # A list or a section is not shown: it may hold a secret that was indented wrongly.
    words = {**context, "given": repr(given) if isinstance(given, str | None) else "what stands here"}
    wrong, remedy = _SENTENCES[kind]
    return wrong.format(**words), remedy.format(**words)


def _effective(settings: BaseModel, key: Key, document: Document) -> Iterator[Effective]:
    for name in type(settings).model_fields:
        yield from _effective_value(getattr(settings, name), (*key, name), document)


def _effective_value(value: Any, key: Key, document: Document) -> Iterator[Effective]:
    if isinstance(value, BaseModel):
        yield from _effective(value, key, document)
    elif isinstance(value, tuple | list) and any(isinstance(item, BaseModel) for item in value):
        for index, item in enumerate(value):
            yield from _effective_value(item, (*key, index), document)
    else:
        yield Effective(key, _value_text(value), document.values.get(key, DEFAULT))


def _value_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "*****"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value_text(item) for item in value)}]"
    return str(value)
