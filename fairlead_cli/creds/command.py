"""The command `fairlead creds`."""

import datetime
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from fairlead_cli.configuration import Configuration, read_configuration
from fairlead_cli.creds.formats import Format, Gift, fields, parse_uri, text
from fairlead_cli.creds.lifetimes import parse_lifetime
from fairlead_cli.endpoints import told_hosts, told_uris
from fairlead_cli.exits import Exit
from fairlead_cli.options import ConfigOption, JsonOption
from fairlead_cli.state import StateDirectory
from fairlead_cli.supplies import secret_supplies
from fairlead_cli.terminal import CommandError, explained, stderr, stdout
from signal_api.relay.ice_servers import Issuer, Urls, grant
from turnd.addresses import machine_hosts

#: bytes of a user name on the wire (RFC 8489 section 14.3), less the expiry and the colon before the name
_LONGEST_NAME = 508 - 18


def creds(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Whom it is for; quotas and logs of turnd count by it.")
    ] = None,
    ttl: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long it is good: 90s, 15m, 1h, 7d. [default: auth.credential_lifetime]"),
    ] = None,
    shape: Annotated[Format, typer.Option("--format", help="The form; see above.")] = Format.ICESERVERS,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a TURN credential, ready to paste.

    \b
    iceservers   what new RTCPeerConnection takes (the default)
    turnrest     what TURN REST services answer
    uri          turn://USER:PASSWORD@HOST, for GStreamer and turncat
    js           a line for the browser's console
    synapse      for homeserver.yaml of Matrix Synapse
    nextcloud    occ commands for Nextcloud Talk
    jitsi        for Prosody's configuration, under Jitsi Meet

    The last three hold the secret itself: these products make credentials of their own. The secret is the first of
    auth.secrets; without one, the one that `fairlead up` keeps.
    """
    with explained("creds", config):
        gift = make_gift(name, ttl, shape, config, os.environ)
        stdout().print(json.dumps(fields(gift, shape)) if as_json else text(gift, shape))
        for remark in _remarks(gift, shape):
            stderr().print(remark, style="dim")


def _remarks(gift: Gift, shape: Format) -> Iterator[str]:
    """What stands beside the credential, for people."""
    if not shape.holds_secret:
        until = datetime.datetime.fromtimestamp(gift.grant.issued + gift.grant.lifetime, datetime.UTC)
        yield f"Good until {until:%Y-%m-%d %H:%M:%S} UTC."
    if gift.machine_host is not None:
        yield f"The URIs name {gift.machine_host}, an address of this machine, since public_host is not set."


def make_gift(
    name: str | None, ttl: str | None, shape: Format, config: Path | None, environ: Mapping[str, str]
) -> Gift:
    """The credential that was asked for, from the configured secret or that of `fairlead up`; raises CommandError."""
    if name is not None and shape.holds_secret:
        raise CommandError(f"{shape} makes its users' credentials itself; leave out {name!r}", Exit.USAGE)
    if name is not None and not (name.isprintable() and 0 < len(name.encode()) <= _LONGEST_NAME):
        raise CommandError(f"{name!r} is no name; write up to {_LONGEST_NAME} bytes of printable text", Exit.USAGE)
    configuration = _with_secret(config, environ)
    auth = configuration.shared.auth
    try:
        lifetime = auth.credential_lifetime if ttl is None else parse_lifetime(ttl)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    if 0 < auth.max_lifetime < lifetime:
        wrong = f"turnd would refuse it: credentials live {auth.max_lifetime} s at most"
        raise CommandError(f"{wrong}; ask for less, or raise auth.max_lifetime", Exit.USAGE)
    secret = auth.secrets[0].value.get_secret_value()
    uris = told_uris(configuration)
    if not uris.turn and not uris.turns:
        raise CommandError("there is no TURN URI to tell; give turnd.listen a port, or set signal_api.ice.turn")
    urls = Urls(uris.stun, (*uris.turn, *uris.turns))
    host = told_hosts(configuration, machine_hosts())[0]
    given = grant(Issuer(secret.encode(), lifetime, urls), host, name or "", time.time(), os.urandom)
    _refuse_broken(given.urls)
    is_guessed = configuration.shared.public_host is None and given.urls != urls
    return Gift(given, secret, host if is_guessed else None)


def _refuse_broken(urls: Urls) -> None:
    """A name that is none makes URIs that are none, and clients would say so instead of us."""
    try:
        for uri in (*urls.stun, *urls.turn):
            parse_uri(uri)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _with_secret(config: Path | None, environ: Mapping[str, str]) -> Configuration:
    configuration = read_configuration(config, environ)
    if configuration.shared.auth.secrets:
        return configuration
    state = StateDirectory.of(environ)
    if not state.secret.exists():
        raise CommandError(
            f"there is no secret to make credentials with, neither in auth.secrets nor in {state.secret}; "
            "run `fairlead up` once, which makes one, or give the configuration by --config"
        )
    return read_configuration(config, {**environ, **secret_supplies(configuration, state)})
