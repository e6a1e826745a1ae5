"""The command `fairlead`."""

from typing import Annotated

import typer

from fairlead import __version__
from fairlead_cli.check.command import check
from fairlead_cli.creds.command import creds
from fairlead_cli.terminal import stdout
from fairlead_cli.up.command import up

# A traceback with the values of variables would show secrets.
app = typer.Typer(
    name="fairlead",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 ok, 1 a problem, 2 a wrong command line or configuration.",
)
app.command()(up)
app.command()(check)
app.command()(creds)


def _version(wanted: bool) -> None:
    if wanted:
        stdout().print(f"fairlead {__version__}")
        raise typer.Exit


@app.callback()
def fairlead(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """STUN, TURN and signaling for WebRTC, on your own machines."""


def main() -> None:
    app(prog_name="fairlead")


if __name__ == "__main__":
    main()
