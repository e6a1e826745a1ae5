"""Draws what a run has measured, as SVG."""

import argparse
from pathlib import Path

from bench import record
from bench.plot import draw
from bench.trouble import BenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, metavar="FILE.json", help="rows that --json has written")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.svg")


def run(options: argparse.Namespace) -> int:
    try:
        picture = draw(record.read(options.rows))
    except (OSError, ValueError, KeyError) as error:
        raise BenchError(f"{options.rows} cannot be drawn: {error}") from None
    options.output.write_text(picture, encoding="utf-8")
    return 0
