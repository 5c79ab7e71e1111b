"""One paper's experiments, from folders of data to a page: paper.md, paper.csv and paper.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ....errors import FileReadError, unknown_name
from ....methods import METHODS
from ....nn.settings import needs_torch_extra
from ..writing import make_results_folder, write_result
from .place import PaperSettings, Place
from .printed import PrintedTable, tables_of
from .result import FoundTable, PaperResult

Progress = Callable[[str, float], None]
Work = Callable[[PrintedTable, Place], FoundTable]


def _works() -> Mapping[str, Work]:
    """What works out each kind of table."""
    from . import attention, compare, motion, pairs, training

    return {
        "comparison": compare.compare,
        "scenes": compare.compare_scenes,
        "runtime": compare.time_methods,
        "ablation": training.ablate,
        "inputs": pairs.more_inputs,
        "pairs": pairs.any_two,
        "unaligned": pairs.unaligned,
        "corners": motion.corners_of_known_motion,
        "bitmaps": motion.bitmaps_of_brackets,
        "attention": attention.suppression,
        "with_and_without": attention.with_and_without,
        "losses": training.losses_of_outputs,
        "sides": training.outputs_of_scales,
    }


def run(
    paper: str,
    out: Path,
    settings: PaperSettings | None = None,
    tables: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> PaperResult:
    """Work out tables of a paper and write the page.

    tables: ids of those wanted; None for all that the data allow, the others being named with what
        they want. What is there is not done again.
    Raises OptionError for unknown names, FileReadError where a table that was asked for by its id
    lacks its data, and what the experiments raise.
    """
    printed = tables_of(paper)
    known = [table.id for table in printed]
    for name in tables or ():
        if name not in known:
            raise unknown_name(f"table of {paper}", name, known)
    wanted = [table for table in printed if tables is None or table.id in tables]
    with needs_torch_extra(f"bench paper {paper}"):
        works = _works()
    make_results_folder(out)
    place = Place(paper, out, settings or PaperSettings())
    found = []
    for number, table in enumerate(wanted):
        if progress is not None:
            progress(f"{table.source}", number / len(wanted))
        try:
            place.folder(table)
        except FileReadError as error:
            if tables is not None:
                raise FileReadError(f"table {table.id} of {paper}: {error}") from None
            found.append(FoundTable(table, missing=str(error)))
            continue
        found.append(works[table.kind](table, place))
    if progress is not None:
        progress("done", 1.0)
    result = PaperResult(paper, METHODS[paper].paper, tuple(found))
    write_result(result, out / "paper")
    return result
