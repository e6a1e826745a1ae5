from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from fairlead.config import DEFAULT, ConfigError, DaemonSettings, SettingError, Settings, load, validate


class Limits(Settings):
    most: int = Field(default=5, ge=1, le=10)
    share: float = Field(default=0.5, gt=0, lt=1)


class Section(DaemonSettings):
    software: str | None = None
    classic: bool = False
    limits: Limits = Limits()
    token: SecretStr | None = None


FAULTY = """\
log:
  level: loud
  levl: info
stun: {}
tls:
  certificate: a.pem
auth:
  realm: no
  secrets:
    - {name: current}
    - name: spare
      value: 0123
      valeu: s3cr3t
stund:
  software: [x]
  limits:
    most: many
    share: 1
  classic: perhaps
  drain_deadline: -1
  token: {a: s3cr3t}
  ops: localhost:1
  classic: true
"""

PROBLEMS = """\
2:10: log.level: 'loud' is not known; write 'debug', 'info', 'warning' or 'error'
3:3: log.levl: unknown key; did you mean level?
4:1: stun: unknown key; did you mean stund?
6:3: tls: certificate is set and key is not; set both, or none for no TLS
10:7: auth.secrets[0].value: is missing; add it
13:7: auth.secrets[1].valeu: unknown key; did you mean value?
15:13: stund.software: one text belongs here; write KEY: TEXT
17:11: stund.limits.most: 'many' is no whole number; write digits
18:12: stund.limits.share: '1' is too large; write less than 1.0
19:12: stund.classic: 'perhaps' is neither true nor false; write true or false
20:19: stund.drain_deadline: '-1' is too small; write 0.0 or more
21:10: stund.token: one text belongs here; write KEY: TEXT
22:8: stund.ops: 'localhost' is no IP address; names are not looked up here
23:3: stund.classic: written twice (first at line 19); keep one of the two
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "fairlead.yaml"
    file.write_text(text)
    return file


def test_every_problem_at_once_each_with_its_place(tmp_path: Path) -> None:
    file = written(tmp_path, FAULTY)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, "stund", Section)
    assert str(caught.value).splitlines() == [f"{file}:{line}" for line in PROBLEMS.splitlines()]


def test_a_section_in_the_place_of_a_value_is_not_quoted(tmp_path: Path) -> None:
    file = written(tmp_path, "stund:\n  drain_deadline: {token: s3cr3t}\n  classic: [s3cr3t]\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {}, "stund", Section)
    assert str(caught.value).splitlines() == [
        f"{file}:2:19: stund.drain_deadline: what stands here is no number; write digits",
        f"{file}:3:12: stund.classic: what stands here is neither true nor false; write true or false",
    ]


def test_defaults_alone() -> None:
    loaded = load(None, {}, "stund", Section)
    assert loaded.section == Section()
    assert {effective.place for effective in loaded.effective()} == {DEFAULT}


def test_the_schema_says_what_a_word_means(tmp_path: Path) -> None:
    file = written(tmp_path, "auth: {realm: no}\nstund: {software: 010, classic: yes, limits: {most: 07}}\n")
    loaded = load(file, {}, "stund", Section)
    assert (loaded.shared.auth.realm, loaded.section.software) == ("no", "010")
    assert (loaded.section.classic, loaded.section.limits.most) == (True, 7)


def test_other_daemons_sections_are_not_looked_into(tmp_path: Path) -> None:
    file = written(tmp_path, "turnd: {anything: [goes]}\nstund:\n")
    assert load(file, {}, "stund", Section).section == Section()


def test_all_sections_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "turnd: {classic: x}\nstund: {classic: z}\n")
    with pytest.raises(ConfigError) as caught:
        validate(file, {}, {"stund": Section, "turnd": Section})
    assert [problem.key for problem in caught.value.problems] == [("turnd", "classic"), ("stund", "classic")]
    file.write_text("stund: {classic: on}")
    _, found = validate(file, {}, {"stund": Section, "turnd": Section})
    assert found["stund"] == Section(classic=True)
    assert found["turnd"] == Section()


def test_every_effective_value_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    file = written(tmp_path, "auth: {users: [{name: u, password: s3cr3t}]}\nstund:\n  token_file: secret\n")
    loaded = load(file, {"FAIRLEAD__STUND__CLASSIC": "yes"}, "stund", Section)
    lines = [str(effective) for effective in loaded.effective()]
    assert "s3cr3t" not in "".join(lines)
    assert f"stund.token = *****  ({tmp_path}/secret (named at {file}:3:15))" in lines
    assert f"auth.users[0].name = u  ({file}:1:23)" in lines
    assert "stund.classic = true  (environment variable FAIRLEAD__STUND__CLASSIC)" in lines
    assert "stund.limits.most = 5  (default)" in lines
    assert "stund.software = null  (default)" in lines
    assert "auth.secrets = []  (default)" in lines


def test_what_the_machine_refuses_is_placed_too(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "stund:\n  ops: 127.0.0.1:1\n"), {}, "stund", Section)
    problem = loaded.locate(SettingError(("stund", "ops"), "is taken", "write another port"))
    assert str(problem) == f"{tmp_path}/fairlead.yaml:2:8: stund.ops: is taken; write another port"
    assert str(loaded.locate(SettingError(("log", "level"), "x")).place) == f"{tmp_path}/fairlead.yaml"


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "none.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="give the path of a YAML file by --config or FAIRLEAD_CONFIG"):
        load(file, {}, "stund", Section)
