"""docs/reference/signaling.md tells the truth: each of its tables is what the code has, no row more or less."""

import ast
import re
from collections.abc import Iterator

import pytest

from signal_api.config import LimitSettings
from signal_api.metrics import ADMIN
from signal_api.node.verbs import AT_ONCE, HANDLERS
from signal_api.protocol.authorization import DEFAULT_ABILITIES, Ability
from signal_api.protocol.refusals import CloseCode, ErrorCode
from tests.architecture.house import ROOT, modules
from tests.signal_api.service import Service

TEXT = (ROOT / "docs/reference/signaling.md").read_text(encoding="utf-8")


def _table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading; code marks are left out."""
    section = re.split(rf"^#+ {re.escape(heading)}$", TEXT, flags=re.MULTILINE)[1]
    lines = [line for line in re.split(r"^#+ ", section, flags=re.MULTILINE)[0].splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines[2:]]


def _sources() -> Iterator[tuple[str, ast.AST]]:
    for name, module in modules().items():
        if name.startswith("signal_api."):
            yield from ((name, node) for node in ast.walk(module.tree))


async def _operations(service: Service) -> dict[str, list[str]]:
    """Each request of the OpenAPI document, with the schemes that it may be authorized by."""
    paths = (await service.http.get("/v1/openapi.json")).json()["paths"]
    return {
        f"{method.upper()} {path}": [name for scheme in operation.get("security", []) for name in scheme]
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method != "parameters"
    }


async def test_every_request_stands_in_it() -> None:
    async with Service() as service:
        found = set(await _operations(service))
    written = [row[0] for heading in ("Requests", "For back ends") for row in _table(heading)]
    assert len(written) == len(set(written))
    assert set(written) == found | {"GET /v1/ws"}


async def test_every_request_of_a_back_end_needs_the_scope_beside_it() -> None:
    rows = [row for row in _table("For back ends") if row[0].split()[1].startswith(ADMIN)]
    for request, scope, _ in rows:
        method, path = request.split()
        keys = [{"name": "other", "value": "k" * 24, "scopes": [other for other in _scopes(rows) if other != scope]}]
        async with Service(api_keys=keys) as service:
            body: dict[str, str] | None = {} if method in ("POST", "PATCH") else None
            url = re.sub(r"\{[^}]*\}", "x", path)
            reply = await service.http.request(method, url, headers={"Authorization": f"Bearer {'k' * 24}"}, json=body)
        assert (reply.status_code, reply.json().get("details")) == (403, {"needs": scope}), request


def _scopes(rows: list[list[str]]) -> set[str]:
    return {row[1] for row in rows}


def test_every_frame_of_the_client_stands_in_it() -> None:
    assert {row[0] for row in _table("Frames of the client")} == {*HANDLERS, *AT_ONCE}


def test_every_frame_of_the_server_stands_in_it() -> None:
    named = {
        argument.value
        for _, node in _sources()
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("server_frame", "announce"))
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    assert {row[0] for row in _table("Frames of the server")} == named


def test_every_close_code_stands_in_it_and_is_used() -> None:
    rows = _table("Close codes")
    assert {(int(code), name) for code, name, _ in rows} == {(code.value, code.name.lower()) for code in CloseCode}
    used = _used("CloseCode", beside="signal_api.protocol.refusals")
    assert {code.name for code in CloseCode} <= used


def test_every_error_code_stands_in_it_and_is_used() -> None:
    rows = {(code, int(status), retry == "yes") for code, status, retry in _table("Error codes")}
    assert rows == {(code.value, code.status.value, code.retryable) for code in ErrorCode}
    assert {code.name for code in ErrorCode} <= _used("ErrorCode", beside="nothing")


def _used(enum: str, beside: str) -> set[str]:
    return {
        node.attr
        for name, node in _sources()
        if name != beside and isinstance(node, ast.Attribute) and ast.unparse(node.value) == enum
    }


def test_every_limit_stands_in_it_with_its_default() -> None:
    rows = {key: float(default) for key, default, _ in _table("Limits")}
    assert rows == {name: float(field.default) for name, field in LimitSettings.model_fields.items()}


def test_every_ability_stands_in_it() -> None:
    rows = {ability: default == "yes" for ability, _, default in _table("Tokens")}
    assert rows == {ability.value: ability in DEFAULT_ABILITIES for ability in Ability}


@pytest.mark.parametrize("heading", ["Requests", "Close codes", "Limits"])
def test_a_table_is_found_by_its_heading(heading: str) -> None:
    assert len(_table(heading)) > 5
