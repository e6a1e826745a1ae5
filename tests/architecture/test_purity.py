"""Pure modules import nothing that could touch the world: an allow-list, read from the syntax tree."""

import ast

import pytest

from tests.architecture.house import PURE, Module, is_pure, module_of, modules

ALLOWED = {
    "__future__", "array", "base64", "binascii", "bisect", "collections", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "hmac", "ipaddress", "itertools", "json", "math", "re", "string", "struct", "typing", "unicodedata",
    "zlib",
}  # fmt: skip
#: What one module or package may import beyond that, and the only names it may use of it.
EXCEPTIONS = {
    ("fairlead.datagram", "socket"): {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"},
    ("signal_api", "msgspec"): None,
    ("signal_api.protocol.refusals", "http"): {"HTTPStatus"},
    ("signal_api.relay.ice_servers", "datetime"): {"UTC", "datetime"},
    ("signal_api.protocol.peerjs", "urllib"): {"parse.parse_qs"},
    # Signatures alone: what a token says is judged with the time that is passed in.
    ("signal_api.protocol.authorization", "jwt"): {
        "InvalidKeyError", "InvalidSignatureError", "InvalidTokenError", "PyJWS", "get_algorithm_by_name",
        "get_unverified_header",
    },
}  # fmt: skip

PURE_MODULES = [module for name, module in modules().items() if is_pure(name)]


@pytest.mark.parametrize("module", PURE_MODULES, ids=lambda module: module.name)
def test_a_pure_module_imports_only_the_pure(module: Module) -> None:
    foreign = sorted(name for name in module.imports() if not _may_import(module, name))
    assert not foreign, f"{module.relative_path} is pure and imports {', '.join(foreign)}"


@pytest.mark.parametrize("module", PURE_MODULES, ids=lambda module: module.name)
def test_a_pure_module_calls_nothing_that_touches_the_world(module: Module) -> None:
    calls = [node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    assert not names & {"open", "exec", "eval", "__import__", "input", "print", "breakpoint"}
    # The clock of datetime is written in C, where the poison of tests/poison.py does not reach.
    methods = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    assert not methods & {"now", "utcnow", "today"}


def test_packages_that_hold_pure_modules_do_nothing_when_imported() -> None:
    holders = {name.rpartition(".")[0] for name in modules() if is_pure(name)}
    busy = [name for name in holders if modules()[name].has_behaviour or any(modules()[name].imports())]
    assert not busy


@pytest.mark.parametrize("name", PURE)
def test_the_table_names_no_module_that_is_gone(name: str) -> None:
    assert name in modules()


def _may_import(module: Module, name: str) -> bool:
    ours = module_of(name)
    if ours is not None:
        return is_pure(ours)
    root = name.partition(".")[0]
    if root in ALLOWED:
        return True
    for (place, library), names in EXCEPTIONS.items():
        if library == root and (module.name + ".").startswith(place + "."):
            used = _used(module, library) if name == library else {name.removeprefix(f"{library}.")}
            return names is None or used <= names
    return False


def _used(module: Module, library: str) -> set[str]:
    """The attributes of an imported library that a module names."""
    return {
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == library
    }
