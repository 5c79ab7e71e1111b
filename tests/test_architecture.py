"""The house stays in order: who may import whom, and how large modules and functions get.

docs/architecture.md draws it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ghostless

SRC = Path(ghostless.__file__).parent
FILES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SRC.rglob("*.py"))
    if path != SRC / "__init__.py"
}
# From the ground up; a room that is not named here is a face.
FLOORS = (
    ("errors", "settings"),
    ("work",),
    ("bracket", "pixels"),
    ("report",),
    ("io",),
    ("exposure",),
    ("deghost",),
    ("nn",),
    ("align",),
    ("methods",),
    ("tone",),
    ("options",),
    ("pipeline",),
)
FACES, RESEARCH = len(FLOORS), len(FLOORS) + 1
MODULE_LINES, FUNCTION_LINES, LONG_LINES, LONG_FUNCTIONS = 500, 80, 50, 12


def floor_of(module: str) -> int:
    room = module.partition(".")[0]
    if room == "research":
        return RESEARCH
    return next((n for n, rooms in enumerate(FLOORS) if room in rooms), FACES)


def imports_of(module: str) -> Iterator[str]:
    """Modules of the package that one imports, anywhere in it."""
    path = FILES[module]
    place = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = place[: len(place) - node.level + 1] + (node.module or "").split(".")
            name = ".".join(part for part in base if part)
            for alias in node.names:
                whole = f"{name}.{alias.name}".strip(".")
                yield from [known] if (known := whole if whole in FILES else name) else []
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ghostless."):
            yield str(node.module).removeprefix("ghostless.")


def functions() -> dict[str, int]:
    """Lines of every function, by module and name."""
    return {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    }


@pytest.mark.parametrize("module", FILES)
def test_nobody_imports_from_above(module: str) -> None:
    above = {
        other
        for other in imports_of(module)
        if floor_of(other) > floor_of(module)
        and not (module.startswith("cli.") and other.startswith("research.commands"))
    }
    assert not above


def test_no_module_is_several_rooms() -> None:
    lines = {m: len(path.read_text(encoding="utf-8").splitlines()) for m, path in FILES.items()}
    assert {m: n for m, n in lines.items() if n > MODULE_LINES} == {}


def test_functions_can_be_seen_in_one_look() -> None:
    lines = functions()
    assert {f: n for f, n in lines.items() if n > FUNCTION_LINES} == {}
    long = sorted(f for f, n in lines.items() if n > LONG_LINES)
    assert len(long) <= LONG_FUNCTIONS, long
