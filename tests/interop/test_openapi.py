"""schemathesis against the API as it runs: whatever the document allows is understood, nothing else is, and every
answer is one that the document describes."""

import subprocess
import sys
from pathlib import Path

import httpx

from tests.processes import Daemon, Daemons

_KEY = "join-key-of-this-test"
#: Names of rooms may hold slashes, so what is below a room may be another room.
_SLASHES = ("--exclude-checks", "unsupported_method")
_API_KEY = "api-key-of-this-test-0123"
#: 410 says that a session is gone or never was, before anything of the request is looked at.
_EXPECTED = ["2xx", "3xx", "400", "401", "403", "404", "405", "409", "410", "413", "415", "422", "429", "503"]

_CONFIGURATION = """
[checks]
positive_data_acceptance.expected-statuses = {expected}
negative_data_rejection.expected-statuses = {expected}
missing_required_header.enabled = false
ignored_auth.enabled = false

[parameters]
"path.sid" = "{sid}"
"""


def explore(signal_api: Daemon, folder: Path, key: str, sid: str, *words: str) -> None:
    """Raises AssertionError with what schemathesis found."""
    file = folder / "schemathesis.toml"
    file.write_text(_CONFIGURATION.format(expected=_EXPECTED, sid=sid))
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(file), "run"]
    url = f"http://{signal_api.address('http')}/v1/openapi.json"
    options = ["--header", f"Authorization: Bearer {key}", "--phases", "coverage,fuzzing", "--max-examples", "8"]
    done = subprocess.run(
        [*command, url, *options, "--no-color", "--seed", "1", "--generation-database", "none", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert not signal_api.records("a request failed")


def test_a_guest_finds_nothing(daemons: Daemons, tmp_path: Path) -> None:
    signal_api = daemons.signal_api(own={"join_key": _KEY})
    explore(signal_api, tmp_path, _KEY, "s_nobody", "--exclude-path-regex", "^/v1/admin")


def test_who_has_a_session_finds_nothing(daemons: Daemons, tmp_path: Path) -> None:
    signal_api = daemons.signal_api(own={"join_key": _KEY})
    opened = httpx.post(f"http://{signal_api.address('http')}/v1/sessions", json={"v": 1, "token": _KEY}).json()
    words = ["--include-path-regex", "/sessions/.*(messages|relay)$"]
    explore(signal_api, tmp_path, opened["key"], opened["sid"], *words)


def test_a_back_end_finds_nothing(daemons: Daemons, tmp_path: Path) -> None:
    scopes = ["rooms:read", "rooms:write", "publish", "moderate", "stats"]
    keys = [{"name": "explorer", "value": _API_KEY, "scopes": scopes}]
    signal_api = daemons.signal_api(own={"join_key": _KEY, "api_keys": keys})
    explore(signal_api, tmp_path, _API_KEY, "s_nobody", "--include-path-regex", "^/v1/admin", *_SLASHES)
