from fairlead.config import ConfigError, Place, Problem, SettingError, key_text


def test_a_key_is_written_as_people_would() -> None:
    assert key_text(("turnd", "listen", 0)) == "turnd.listen[0]"
    assert key_text(("auth", "secrets", 2, "value")) == "auth.secrets[2].value"
    assert key_text(()) == ""


def test_a_problem_says_where_what_and_what_to_do() -> None:
    problem = Problem(Place("fairlead.yaml", 3, 7), ("log", "level"), "'loud' is not known", "write info")
    assert str(problem) == "fairlead.yaml:3:7: log.level: 'loud' is not known; write info"


def test_a_problem_without_line_key_or_remedy_has_no_empty_parts() -> None:
    assert str(Problem(Place("fairlead.yaml"), (), "cannot be read")) == "fairlead.yaml: cannot be read"


def test_all_problems_are_in_the_message_of_the_error() -> None:
    place = Place("f", 1, 1)
    error = ConfigError([Problem(place, ("a",), "is bad"), Problem(place, ("b",), "is worse")])
    assert str(error) == "f:1:1: a: is bad\nf:1:1: b: is worse"


def test_a_setting_error_names_its_key() -> None:
    assert str(SettingError(("stund", "ops"), "is taken", "write another port")) == (
        "stund.ops: is taken; write another port"
    )
    assert str(SettingError(("stund", "ops"), "is taken")) == "stund.ops: is taken"
