"""The house as a table, and its sources as syntax trees: what the tests beside this file walk through."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAEMONS = ("stund", "turnd", "signal_api")
PACKAGES = ("fairlead", *DAEMONS, "fairlead_cli")

#: Pure: no socket, clock, randomness, logging or environment. A package stands for everything in it.
PURE = (
    "fairlead.buckets",
    "fairlead.clock",
    "fairlead.credentials",
    "fairlead.datagram",
    "fairlead.reasons",
    "fairlead.sources",
    "fairlead.stun",
    "fairlead.turn_user",
    "stund.responder",
    "turnd.dataplane.contract",
    "turnd.dataplane.shares",
    "turnd.protocol",
    "turnd.routes",
    "signal_api.api_keys",
    "signal_api.protocol.authorization",
    "signal_api.protocol.claims",
    "signal_api.protocol.effects",
    "signal_api.relay.ice_servers",
    "signal_api.protocol.messages",
    "signal_api.protocol.moderation",
    "signal_api.protocol.names",
    "signal_api.origins",
    "signal_api.protocol.peerjs",
    "signal_api.protocol.refusals",
    "signal_api.protocol.revocations",
    "signal_api.protocol.rooms",
    "signal_api.protocol.sessions",
    "signal_api.transports.lull",
    "fairlead_cli.up.supervision",
)

#: Folders of tests that mirror no package; what they are about is their name.
TOPICS = (
    "architecture",
    "conformance",
    "deploy",
    "hostile",
    "interop",
    "sdk",
    "simulation",
    "system",
    "turnd/rfc8656",
    "wire",
)
#: Those of them that call pure modules alone.
PURE_TOPICS = ("turnd/rfc8656",)


def is_pure(name: str) -> bool:
    """Whether the module of this dotted name is pure."""
    return any(name == pure or name.startswith(pure + ".") for pure in PURE)


@dataclass(frozen=True)
class Module:
    """One source file of the product: its dotted name and its text."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @property
    def relative_path(self) -> Path:
        return self.path.relative_to(ROOT)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def has_behaviour(self) -> bool:
        """Whether a function stands in it; words alone (constants, enums, named tuples) have nothing to test."""
        return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(self.tree))

    def imports(self) -> Iterator[str]:
        """The dotted name of each thing that is imported anywhere in the file, `from a import b` as `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield from (f"{origin}.{alias.name}" for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        above = here[: len(here) - node.level + 1]
        return ".".join([*above, node.module] if node.module else above)


@cache
def modules() -> dict[str, Module]:
    """Every module of the product by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name, path)
    return found


def module_of(imported: str) -> str | None:
    """The module of the product that `a.b.c` lives in or is; None for everybody else's."""
    while imported:
        if imported in modules():
            return imported
        imported = imported.rpartition(".")[0]
    return None


def neighbours(module: Module) -> set[str]:
    """The modules of the product that a module imports."""
    return {name for imported in module.imports() if (name := module_of(imported))}


def reached_from(names: Iterable[str]) -> set[str]:
    """The modules of the product that these reach, directly or through others."""
    reached: set[str] = set()
    open_ends = list(names)
    while open_ends:
        name = open_ends.pop()
        if name not in reached:
            reached.add(name)
            open_ends.extend(neighbours(modules()[name]))
            # To import a module is to import the packages that it is in.
            open_ends.extend({name.rpartition(".")[0]} & set(modules()))
    return reached
