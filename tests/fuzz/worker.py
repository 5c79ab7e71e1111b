"""One process that tries damaged files: told of ranges of cases, it tells of each what came of it.

A case is known by its number: the file, the damage and what is tried follow from it. Files that
were kept are tried again with `python -m tests.fuzz.worker --files FILE ...`.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from ghostless.errors import GhostlessError
from ghostless.work.memory import forget_peak, peak_resident_bytes, resident_bytes

from .damage import damaged
from .targets import Wrong, target_of

# Of memory that one small file may take, above what the process held before.
MEMORY_BYTES = 400_000_000
# Of address space: a file that asks for more gets none, and that is a find too.
ADDRESS_BYTES = 12_000_000_000


def prepare(number: int, whole: Path) -> tuple[str, bytes, random.Random]:
    """The name and bytes of a case's file, and the dice for what is done with it."""
    dice = random.Random(number)
    names = sorted(path.name for path in whole.iterdir() if path.is_file())
    name = names[number % len(names)]
    return name, damaged(name, (whole / name).read_bytes(), dice), dice


def attempt(name: str, data: bytes, dice: random.Random, scratch: Path) -> tuple[str, str]:
    """Try one case. Returns "fine", "refused" or "find", and one line."""
    folder = scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / name
    path.write_bytes(data)
    files = len(os.listdir("/proc/self/fd"))
    temporary = set(os.listdir(tempfile.gettempdir()))
    forget_peak()
    before = resident_bytes()
    result = "fine", ""
    try:
        target_of(name)(path, dice)
    except GhostlessError as error:
        result = "refused", str(error)
        if "\n" in str(error):
            result = "find", f"an error of several lines: {error!r}"
        if "fits in memory" in str(error):
            result = "find", f"asked for more than {ADDRESS_BYTES / 1e9:g} GB: {error}"
    except Wrong as error:
        result = "find", f"wrong: {error}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        result = "find", f"{type(error).__name__} in {where}: {error}"
    grown = peak_resident_bytes() - before
    if grown > MEMORY_BYTES:
        result = "find", f"took {grown / 1e6:.0f} MB"
    elif len(os.listdir("/proc/self/fd")) > files + 2:
        result = "find", "left files open"
    elif left := set(os.listdir(tempfile.gettempdir())) - temporary:
        result = "find", f"left {', '.join(sorted(left)[:3])} in the temporary folder"
    return result[0], " ".join(result[1].split())[:300]


def main() -> None:
    """Take lines "first last" from standard input until it ends, or try files that were kept."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    except (ImportError, ValueError, OSError):
        pass
    if sys.argv[1] == "--files":
        _try_again([Path(word) for word in sys.argv[2:]])
        return
    whole, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    # What takes seconds to import must not count as a case's time.
    with suppress(ImportError):
        importlib.import_module("tests.train.test_engine")
    # Whatever prints must not talk into the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        first, last = (int(word) for word in line.split())
        for number in range(first, last):
            print(json.dumps(["begin", number]), file=answers)
            case = prepare(number, whole)
            print(json.dumps([*attempt(*case, scratch), number]), file=answers)
        print(json.dumps(["idle"]), file=answers)


def _try_again(files: list[Path]) -> None:
    """Try files named as finds are kept, NUMBER-NAME."""
    for file in files:
        number, _, name = file.name.partition("-")
        with tempfile.TemporaryDirectory() as scratch:
            print(file, *attempt(name, file.read_bytes(), random.Random(number), Path(scratch)))


if __name__ == "__main__":
    main()
