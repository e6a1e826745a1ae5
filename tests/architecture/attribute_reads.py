"""Which attribute of which class the product reads, and from where; mypy says what each expression is."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from mypy import build, nodes, types
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.traverser import TraverserVisitor

from tests.architecture.house import modules


class Read(NamedTuple):
    """`reader` (a module, or the function or property in it) reads `attribute` of an instance of `owner`."""

    module: str
    reader: str
    owner: str
    attribute: str


@cache
def reads() -> frozenset[Read]:
    """Every attribute that is read in the product, and every function that is named in it (whose owner is "")."""
    options = Options()
    options.export_types = options.preserve_asts = options.check_untyped_defs = True
    options.incremental = False
    options.python_version = (3, 11)
    # What others wrote need not be understood to know what is read of ours.
    options.follow_imports = "skip"
    result = build.build([BuildSource(str(module.path), name) for name, module in modules().items()], options)
    found: set[Read] = set()
    for name in modules():
        tree = result.graph[name].tree
        assert tree is not None, f"mypy did not read {name}"
        visitor = _Reads(name, result.types)
        tree.accept(visitor)
        found |= visitor.found
    return frozenset(found)


class _Reads(TraverserVisitor):
    def __init__(self, module: str, known: dict[nodes.Expression, types.Type]) -> None:
        super().__init__()
        self.found: set[Read] = set()
        self._module = module
        self._known = known
        self._readers: list[str] = []

    def visit_func_def(self, o: nodes.FuncDef) -> None:
        self._readers.append(o.fullname)
        super().visit_func_def(o)
        self._readers.pop()

    def visit_member_expr(self, o: nodes.MemberExpr) -> None:
        for owner in _instances(self._known.get(o.expr)):
            self._note(owner.fullname, o.name)
            inherited = owner.get(o.name)
            # A method or property is named after the class that defines it, as a reader is.
            if inherited is not None and isinstance(inherited.node, nodes.FuncDef | nodes.Decorator):
                self._note("", inherited.node.fullname)
        self._note("", o.fullname or "")
        super().visit_member_expr(o)

    def visit_name_expr(self, o: nodes.NameExpr) -> None:
        self._note("", o.fullname)

    def _note(self, owner: str, attribute: str) -> None:
        # Of functions in functions and in classes, the outermost is what others can call.
        reader = self._readers[0] if self._readers else self._module
        self.found.add(Read(self._module, reader, owner, attribute))


def _instances(expression: types.Type | None) -> Iterator[nodes.TypeInfo]:
    """The classes that an expression may be an instance of."""
    kind = types.get_proper_type(expression)
    if isinstance(kind, types.Instance):
        yield kind.type
    elif isinstance(kind, types.UnionType):
        yield from _each(kind.items)
    elif isinstance(kind, types.TypeVarType):
        yield from _each([kind.upper_bound])


def _each(kinds: Iterable[types.Type]) -> Iterator[nodes.TypeInfo]:
    for kind in kinds:
        yield from _instances(kind)
