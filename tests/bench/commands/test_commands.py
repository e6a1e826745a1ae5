from bench.__main__ import parser
from bench.commands import commands


def test_each_command_takes_its_name_and_says_what_it_does() -> None:
    text = " ".join(parser().format_help().split())
    for name, command in commands():
        assert command.__doc__ is not None
        assert f"{name} {command.__doc__.partition(chr(10))[0]}" in text
    assert {"relay"} <= {name for name, _ in commands()}
