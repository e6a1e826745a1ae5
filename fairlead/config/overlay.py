"""What is laid over the file: environment variables, and secrets that stand in files of their own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fairlead.config.document import Document, read_value
from fairlead.config.keys import SECTIONS
from fairlead.config.problems import ConfigError, Key, Place, Problem
from fairlead.config.schema import Shape, shape, shape_at

PREFIX = "FAIRLEAD__"
_FILE = "_file"
_SECRET_LIMIT = 65536


def lay_environment(
    document: Document, environ: Mapping[str, str], models: Mapping[str, Shape], base: Path | None
) -> Iterator[Problem]:
    """Writes FAIRLEAD__SECTION__KEY variables into the document; yields what is wrong with them.

    `models` has the shape of every top-level key that is read; variables for sections of others are left alone. A
    number between the underscores is an index into a list.
    """
    variables = {name: _key_of(name) for name in environ if name.startswith(PREFIX)}
    # An entry of a list is laid before the next one, number 2 before number 10.
    for name, key in sorted(variables.items(), key=lambda item: [(isinstance(part, str), part) for part in item[1]]):
        place = Place(f"environment variable {name}")
        if "" in key:
            yield Problem(place, (), "a part of the name is empty", f"write {PREFIX}SECTION__KEY")
        elif f"{name}{_FILE.upper()}" in environ:
            yield Problem(place, key, f"{name}{_FILE.upper()} is set too", "keep one of the two")
        elif _stripped(key)[0] in models or _stripped(key)[0] not in SECTIONS:
            yield from _lay_variable(document, key, environ[name], place, models, base)


def _key_of(variable: str) -> Key:
    parts = variable[len(PREFIX) :].lower().split("__")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _lay_variable(
    document: Document, key: Key, text: str, place: Place, models: Mapping[str, Shape], base: Path | None
) -> Iterator[Problem]:
    target = _shape_of(models, key)
    if target is None and (behind := _shape_of(models, _stripped(key))) is not None:
        file = (base or Path()) / text
        key, target = _stripped(key), behind
        try:
            text = read_secret(file)
        except ValueError as error:
            yield Problem(place, key, str(error))
            return
        place = Place(f"{file} (named by {place})")
    try:
        value = _value(text, target, place)
    except ConfigError as error:
        yield from (Problem(place, key, problem.wrong, problem.remedy) for problem in error.problems)
        return
    wrong = _put(document.data, key, value)
    if wrong is not None:
        yield Problem(place, key, *wrong)
    else:
        _note_places(document, key, value, place)


def _note_places(document: Document, key: Key, value: Any, place: Place) -> None:
    """Says that a value, all inside it, and what had to be made around it come from here."""
    document.forget(key)
    for length in range(1, len(key)):
        document.keys.setdefault(key[:length], place)
    for inner in _keys_inside(key, value):
        document.keys[inner] = document.values[inner] = place


def _stripped(key: Key) -> Key:
    last = key[-1]
    return (*key[:-1], last.removesuffix(_FILE)) if isinstance(last, str) else key


def _shape_of(models: Mapping[str, Shape], key: Key) -> Shape | None:
    found = models.get(str(key[0]))
    if found is None or len(key) == 1:
        return found
    if found.model is None:
        return None
    return shape_at(found.model, key[1:])


def _value(text: str, target: Shape | None, place: Place) -> Any:
    if target is None or target.is_secret:
        return text
    if target.is_plain:
        return None if text in ("", "null", "~") else text
    return read_value(text, place.source)


def _put(data: dict[str, Any], key: Key, value: Any) -> tuple[str, str] | None:
    """Sets the value at a key, making what is above it; says what is in the way."""
    here: Any = data
    for part, following in zip(key, (*key[1:], None), strict=True):
        filling: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(here, dict) and isinstance(part, str):
            if following is None:
                # A secret that the file names by x_file is overruled as one that it holds.
                here.pop(part + _FILE, None)
                here[part] = filling
            elif here.get(part) is None:
                here[part] = filling
        elif isinstance(here, list) and isinstance(part, int):
            if part > len(here):
                return f"there are {len(here)} entries before it", f"count from {len(here)} on"
            if part == len(here):
                here.append(filling)
            elif following is None:
                here[part] = filling
        else:
            return f"{part!r} cannot stand here", "a number is an index into a list, a name a key of a section"
        here = here[part]
    return None


def _keys_inside(key: Key, value: Any) -> Iterator[Key]:
    yield key
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, item in inner:
        yield from _keys_inside((*key, part), item)


def lay_secret_files(document: Document, models: Mapping[str, Shape], base: Path | None) -> Iterator[Problem]:
    """Puts the content of the file that `x_file` names in the place of every secret `x`; yields what is wrong."""
    for name, found in models.items():
        yield from _secrets_in(document, (name,), document.data.get(name), found, base)


def _secrets_in(document: Document, key: Key, data: Any, found: Shape, base: Path | None) -> Iterator[Problem]:
    if found.items is not None and isinstance(data, dict | list):
        for part, item in list(data.items() if isinstance(data, dict) else enumerate(data)):
            yield from _secrets_in(document, (*key, part), item, shape(found.items), base)
    elif found.model is not None and isinstance(data, dict):
        for name, known in found.model.model_fields.items():
            inner = shape(known.annotation)
            if inner.is_secret and data.get(name + _FILE) is not None:
                yield from _read_into(document, key, name, data, base)
            yield from _secrets_in(document, (*key, name), data.get(name), inner, base)


def _read_into(document: Document, section: Key, name: str, data: Any, base: Path | None) -> Iterator[Problem]:
    key = (*section, name)
    written = (*section, name + _FILE)
    place = document.place(written)
    named = data.pop(name + _FILE)
    if data.get(name) is not None:
        yield Problem(place, written, f"{name} is set too", "keep one of the two")
        return
    file = (base or Path()) / str(named)
    try:
        data[name] = read_secret(file)
    except ValueError as error:
        # Something must stand there, or the missing secret would be reported a second time.
        data[name] = "-" * 64
        yield Problem(place, written, str(error))
        return
    document.keys[key] = document.keys.get(written, place)
    document.values[key] = Place(f"{file} (named at {place})")


def read_secret(file: Path) -> str:
    """The text of a file without the line end that editors put there; raises ValueError with a sentence."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_SECRET_LIMIT + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); check the path and who may read it") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is no UTF-8 text; write the secret as text, base64 for instance") from None
    if len(content) > _SECRET_LIMIT:
        raise ValueError(f"{file} is longer than {_SECRET_LIMIT} bytes; is it the right file?")
    if not text.strip():
        raise ValueError(f"{file} is empty; write the secret into it")
    return text.removesuffix("\n").removesuffix("\r")


def top_level_shapes(models: Mapping[str, type[BaseModel]], shared: type[BaseModel]) -> dict[str, Shape]:
    """The shapes of the keys at the top: the shared ones, and the sections that are read."""
    shapes = {name: shape(known.annotation) for name, known in shared.model_fields.items()}
    return shapes | {name: Shape(model=model) for name, model in models.items()}
