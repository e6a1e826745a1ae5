import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fairlead.credentials import password_for
from fairlead_cli.__main__ import app
from fairlead_cli.creds.formats import parse_uri
from fairlead_cli.state import StateDirectory
from tests.certificates import self_signed
from tests.fairlead_cli.kit import write

SECRET = "0123456789abcdef0123456789abcdef"
CONFIGURATION = f"""
public_host: turn.example.org
auth:
  credential_lifetime: 600
  secrets: [{{name: current, value: {SECRET}}}, {{name: old, value: another-secret-of-before}}]
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def creds(*arguments: str, state: StateDirectory, config: Path | None = None) -> Result:
    option = ["--config", str(config)] if config is not None else []
    return CliRunner().invoke(app, ["creds", *arguments, *option], env={"FAIRLEAD_STATE": str(state.path)})


def test_a_credential_of_the_configured_secret(tmp_path: Path, state: StateDirectory) -> None:
    result = creds("alice", "--format", "turnrest", state=state, config=write(tmp_path, CONFIGURATION))
    assert result.exit_code == 0
    body = json.loads(result.stdout)
    expires, _, name = body["username"].partition(":")
    assert name == "alice"
    assert 0 <= time.time() + 600 - int(expires) < 20
    assert body["password"] == password_for(SECRET.encode(), body["username"])
    assert body["uris"] == ["turn:turn.example.org:3478?transport=udp", "turn:turn.example.org:3478?transport=tcp"]
    assert result.stderr.startswith("Good until ")
    assert SECRET not in result.output


def test_a_credential_that_turnd_would_refuse_is_not_made(tmp_path: Path, state: StateDirectory) -> None:
    result = creds("--ttl", "7d", state=state, config=write(tmp_path, CONFIGURATION))
    assert result.exit_code == 2
    assert "raise auth.max_lifetime" in result.output
    unlimited = CONFIGURATION.replace("auth:", "auth:\n  max_lifetime: 0")
    assert creds("--ttl", "7d", state=state, config=write(tmp_path, unlimited)).exit_code == 0


def test_without_a_name_the_user_is_the_expiry(tmp_path: Path, state: StateDirectory) -> None:
    result = creds("--ttl", "1h", state=state, config=write(tmp_path, CONFIGURATION))
    username = json.loads(result.stdout)["iceServers"][1]["username"]
    assert username.isdigit()
    assert 0 <= time.time() + 3600 - int(username) < 20


def test_turns_is_told_where_there_is_a_certificate(tmp_path: Path, state: StateDirectory) -> None:
    files = self_signed(tmp_path)
    config = write(tmp_path, f"{CONFIGURATION}\ntls: {{certificate: {files.certificate}, key: {files.key}}}\n")
    assert "turns:turn.example.org:5349?transport=tcp" in creds(state=state, config=config).stdout


def test_ports_are_those_that_are_open(tmp_path: Path, state: StateDirectory) -> None:
    config = write(tmp_path, f'{CONFIGURATION}\nturnd: {{listen: ["udp://*:4000"]}}\n')
    body = json.loads(creds("--format", "turnrest", state=state, config=config).stdout)
    assert body["uris"] == ["turn:turn.example.org:4000?transport=udp"]


def test_without_a_configured_secret_it_is_that_of_up(state: StateDirectory) -> None:
    state.prepare({state.secret})
    result = creds("--format", "turnrest", state=state)
    body = json.loads(result.stdout)
    assert body["password"] == password_for(state.secret.read_text().strip().encode(), body["username"])


def test_without_any_secret_the_next_command_is_named(state: StateDirectory) -> None:
    result = creds(state=state)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"neither in auth.secrets nor in {state.secret}; run `fairlead up` once" in result.stderr
    assert not state.path.exists(), "asking makes nothing"


def test_for_programs_it_is_one_line_of_json(tmp_path: Path, state: StateDirectory) -> None:
    result = creds("--format", "nextcloud", "--json", state=state, config=write(tmp_path, CONFIGURATION))
    (line,) = result.stdout.splitlines()
    assert json.loads(line) == {
        "stun_servers": ["turn.example.org:3479"],
        "turn_servers": [
            {"schemes": "turn", "server": "turn.example.org:3478", "secret": SECRET, "protocols": "udp,tcp"}
        ],
    }
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["alice", "--format", "synapse"], "synapse makes its users' credentials itself; leave out 'alice'"),
        (["--ttl", "1w"], "'1w' is no time"),
        (["a\nb"], r"'a\nb' is no name"),
        (["x" * 491], "is no name; write up to 490 bytes"),
        ([""], "'' is no name"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, state: StateDirectory, arguments: list[str], said: str) -> None:
    result = creds(*arguments, state=state, config=write(tmp_path, CONFIGURATION))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_wrong_configuration_is_told_with_its_place(tmp_path: Path, state: StateDirectory) -> None:
    config = write(tmp_path, "auth:\n  secretz: []\n")
    result = creds(state=state, config=config)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"fairlead creds: {config}:2:3: auth.secretz: unknown key; did you mean secrets?" in result.stderr


def test_nothing_to_tell_is_said(tmp_path: Path, state: StateDirectory) -> None:
    result = creds(state=state, config=write(tmp_path, f"{CONFIGURATION}\nturnd: {{listen: []}}\n"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no TURN URI to tell; give turnd.listen a port" in result.stderr


def test_a_host_that_makes_no_uri_is_said(tmp_path: Path, state: StateDirectory) -> None:
    config = write(tmp_path, CONFIGURATION.replace("turn.example.org", "example.org/turn"))
    result = creds(state=state, config=config)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "public_host: 'example.org/turn' is no host name; write the bare name or address" in result.stderr


def test_whose_address_is_told_without_a_public_name(tmp_path: Path, state: StateDirectory) -> None:
    text = CONFIGURATION.replace("public_host: turn.example.org", "")
    result = creds("--format", "turnrest", state=state, config=write(tmp_path, text))
    host = parse_uri(json.loads(result.stdout)["uris"][0]).host
    assert f"The URIs name {host}, an address of this machine, since public_host is not set." in result.stderr
    bound = write(tmp_path, f'{text}\nturnd: {{listen: ["udp://127.0.0.1:1"]}}\nstund: {{listen: []}}')
    assert "public_host" not in creds(state=state, config=bound).stderr
