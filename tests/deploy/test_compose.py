"""deploy/compose.yaml keeps what its comments promise, in both profiles."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.config import load
from signal_api.config import SignalApiSettings
from stund.config import StundSettings
from tests.architecture.house import ROOT
from turnd.config import TurndSettings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMMANDS = {"stund", "turnd", "signal-api"}


def _profile(name: str) -> dict[str, dict[str, Any]]:
    return {service: keys for service, keys in SERVICES.items() if keys["profiles"] == [name]}


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_service_has_no_right_that_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert "privileged" not in service


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_service_may_drain_for_an_hour(service: dict[str, Any]) -> None:
    assert service["stop_grace_period"] == "1h"
    assert TurndSettings().drain_deadline <= 3600


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_secret_comes_as_a_file(service: dict[str, Any]) -> None:
    assert service["secrets"] == ["turn"]
    assert list(COMPOSE["secrets"]["turn"]) == ["file"]
    secret = re.compile("SECRET|PASSWORD|KEY|TOKEN")
    inline = [name for name in service["environment"] if secret.search(name) and not name.endswith(("_FILE", "_NAME"))]
    assert not inline


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_service_reads_the_folder_that_editors_replace_files_in(service: dict[str, Any]) -> None:
    (mount,) = [volume for volume in service["volumes"] if isinstance(volume, dict)]
    assert service["environment"]["FAIRLEAD_CONFIG"] == f"{mount['target']}/fairlead.yaml"
    assert mount["read_only"] is True
    assert mount["bind"] == {"create_host_path": False}
    assert f"deploy/{mount['source'].removeprefix('./')}/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_log_does_not_fill_the_disk(service: dict[str, Any]) -> None:
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_service_is_probed_for_what_it_does(service: dict[str, Any]) -> None:
    """STUN servers by a Binding at the port that they listen on by default, signal-api by its readiness."""
    command, *rest = service["healthcheck"]["test"]
    assert (command, rest[0]) == ("CMD", "python")
    daemon = service["command"][0]
    if daemon == "signal-api":
        assert f"http://{SignalApiSettings().ops}/readyz" in rest[-1]
    else:
        listen = StundSettings().listen if daemon == "stund" else TurndSettings().listen
        port = rest[-1].rpartition(":")[2]
        assert rest[1:3] == ["-m", "fairlead.probe"]
        assert f"udp://*:{port}" in map(str, listen)


@pytest.mark.parametrize("profile", ["host", "bridge"])
def test_each_profile_runs_the_three_daemons(profile: str) -> None:
    assert {service["command"][0] for service in _profile(profile).values()} == COMMANDS


def test_the_host_profile_publishes_nothing_one_by_one() -> None:
    for service in _profile("host").values():
        assert service["network_mode"] == "host"
        assert "ports" not in service


def test_the_bridge_profile_publishes_the_ports_that_it_configures() -> None:
    turnd = SERVICES["turnd-bridge"]
    relayed = turnd["environment"]["FAIRLEAD__TURND__RELAY__PORTS"]
    assert f"{relayed}:{relayed}/udp" in turnd["ports"]
    first, _, last = relayed.partition("-")
    assert int(last) - int(first) < 512
    assert all("network_mode" not in service for service in _profile("bridge").values())


@pytest.mark.parametrize("service", _profile("bridge").values(), ids=list(_profile("bridge")))
def test_the_bridge_profile_shows_the_ops_port_to_its_machine_alone(service: dict[str, Any]) -> None:
    (ops,) = [value for name, value in service["environment"].items() if name.endswith("__OPS")]
    port = str(ops).removeprefix("0.0.0.0:")
    assert [published for published in service["ports"] if f":{port}/" in published] == [f"127.0.0.1:{port}:{port}/tcp"]


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_the_environment_is_a_valid_configuration(service: dict[str, Any], tmp_path: Path) -> None:
    environment = {name: _filled(str(value)) for name, value in service["environment"].items()}
    for name, value in environment.items():
        if name.endswith("_FILE"):
            (tmp_path / Path(value).name).write_text("a secret that is long enough\n")
            environment[name] = str(tmp_path / Path(value).name)
    for section, model in (("stund", StundSettings), ("turnd", TurndSettings), ("signal_api", SignalApiSettings)):
        loaded = load(None, environment, section, model)
        assert loaded.shared.auth.secrets[0].name == "current"
        assert loaded.shared.link.socket is not None


def _filled(value: str) -> str:
    """With Compose's ${NAME:-default} replaced by the default."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)
