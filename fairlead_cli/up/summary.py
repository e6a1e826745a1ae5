"""What `fairlead up` tells when everything runs: where clients find it, what is off and why, what to try next."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rich.text import Text

from fairlead import __version__
from fairlead.native import EngineChoice, EngineMissingError, is_native
from fairlead_cli.configuration import Configuration
from fairlead_cli.endpoints import bracketed, ops_addresses, page_urls, told_hosts, told_uris
from fairlead_cli.terminal import pasteable
from turnd.addresses import relay_hosts


class Row(NamedTuple):
    """A word and the lines beside it."""

    word: str
    lines: Sequence[str]


class Summary(NamedTuple):
    """Three parts, in the order in which they are shown."""

    endpoints: Sequence[Row]
    off: Sequence[Row]
    next_steps: Sequence[Row]


def summarise(
    configuration: Configuration, machine: list[str], kept_in: Sequence[str] = (), config: Path | None = None
) -> Summary:
    """`machine` are the addresses of this machine, `kept_in` the files that hold what was not configured, `config`
    the configuration file."""
    return Summary(
        list(_endpoints(configuration, machine, kept_in)),
        list(_off(configuration)),
        list(_next(configuration, machine, config)),
    )


def render(summary: Summary, seconds: float) -> Text:
    """For the terminal; `seconds` is how long the start took."""
    return Text.assemble(
        Text(f"\nFairlead {__version__} is up after {seconds:.1f} s.\n\n", style="bold"),
        _block(summary.endpoints, "cyan"),
        Text("\nOff, and why\n\n", style="bold"),
        _block(summary.off, "yellow"),
        Text("\nNext\n\n", style="bold"),
        _block(summary.next_steps, "green"),
        Text("\nCtrl-C drains: calls go on until they end. Twice stops at once.\n", style="dim"),
    )


def _endpoints(configuration: Configuration, machine: list[str], kept_in: Sequence[str]) -> Iterator[Row]:
    uris, hosts = told_uris(configuration), told_hosts(configuration, machine)
    first, *others = map(bracketed, hosts)
    yield Row("stun", [uri.replace("{host}", first) for uri in uris.stun])
    yield Row("turn", [uri.replace("{host}", first) for uri in (*uris.turn, *uris.turns)])
    if others and any("{host}" in uri for uri in (*uris.stun, *uris.turn, *uris.turns)):
        yield Row("", [f"also at {', '.join(others)}"])
    relay = configuration.turnd.relay
    yield Row("relayed", [f"{bracketed(host.told)}:{relay.ports}" for host in relay_hosts(relay, machine).values()])
    pages = page_urls(configuration, machine)
    yield Row("page", [f"{url}{_fragment(configuration)}" for url in pages])
    yield Row("api", [f"{pages[0]}v1/openapi.json"])
    for name, ops in ops_addresses(configuration).items():
        yield Row("metrics" if name == "stund" else "", [f"http://{ops}/metrics  {name}; also /readyz, /healthz"])
    if kept_in:
        yield Row("kept in", list(kept_in))


def _fragment(configuration: Configuration) -> str:
    """The join key stands behind the #, which browsers do not send to anybody."""
    key = configuration.signal_api.join_key
    return f"#{quote(key.get_secret_value(), safe='')}" if key is not None else ""


def _off(configuration: Configuration) -> Iterator[Row]:
    if not configuration.has_certificate:
        yield Row("turns:", ["no TLS certificate: set tls.certificate and tls.key"])
    yield Row("https, wss", ["signal-api speaks plain HTTP: put your HTTPS proxy before it"])
    yield Row("camera", ["browsers give it to pages on https or localhost alone: elsewhere the page sends a drawing"])
    is_wanted = EngineChoice.AUTO in (configuration.turnd.engine, configuration.stund.engine)
    missing = _native_engine_missing() if is_wanted else ""
    if missing:
        yield Row("native engine", [f"{missing}: packets are moved in Python"])
    if configuration.shared.public_host is None:
        yield Row("public name", ["public_host is not set: clients are told the address that they came to"])


def _native_engine_missing() -> str:
    """Why there is none; empty where there is one."""
    try:
        is_native(EngineChoice.NATIVE)
    except EngineMissingError as error:
        return str(error)
    return ""


def _next(configuration: Configuration, machine: list[str], config: Path | None) -> Iterator[Row]:
    page = f"{page_urls(configuration, machine)[0]}{_fragment(configuration)}"
    yield Row("a call", [f"open {page} in two tabs"])
    yield Row("a credential", [pasteable("creds alice", config)])
    yield Row("the settings", [pasteable("check", config)])


def _block(rows: Iterable[Row], style: str) -> Text:
    """The words in a column, the lines beside them; nothing is cut, however narrow the terminal."""
    rows = list(rows)
    width = max(len(row.word) for row in rows)
    block = Text()
    for row in rows:
        for word, line in zip_longest((row.word,), row.lines, fillvalue=""):
            block.append(f"  {word:<{width}}  ", style=style)
            block.append(f"{line}\n")
    return block
