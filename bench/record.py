"""The file that rows are kept in: a JSON list, one object for each server in each case."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the rows go")
    parser.add_argument("--append", action="store_true", help="keeps the rows that are in the file")


def keep(rows: Iterable[dict[str, Any]], options: argparse.Namespace) -> None:
    """Writes rows to the file that the options name, if they name one."""
    if options.json is not None:
        before = read(options.json) if options.append and options.json.exists() else []
        options.json.write_text(json.dumps([*before, *rows], indent=2) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(file.read_text())
    return rows
