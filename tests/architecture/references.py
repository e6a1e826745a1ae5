"""What each function of the product refers to by name: mypy knows of which class an attribute is."""

import ast
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from mypy import build
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.refinfo import get_undocumented_ref_info_json

from tests.architecture.house import Module, modules


class Reference(NamedTuple):
    """`source` (a module, or the outermost function in it) refers to `target`: `module.Class.attribute`, where Class
    is what the expression before the dot is known to be, or `module.function`."""

    module: str
    source: str
    target: str


@cache
def references() -> frozenset[Reference]:
    """Every reference in the product."""
    options = Options()
    options.export_types = options.preserve_asts = options.check_untyped_defs = True
    options.incremental = False
    options.python_version = (3, 11)
    # What others wrote need not be understood to know what is read of ours.
    options.follow_imports = "skip"
    result = build.build([BuildSource(str(module.path), name) for name, module in modules().items()], options)
    found = set()
    for name, module in modules().items():
        tree = result.graph[name].tree
        assert tree is not None
        for row in get_undocumented_ref_info_json(tree, result.types):
            found.add(Reference(name, _source(module, int(str(row["line"]))), str(row["target"])))
    return frozenset(found)


def _source(module: Module, line: int) -> str:
    return next((name for name, lines in _functions(module) if line in lines), module.name)


@cache
def _functions(module: Module) -> list[tuple[str, range]]:
    return list(_functions_in(module.tree, module.name))


def _functions_in(node: ast.Module | ast.ClassDef, name: str) -> Iterator[tuple[str, range]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield from _functions_in(child, f"{name}.{child.name}")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{child.name}", range(child.lineno, (child.end_lineno or child.lineno) + 1)
