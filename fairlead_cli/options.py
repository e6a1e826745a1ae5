"""The options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="PATH",
        envvar="FAIRLEAD_CONFIG",
        help="The configuration file; without one, defaults and FAIRLEAD__SECTION__KEY variables.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: one JSON object on standard output.")]
