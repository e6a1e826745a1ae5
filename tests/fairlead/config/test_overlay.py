from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from fairlead.config import ConfigError, DaemonSettings, Loaded, Settings, load


class Key(Settings):
    id: str = "k"
    key: SecretStr


class Section(DaemonSettings):
    listen: tuple[str, ...] = ("a",)
    word: str | None = None
    on: bool = False
    token: SecretStr | None = None
    keys: tuple[Key, ...] = ()


def loaded(environ: Mapping[str, str], path: Path | None = None) -> Loaded[Section]:
    return load(path, environ, "stund", Section)


def problems(environ: Mapping[str, str], path: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(environ, path)
    return [str(problem) for problem in caught.value.problems]


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("stund:\n  word: file\n  listen: [x, y, z]\n")
    found = loaded({"FAIRLEAD__STUND__WORD": "environment", "FAIRLEAD__STUND__LISTEN": "[b]"}, file)
    assert found.section.word == "environment"
    assert found.section.listen == ("b",)


def test_a_scalar_is_taken_as_it_is() -> None:
    assert loaded({"FAIRLEAD__STUND__WORD": "a: [b #"}).section.word == "a: [b #"
    assert loaded({"FAIRLEAD__STUND__WORD": "no"}).section.word == "no"
    assert loaded({"FAIRLEAD__STUND__ON": "on"}).section.on is True


@pytest.mark.parametrize("text", ["", "null", "~"])
def test_null_can_be_said(text: str) -> None:
    assert loaded({"FAIRLEAD__STUND__WORD": text}).section.word is None


def test_a_number_is_an_index_into_a_list(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("stund: {listen: [x, y]}\n")
    assert loaded({"FAIRLEAD__STUND__LISTEN__1": "z", "FAIRLEAD__STUND__LISTEN__2": "w"}, file).section.listen == (
        "x",
        "z",
        "w",
    )


def test_entries_are_laid_in_the_order_of_their_numbers() -> None:
    environ = {f"FAIRLEAD__STUND__LISTEN__{number}": str(number) for number in range(12)}
    assert loaded(environ).section.listen == tuple(str(number) for number in range(12))


def test_a_variable_overrules_the_file_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file")
    file = tmp_path / "f.yaml"
    file.write_text("stund:\n  token_file: token\n")
    found = loaded({"FAIRLEAD__STUND__TOKEN": "from a variable"}, file).section.token
    assert found is not None
    assert found.get_secret_value() == "from a variable"


def test_a_value_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    name = "FAIRLEAD__STUND__TOKEN"
    assert problems({name: "s3cr3t", f"{name}_FILE": str(tmp_path / "token")}) == [
        f"environment variable {name}: stund.token: {name}_FILE is set too; keep one of the two"
    ]


def test_a_list_of_sections_can_be_built(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\r\n")
    found = loaded({"FAIRLEAD__STUND__KEYS__0__ID": "x", "FAIRLEAD__STUND__KEYS__0__KEY_FILE": str(secret)})
    assert found.section.keys[0].id == "x"
    assert found.section.keys[0].key.get_secret_value() == "hush"


def test_any_value_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("[p, q]\n")
    assert loaded({"FAIRLEAD__STUND__LISTEN_FILE": str(tmp_path / "list")}).section.listen == ("p", "q")


def test_a_secret_is_never_parsed() -> None:
    found = loaded({"FAIRLEAD__STUND__TOKEN": "[null"}).section.token
    assert found is not None
    assert found.get_secret_value() == "[null"


def test_variables_for_other_daemons_are_theirs() -> None:
    assert loaded({"FAIRLEAD__TURND__NO_SUCH_KEY": "x", "FAIRLEAD_CONFIG": "x"}).section == Section()


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("FAIRLEAD__STUN__WORD", "x", "stun: unknown key; did you mean stund?"),
        ("FAIRLEAD__STUND__WRD", "x", "stund.wrd: unknown key; did you mean word?"),
        ("FAIRLEAD__STUND____WORD", "x", "a part of the name is empty; write FAIRLEAD__SECTION__KEY"),
        ("FAIRLEAD__STUND__ON", "maybe", "stund.on: 'maybe' is neither true nor false; write true or false"),
        ("FAIRLEAD__STUND__LISTEN__5", "x", "stund.listen[5]: there are 0 entries before it; count from 0 on"),
        ("FAIRLEAD__STUND__WORD__X", "x", "stund.word: one text belongs here; write KEY: TEXT"),
        ("FAIRLEAD__STUND__LISTEN", "x", "stund.listen: a list belongs here; write [A, B], or"),
    ],
)
def test_what_is_wrong_names_the_variable(name: str, text: str, wrong: str) -> None:
    assert problems({name: text})[0].startswith(f"environment variable {name}: {wrong}")


def test_a_broken_list_is_not_quoted() -> None:
    (problem,) = problems({"FAIRLEAD__STUND__KEYS": "[{key: s3cr3t"})
    assert problem.startswith("environment variable FAIRLEAD__STUND__KEYS: stund.keys: no YAML: ")
    assert "s3cr3t" not in problem


def test_a_name_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("stund: {listen: [x]}\n")
    (problem,) = problems({"FAIRLEAD__STUND__LISTEN__FIRST": "x"}, file)
    assert "'first' cannot stand here; a number is an index into a list, a name a key of a section" in problem


def test_a_secret_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    file = tmp_path / "f.yaml"
    file.write_text("stund:\n  token_file: token\n  keys:\n    - {key_file: token}\n")
    found = loaded({}, file)
    assert found.section.token is not None
    assert found.section.token.get_secret_value() == "from a file"
    assert found.section.keys[0].key.get_secret_value() == "from a file"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (None, "token cannot be read (No such file or directory); check the path and who may read it"),
        (b" \n", "token is empty; write the secret into it"),
        (b"\xff\xfe", "token is no UTF-8 text; write the secret as text, base64 for instance"),
        (b"x" * 65537, "token is longer than 65536 bytes; is it the right file?"),
    ],
)
def test_a_secret_file_that_is_no_good(tmp_path: Path, content: bytes | None, wrong: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    file = tmp_path / "f.yaml"
    file.write_text("stund:\n  token_file: token\n")
    assert problems({}, file) == [f"{file}:2:15: stund.token_file: {tmp_path}/{wrong}"]
    variable = "FAIRLEAD__STUND__TOKEN_FILE"
    assert problems({variable: str(tmp_path / "token")}) == [
        f"environment variable {variable}: stund.token: {tmp_path}/{wrong}"
    ]


def test_a_missing_secret_file_is_reported_once(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("stund:\n  keys:\n    - {key_file: none}\n")
    assert len(problems({}, file)) == 1


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    file = tmp_path / "f.yaml"
    file.write_text("stund:\n  token: s3cr3t\n  token_file: token\n")
    assert problems({}, file) == [f"{file}:3:15: stund.token_file: token is set too; keep one of the two"]


def test_what_is_wrong_with_a_section_is_placed_at_the_variable_that_made_it() -> None:
    """Not at another one, which happened to come first."""
    said = problems({"FAIRLEAD__STUND__CLASSIC": "true", "FAIRLEAD__STUND__KEYS__0__ID": "a"})
    assert [line for line in said if "stund.keys[0].key" in line] == [
        "environment variable FAIRLEAD__STUND__KEYS__0__ID: stund.keys[0].key: is missing; add it"
    ]
