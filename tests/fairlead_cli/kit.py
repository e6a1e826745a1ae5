"""Configurations for tests, from the text of a file."""

from pathlib import Path
from textwrap import dedent

from fairlead_cli.configuration import Configuration, read_configuration

#: What a daemon by itself wants, so that nothing is left to be warned of.
COMPLETE = """
auth:
  secrets: [{name: current, value: 0123456789abcdef0123456789abcdef}]
signal_api:
  join_key: 0123456789abcdef
"""


def write(folder: Path, text: str) -> Path:
    """The file `fairlead.yaml` with this text."""
    file = folder / "fairlead.yaml"
    file.write_text(dedent(text))
    return file


def configure(folder: Path, text: str = "", **environ: str) -> Configuration:
    """What a file with this text, and these variables, come down to."""
    return read_configuration(write(folder, text), environ)
