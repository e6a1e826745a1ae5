from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from fairlead.config import AddressSetting, DaemonSettings, PathSetting, Settings
from fairlead.config.schema import Shape, known_keys, shape, shape_at


class Inner(Settings):
    token: SecretStr | None = None
    name: str = "x"


class Outer(DaemonSettings):
    inner: Inner = Inner()
    rows: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = Field(default={})
    either: int | str = 0
    file: PathSetting | None = None
    address: AddressSetting = "127.0.0.1:1"


def test_shapes() -> None:
    assert shape(Inner | None) == Shape(model=Inner)
    assert shape(list[Inner]) == Shape(items=Inner)
    assert shape(dict[str, Inner]) == Shape(items=Inner)
    assert shape(SecretStr | None) == Shape(is_secret=True)
    assert shape(PathSetting | None).is_plain
    assert shape(int | str) == Shape()


def test_the_shape_at_a_key() -> None:
    assert shape_at(Outer, ("rows", 3, "token")) == Shape(is_secret=True)
    assert shape_at(Outer, ("by_name", "any", "name")) == Shape()
    assert shape_at(Outer, ("rows", 3)) == Shape(model=Inner)
    assert shape_at(Outer, ()) == Shape(model=Outer)


@pytest.mark.parametrize("key", [("none",), ("inner", "none"), ("either", "x"), ("rows", 0, "name", "x")])
def test_no_shape_where_nothing_is_known(key: tuple[str | int, ...]) -> None:
    assert shape_at(Outer, key) is None


def test_a_secret_may_be_given_in_a_file() -> None:
    assert list(known_keys(Inner)) == ["token", "token_file", "name"]


def test_an_empty_section_means_the_defaults() -> None:
    assert Outer.model_validate({"inner": None}).inner == Inner()


def test_unknown_keys_are_refused_and_values_never_change() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Inner.model_validate({"nmae": "x"})
    with pytest.raises(ValidationError, match="frozen"):
        Inner().name = "y"


def test_errors_do_not_quote_what_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"token": ["s3cr3t"]})
    assert "s3cr3t" not in str(caught.value)


def test_no_number_is_infinite() -> None:
    with pytest.raises(ValidationError):
        DaemonSettings.model_validate({"drain_deadline": "inf"})


def test_relative_paths_count_from_the_file() -> None:
    context = {"base": Path("/etc/fairlead")}
    assert Outer.model_validate({"file": "cert.pem"}, context=context).file == Path("/etc/fairlead/cert.pem")
    assert Outer.model_validate({"file": "/x/cert.pem"}, context=context).file == Path("/x/cert.pem")
    assert Outer.model_validate({"file": "cert.pem"}).file == Path("cert.pem")


def test_an_address_is_checked_and_read() -> None:
    assert Outer.model_validate({"ops": "[::1]:9"}).ops_address == ("::1", 9)
    with pytest.raises(ValidationError, match="names are not looked up"):
        Outer.model_validate({"address": "localhost:1"})
