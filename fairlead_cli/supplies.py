"""What `fairlead up` brings along where the configuration is silent: a secret, a way in, URIs that fit the ports.

It is laid over the configuration as environment variables, so that the daemons read it as they read everything.
"""

import json

from fairlead_cli.configuration import Configuration
from fairlead_cli.endpoints import unfitting_uris
from fairlead_cli.state import StateDirectory

#: what the secret is called in metrics
SECRET_NAME = "up"  # noqa: S105  # the name of a secret is none

Variables = dict[str, str]


def secret_supplies(configuration: Configuration, state: StateDirectory) -> Variables:
    """The secret from the state directory, where none is configured."""
    if configuration.shared.auth.secrets:
        return {}
    return {
        "FAIRLEAD__AUTH__SECRETS__0__NAME": SECRET_NAME,
        "FAIRLEAD__AUTH__SECRETS__0__VALUE_FILE": str(state.secret),
    }


def supplies(configuration: Configuration, state: StateDirectory) -> Variables:
    """Everything that is missing for the three daemons to run together."""
    return {
        **secret_supplies(configuration, state),
        **_way_in(configuration, state),
        **_link(configuration, state),
        **_fitting_uris(configuration),
        **_readable_logs(configuration),
    }


def _way_in(configuration: Configuration, state: StateDirectory) -> Variables:
    """Without a key of any kind nobody could come in: who has the join key may, and who sits at this machine.

    The latter not under a public name: a proxy on this machine may not say for whom it asks.
    """
    section = configuration.signal_api
    if section.jwt is not None or section.join_key is not None or section.demo:
        return {}
    is_private = configuration.shared.public_host is None and not configuration.is_written("signal_api", "demo")
    demo = {"FAIRLEAD__SIGNAL_API__DEMO": "true"} if is_private else {}
    return {"FAIRLEAD__SIGNAL_API__JOIN_KEY_FILE": str(state.join_key), **demo}


def _link(configuration: Configuration, state: StateDirectory) -> Variables:
    link = configuration.shared.link
    if link.socket is not None or link.redis is not None:
        return {}
    return {"FAIRLEAD__LINK__SOCKET": str(state.link)}


def _fitting_uris(configuration: Configuration) -> Variables:
    """signal_api's defaults name the default ports; here it is known which ones turnd and stund open."""
    fitting = unfitting_uris(configuration)
    return {f"FAIRLEAD__SIGNAL_API__ICE__{kind.upper()}": json.dumps(uris) for kind, uris in fitting.items()}


def _readable_logs(configuration: Configuration) -> Variables:
    """Records come as JSON, to be shown to people only where people are."""
    return {"FAIRLEAD__LOG__FORMAT": "json"} if configuration.shared.log.format == "auto" else {}
