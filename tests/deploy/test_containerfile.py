"""deploy/Containerfile builds what it should: small, without root, probed by a real Binding."""

import json
import re
import tomllib

from tests.architecture.house import PACKAGES, ROOT

TEXT = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line.strip()
    for line in re.sub(r"\\\n", " ", TEXT).splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
LAST_STAGE = INSTRUCTIONS[max(n for n, line in enumerate(INSTRUCTIONS) if line.startswith("FROM")) :]


def test_it_runs_without_root() -> None:
    assert "USER 10001:10001" in LAST_STAGE
    assert not [line for line in LAST_STAGE if line.startswith(("RUN", "ADD"))], "nothing is built where it runs"


def test_dependencies_are_installed_by_their_hashes_and_the_project_without_fetching() -> None:
    installs = [
        part for line in INSTRUCTIONS if line.startswith("RUN") for part in line.split("&&") if "install --no" in part
    ]
    assert len(installs) == 2
    assert "--require-hashes --requirement requirements/run.txt" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


def test_the_engine_is_compiled_in_a_stage_of_its_own() -> None:
    """From native/ alone, so that nothing else compiles it again; what is installed is that one, and has to load."""
    stage = INSTRUCTIONS[INSTRUCTIONS.index("FROM ${RUST} AS engine") : INSTRUCTIONS.index("FROM ${BASE} AS build")]
    assert {word for line in stage if line.startswith("COPY") for word in line.split()[1:-1]} == {
        "native",
        "tools/build-engine",
    }
    assert "--locked" in (ROOT / "tools" / "build-engine").read_text(encoding="utf-8")
    (install,) = [line for line in INSTRUCTIONS if "FAIRLEAD_ENGINE=/engine/_engine.abi3.so" in line]
    assert "import turnd.dataplane.native, stund.native" in install


def test_it_holds_every_package() -> None:
    copied = {line.split()[1] for line in INSTRUCTIONS if line.startswith("COPY") and "--from" not in line}
    assert set(PACKAGES) <= copied


def test_its_health_is_a_real_binding() -> None:
    (health,) = [line for line in LAST_STAGE if line.startswith("HEALTHCHECK")]
    command = json.loads(health.partition(" CMD ")[2])
    assert command == ["python", "-m", "fairlead.probe", "127.0.0.1:3478"]


def test_its_command_is_one_of_ours() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    (command,) = [line for line in LAST_STAGE if line.startswith("CMD")]
    assert json.loads(command.removeprefix("CMD "))[0] in scripts


def test_it_drains_when_it_is_stopped() -> None:
    assert "STOPSIGNAL SIGTERM" in LAST_STAGE


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copies = [line.split()[1:-1] for line in INSTRUCTIONS if line.startswith("COPY") and "--from" not in line]
    assert "*" in lines
    assert kept == {source for sources in copies for source in sources}
