"""Whoever takes or gives arrays tells their shapes where a reader looks: in the docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ghostless

SRC = Path(ghostless.__file__).parent
_ARRAYS = re.compile(r"NDArray|Tensor|\bArray\b|\bPlane\b|\bMask\b|\bImage\b")
# (B, 3, H, W), (rows, W, 3), (..., 3), (n,)
_PART = r"(?:[\w.*+/ ^\[\]-]+|\.\.\.)"
_SHAPE = re.compile(
    rf"\({_PART}(?:, ?{_PART})+\)|\({_PART},\)|\bshapes?\b|\bscalar\b", re.IGNORECASE
)
LEAST_SHARE = 0.85


def public_functions(node: ast.AST, told_by_class: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, annotations and docstring of every public function; `forward` has its class's too."""
    for inner in getattr(node, "body", ()):
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from public_functions(inner, ast.get_docstring(inner) or "")
        elif isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
            hints = [a.annotation for a in (*inner.args.args, *inner.args.kwonlyargs)]
            text = " ".join(ast.unparse(hint) for hint in (*hints, inner.returns) if hint)
            told = ast.get_docstring(inner) or ""
            yield inner.name, text, told + (told_by_class if inner.name == "forward" else "")


def test_shapes_stand_in_docstrings() -> None:
    told, untold = 0, []
    for path in sorted(SRC.rglob("*.py")):
        for name, hints, docstring in public_functions(ast.parse(path.read_text("utf-8"))):
            if not _ARRAYS.search(hints):
                continue
            if _SHAPE.search(docstring):
                told += 1
            else:
                untold.append(f"{path.relative_to(SRC)}: {name}")
    assert told / (told + len(untold)) >= LEAST_SHARE, "\n".join(untold)


def test_what_counts_as_a_shape() -> None:
    for text in ("pixels: (H, W, 3)", "(B, 2 C, H/2, W/2) to", "(..., 3)", "of (n,)", "any shape"):
        assert _SHAPE.search(text), text
    for text in ("(see there)", "0..1, sRGB curve", "dark, middle and bright (in this order)"):
        assert not _SHAPE.search(text), text
