"""`python -m ghostless.research.train METHOD --data FOLDER -o RUN`, where little but torch is.

Also --finish-only, which makes usable weights of a run that was cut short.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...errors import GhostlessError
from .command import RECIPES, TrainOptions, prepare, train


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("ghostless.research.train", description="Train a network.")
    add = made.add_argument
    add("method", choices=RECIPES)
    add("--data", type=Path, help="folder that 'ghostless data pack' wrote, or of brackets")
    add("-o", "--out", type=Path, required=True, help="the run's folder")
    add("--recipe", dest="preset", default="default", help="paper, program or default")
    add("--stage", help="only one phase of a method that has several")
    add("--steps", type=int)
    add("--batch", type=int)
    add("--patch", type=int, help="side in pixels")
    add("--minutes", type=float, help="stop cleanly after these; go on with --resume")
    add("--device", default="auto")
    add("--devices", type=int, default=1, help="how many, on this machine")
    add("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    add("--seed", type=int, default=0)
    add("--resume", action="store_true")
    add("--start", help="weights to start from: a file, or 'shipped'")
    add("--compile", action=argparse.BooleanOptionalAction)
    add("--channels-last", action=argparse.BooleanOptionalAction)
    add("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    add("--finish", action=argparse.BooleanOptionalAction, default=True)
    add("--finish-only", action="store_true", help="train no further, write the weights")
    add("--ship", action="store_true", help="copy weights into the package")
    add("--threads", type=int, help="of the CPU")
    add("--quiet", action="store_true")
    return made


def main(words: list[str] | None = None) -> int:
    found = vars(parser().parse_args(words))
    method, data, out = found.pop("method"), found.pop("data"), found.pop("out")
    threads, finish_only = found.pop("threads"), found.pop("finish_only")
    options = TrainOptions(**{**found, "changes": tuple(found["changes"])})
    try:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        if finish_only:
            from .export import finish, ship

            written = finish(out, prepare(method, options)[1])
            written = ship(written) if options.ship else written
        elif data is None:
            raise GhostlessError("data: expected a folder after --data, found none")
        else:
            written = train(method, data, out, options)
        for path in written:
            print(path)
    except GhostlessError as error:
        print(f"ghostless.research.train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
