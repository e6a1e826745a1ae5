"""schemathesis against the API as it runs: whatever the document allows is understood, nothing else is, and every
answer is one that the document describes."""

import subprocess
import sys
from pathlib import Path

import httpx

from signal_api.api_keys import Scope
from tests.processes import Daemon, Daemons

_KEY = "join-key-of-this-test"
#: Names of rooms may hold slashes, so what is below a room may be another room.
_SLASHES = ("--exclude-checks", "unsupported_method")
_API_KEY = "api-key-of-this-test-0123"
#: Nothing that is asked for here is too much.
_GENEROUS = {"connects_per_second": 1000, "sessions_per_source": 10000, "ice_per_minute": 10000}
_CONFIGURATION = """
[checks]
# What is asked for need not be there, or may be there already; 410 says so of a session.
positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "410"]
# 410 says that a session is gone or never was, before anything of the request is looked at.
negative_data_rejection.expected-statuses = ["400", "404", "405", "410", "413", "415", "422"]
missing_required_header.enabled = false
ignored_auth.enabled = false

[[operations]]  # The join key is that of no session.
include-name = "POST /v1/ice"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401"]

[[operations]]  # Nor is any other string in place of it good for one.
include-name = "POST /v1/sessions"
checks.positive_data_acceptance.expected-statuses = ["201", "401"]

[parameters]
"path.sid" = "{sid}"
"""


def explore(signal_api: Daemon, folder: Path, key: str, sid: str, *words: str) -> None:
    """Raises AssertionError with what schemathesis found."""
    file = folder / "schemathesis.toml"
    file.write_text(_CONFIGURATION.format(sid=sid))
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(file), "run"]
    url = f"http://{signal_api.address('http')}/v1/openapi.json"
    options = ["--header", f"Authorization: Bearer {key}", "--phases", "coverage,fuzzing", "--max-examples", "8"]
    done = subprocess.run(
        [*command, url, *options, "--no-color", "--seed", "1", "--generation-database", "none", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert not signal_api.records("a request failed")


def test_a_guest_finds_nothing(daemons: Daemons, tmp_path: Path) -> None:
    signal_api = daemons.signal_api(own={"join_key": _KEY, "limits": _GENEROUS})
    explore(signal_api, tmp_path, _KEY, "s_nobody", "--exclude-path-regex", "^/v1/admin")


def test_who_has_a_session_finds_nothing(daemons: Daemons, tmp_path: Path) -> None:
    signal_api = daemons.signal_api(own={"join_key": _KEY, "limits": _GENEROUS})
    opened = httpx.post(
        f"http://{signal_api.address('http')}/v1/sessions", json={"v": 1, "token": _KEY}, timeout=200
    ).json()
    words = ["--include-path-regex", "/sessions/.*(messages|relay)$"]
    explore(signal_api, tmp_path, opened["key"], opened["sid"], *words)


def test_a_back_end_finds_nothing(daemons: Daemons, tmp_path: Path) -> None:
    keys = [{"name": "explorer", "value": _API_KEY, "scopes": [scope.value for scope in Scope]}]
    signal_api = daemons.signal_api(own={"join_key": _KEY, "api_keys": keys, "limits": _GENEROUS})
    explore(signal_api, tmp_path, _API_KEY, "s_nobody", "--include-path-regex", "^/v1/admin", *_SLASHES)
