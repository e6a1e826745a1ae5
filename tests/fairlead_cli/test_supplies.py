from pathlib import Path

import pytest
import yaml

from fairlead_cli.configuration import Configuration, read_configuration
from fairlead_cli.state import StateDirectory
from fairlead_cli.supplies import secret_supplies, supplies
from tests.certificates import self_signed
from tests.fairlead_cli.kit import COMPLETE, configure, write


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.prepare({state.secret, state.join_key})
    return state


def together(folder: Path, state: StateDirectory, text: str) -> Configuration:
    """The configuration with what is brought along for it."""
    return read_configuration(write(folder, text), supplies(configure(folder, text), state))


def test_without_a_configuration_everything_is_there(tmp_path: Path, state: StateDirectory) -> None:
    found = together(tmp_path, state, "")
    (secret,) = found.shared.auth.secrets
    assert secret.value.get_secret_value() == state.secret.read_text().strip()
    assert found.signal_api.join_key is not None
    assert found.signal_api.join_key.get_secret_value() == state.join_key.read_text().strip()
    assert found.signal_api.demo
    assert found.shared.link.socket == state.link
    assert found.shared.log.format == "json"


def test_secrets_travel_by_the_names_of_their_files(tmp_path: Path, state: StateDirectory) -> None:
    given = supplies(configure(tmp_path), state)
    for file in (state.secret, state.join_key):
        assert str(file) in given.values()
        assert file.read_text().strip() not in str(given)


def test_what_is_configured_is_left_alone(tmp_path: Path, state: StateDirectory) -> None:
    more = "link: {socket: /run/fairlead/link}\nlog: {format: console}\n"
    assert supplies(configure(tmp_path, COMPLETE + more), state) == {}


@pytest.mark.parametrize("text", ["signal_api: {demo: false}", "public_host: turn.example.org"])
def test_under_a_public_name_and_where_it_is_written_the_key_is_the_only_way_in(
    tmp_path: Path, state: StateDirectory, text: str
) -> None:
    found = together(tmp_path, state, text)
    assert not found.signal_api.demo
    assert found.signal_api.join_key is not None


def test_users_alone_do_not_make_credentials(tmp_path: Path, state: StateDirectory) -> None:
    users = configure(tmp_path, "auth: {users: [{name: camera, password: swordfish}]}")
    assert secret_supplies(users, state)


def test_uris_follow_the_ports(tmp_path: Path, state: StateDirectory) -> None:
    found = together(tmp_path, state, 'turnd: {listen: ["udp://*:4000"]}\nstund: {listen: ["udp://127.0.0.1:4001"]}')
    assert found.signal_api.ice.turn == ("turn:{host}:4000?transport=udp",)
    assert found.signal_api.ice.stun == ("stun:127.0.0.1:4001",)
    assert found.signal_api.ice.turns == ("turns:{host}:5349?transport=tcp",), "told only where there is a certificate"


def test_uris_of_tls_follow_the_ports(tmp_path: Path, state: StateDirectory) -> None:
    files = self_signed(tmp_path)
    tls = {"certificate": str(files.certificate), "key": str(files.key)}
    found = together(tmp_path, state, yaml.safe_dump({"tls": tls, "turnd": {"listen_tls": ["tls://*:443"]}}))
    assert found.signal_api.ice.turns == ("turns:{host}:443?transport=tcp",)


def test_written_uris_are_left_alone(tmp_path: Path, state: StateDirectory) -> None:
    text = 'turnd: {listen: ["udp://*:4000"]}\nsignal_api: {ice: {turn: ["turn:{host}:3478"]}}'
    assert together(tmp_path, state, text).signal_api.ice.turn == ("turn:{host}:3478",)


def test_a_link_through_redis_needs_no_socket(tmp_path: Path, state: StateDirectory) -> None:
    found = together(tmp_path, state, "link: {redis: 'redis://127.0.0.1:6379/0'}\n")
    assert found.shared.link.socket is None
