import pytest

from bench.programs import ProgramError, compiled, report

pytestmark = pytest.mark.requires("gcc")


def test_a_source_is_compiled_once() -> None:
    program = compiled("generator.c")
    made = program.stat().st_mtime_ns
    assert compiled("generator.c") == program
    assert program.stat().st_mtime_ns == made


def test_a_program_that_fails_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProgramError, match=r"generator\.c ended with 1"):
        report("generator.c", ["load"], "up 4 1 0 0 1 - -1 1 0 0", None, 10)
    assert "a payload has 24" in capfd.readouterr().err


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(ProgramError, match="not done"):
        report("generator.c", ["echo", "0"], "", None, 0.2)
