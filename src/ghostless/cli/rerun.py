"""The command that does one thing of many again."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .told import is_given

if TYPE_CHECKING:
    import typer

    from ..options import FuseOptions

# What of 'ghostless batch' means nothing to 'ghostless fuse', or is said otherwise.
_OF_FOLDERS: Final = frozenset(
    (
        *("folder", "out", "plan", "size", "pairs", "format", "name", "consistent", "watch"),
        *("jobs", "memory_gb", "cluster", "overwrite", "report", "quiet", "as_json"),
    )
)


def words_again(ctx: typer.Context) -> list[str]:
    """The options that were given to a batch, as 'ghostless fuse' takes them."""
    found: list[str] = []
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in _OF_FOLDERS and is_given(ctx, name):
            found += _words_of(parameter, ctx.params[name])
    return found


def _words_of(parameter: Any, value: Any) -> list[str]:
    flag = parameter.opts[0]
    if isinstance(value, bool):
        return [flag if value else (parameter.secondary_opts or [flag])[0]]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for each in values for word in (flag, _absolute(each))]


def _absolute(value: Any) -> str:
    """A file's whole path, for the command may be given in another folder."""
    text = str(value)
    name, equals, path = text.partition("=")
    if equals and _is_path(path):  # a setting's, such as weights=mine.safetensors
        return f"{name}={os.path.abspath(path)}"
    return os.path.abspath(text) if isinstance(value, Path) or _is_path(text) else text


def _is_path(text: str) -> bool:
    """Whether a word names a file that is there: a preset or a method may have a file's name."""
    return (os.sep in text or bool(os.path.splitext(text)[1])) and os.path.exists(text)


def command_again(
    files: Sequence[Path], out: Path, words: Sequence[str], common: FuseOptions, own: FuseOptions
) -> str:
    """One line for a shell that fuses a bracket alone as a batch has done.

    words: `words_again`. common: the options of all brackets; own: those of this one.
    """
    line = [*_program(), "fuse", *map(os.path.realpath, files), "-o", os.path.abspath(out)]
    line += ["--overwrite", *words]
    if own.reference is not None and own.reference != common.reference:
        line += ["--reference", str(own.reference)]
    if own.gains is not None and own.gains != common.gains:
        line += ["--set", f"gains={_numbers(own.gains)}"]
    balance = own.read.white_balance
    if balance is not None and balance != common.read.white_balance:
        line += ["--set", f"read.white_balance={_numbers(balance)}"]
    if os.name == "nt":
        return subprocess.list2cmdline(line)
    return " ".join(_quoted(word) for word in line)


def _program() -> list[str]:
    """The command's name; where a shell does not find it, this Python and the module's."""
    known = shutil.which("ghostless") is not None
    return ["ghostless"] if known else [sys.executable, "-m", "ghostless"]


def _quoted(word: str) -> str:
    """A word for a shell; bytes that are no text and control characters can be copied too."""
    if word.isprintable() or not word:
        return shlex.quote(word)
    # What is none of them stays as it can be read.
    raw = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{raw}'"


def _numbers(values: Sequence[float]) -> str:
    return ",".join(repr(float(value)) for value in values)
