"""What `ghostless batch` does: find brackets, fuse them, tell of them; once, or on and on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..batch.consistent import consistent_options
from ..batch.journal import Stamp, stamp_of
from ..batch.naming import Naming
from ..batch.photos import Folder, Known, Look, scan_folder
from ..batch.plan import Plan, check_plan_file, make_plan, read_plan, write_plan
from ..batch.run import Done, Ran, RunSettings, Step, check_folders, run_plan
from ..batch.segments import GroupSettings
from ..batch.sheet import SHEET_NAME, write_sheet
from ..batch.summary import Summary, account
from ..batch.thumbnails import Thumbnails
from ..batch.watch import complete_sets
from ..errors import BracketError, OptionError, OutputError
from ..io.encode import FORMAT_BY_SUFFIX
from ..io.write import WriteSettings, check_output, write_text
from ..options import FuseOptions
from .rerun import command_again
from .show import Bars, print_json
from .steps import Steps, say


@dataclass(frozen=True)
class Asked:
    """What a batch was asked for. again: the words that 'ghostless fuse' would take."""

    folder: Path
    out: Path | None
    plan: Path | None
    size: int | None
    pairs: str
    naming: Naming
    consistent: bool
    watch: bool
    options: FuseOptions
    settings: RunSettings
    report: Path | None
    again: tuple[str, ...]
    quiet: bool
    as_json: bool

    @property
    def planning(self) -> bool:
        """Whether the plan is to be written, rather than followed."""
        return self.plan is not None and not self.plan.exists()


def suffix_of(format: str) -> str:
    """The suffix of a format's name; raises OptionError for an unknown one."""
    suffix = f".{format.lower().removeprefix('.')}"
    if suffix not in FORMAT_BY_SUFFIX:
        known = [name.removeprefix(".") for name in FORMAT_BY_SUFFIX]
        raise OptionError(f"--format: expected one of {', '.join(known)}, found {format!r}")
    return suffix


def whole_folder(asked: Asked) -> Summary:
    """Do what was asked for, and tell of it; a plan that is only written is an empty summary."""
    start = time.monotonic()
    _check(asked)
    say(f"looking at the photos in {asked.folder}", asked.quiet)
    if asked.watch:
        return _watch(asked, start)
    shoot, todo = _find_brackets(asked)
    if asked.plan is not None and asked.planning:
        write_plan(todo, shoot, asked.plan)
        _tell_plan(todo, asked.plan, asked)
        return Summary(str(asked.folder), "", (), (), time.monotonic() - start)
    assert asked.out is not None
    used = sum(len(bracket.files) for bracket in todo.brackets)
    say(f"found {len(todo.brackets)} brackets of {used} photos", asked.quiet)
    done, own = _run(asked, shoot, todo)
    notes = (*done.notes, *_sheet(asked, shoot, done.brackets, own))
    summary = _summary(asked, todo, done.brackets, notes, start)
    _tell(summary, asked)
    if not todo.brackets:
        raise BracketError(
            f"{asked.folder}: expected brackets, found none among {len(shoot.photos)} photos; "
            "say how many photos each has (--size), or group them yourself (--plan)"
        )
    return summary


def _check(asked: Asked) -> None:
    """Raise, before any photo is read, what would keep plan, results or report from being there."""
    plan, out = asked.plan, asked.out
    if asked.watch:
        _check_watching(asked)
    if plan is not None and asked.planning:
        check_plan_file(plan)
    if plan is not None and not asked.planning and asked.size is not None:
        raise OptionError(
            f"--size: expected it for finding brackets, found {plan}, which says who belongs to "
            "whom; leave one of both out"
        )
    if out is None and not asked.planning:
        raise OptionError(
            "expected --out DIR for the results, found none; give one, or --plan FILE.csv to "
            "see the brackets first"
        )
    if out is not None:
        check_folders(asked.folder, out)
    if asked.report is not None:
        check_output(asked.report, WriteSettings(overwrite=True), suffixes=(".json",))


def _check_watching(asked: Asked) -> None:
    for written, given, why in (
        ("--plan", asked.plan is not None, "a folder whose photos are all there"),
        ("--consistent", asked.consistent, "all sets to be there, which it compares"),
        ("--cluster", asked.settings.cluster is not None, "a folder whose photos are all there"),
    ):
        if given:
            raise OptionError(
                f"{written}: expected {why}, found --watch; leave it out, and run the command "
                "without --watch when the last photo is taken"
            )


# --- once ----------------------------------------------------------------------------------------


def _find_brackets(asked: Asked) -> tuple[Folder, Plan]:
    """The photos of a folder and who belongs to whom: as the plan says, or else found out."""
    with Bars(asked.quiet) as bars:
        shoot = _scan(asked, bars)
        if asked.plan is not None and not asked.planning:
            return shoot, read_plan(asked.plan, shoot, asked.naming)
        return shoot, _grouped(asked, shoot, bars)


def _scan(asked: Asked, bars: Bars, known: dict[Known, Look] | None = None) -> Folder:
    return scan_folder(
        asked.folder,
        prefer=cast(Any, asked.pairs),
        read=asked.options.read,
        skip=asked.out,
        known=known,
        progress=_stage(bars, "read"),
    )


def _grouped(asked: Asked, shoot: Folder, bars: Bars) -> Plan:
    return make_plan(
        shoot,
        GroupSettings(size=asked.size),
        asked.naming,
        read=asked.options.read,
        progress=_stage(bars, "compare"),
    )


def _run(asked: Asked, shoot: Folder, todo: Plan) -> tuple[Ran, Mapping[int, FuseOptions]]:
    """Fuse what there is to fuse; also returns the options of brackets that have their own."""
    assert asked.out is not None
    own: Mapping[int, FuseOptions] = {}
    if asked.consistent and todo.brackets:
        with Bars(asked.quiet) as bars:
            own = consistent_options(
                todo, shoot, asked.out, asked.options, progress=_stage(bars, "measure")
            )
    with Steps(asked.quiet, len(todo.brackets)) as steps:
        ran = run_plan(
            todo, shoot, asked.out, asked.options, asked.settings, options_of=own, progress=steps
        )
    return ran, own


def _stage(bars: Bars, name: str) -> Any:
    return lambda share: bars(name, share)


def _sheet(
    asked: Asked,
    shoot: Folder,
    brackets: Iterable[Done],
    own: Mapping[int, FuseOptions],
    thumbnails: Thumbnails | None = None,
) -> tuple[str, ...]:
    """Write the contact sheet; where it cannot be written, a note says so."""
    assert asked.out is not None
    done = tuple(brackets)
    if not done:
        return ()
    commands = {
        each.planned.number: command_again(
            [shoot.root / name for name in each.planned.files],
            asked.out / each.planned.output,
            asked.again,
            asked.options,
            own.get(each.planned.number, asked.options),
        )
        for each in done
    }
    try:
        write_sheet(done, shoot, asked.out, commands, thumbnails)
    except OutputError as error:
        return (str(error),)
    return ()


# --- on and on -----------------------------------------------------------------------------------


class _Night:
    """What became of each bracket while a folder is watched.

    A bracket that failed is not tried again until one of its files has changed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ended: dict[str, tuple[list[Stamp | None], Done]] = {}
        self.notes: dict[str, None] = {}
        self.shoot = Folder(root)
        self.plan = Plan(())

    def still_to_do(self, plan: Plan) -> Plan:
        """The part of a plan that is new or has changed."""
        return replace(
            plan,
            brackets=tuple(
                bracket
                for bracket in plan.brackets
                if self._ended.get(bracket.output, ([], None))[0] != self._stamps(bracket.files)
            ),
        )

    def take(self, step: Step) -> None:
        """Learn of a bracket that has ended."""
        done = step.last
        self._ended[done.planned.output] = self._stamps(done.planned.files), done

    def brackets(self) -> tuple[Done, ...]:
        """All that have ended, as they stand in the plan now."""
        return tuple(
            replace(self._ended[bracket.output][1], planned=bracket)
            for bracket in self.plan.brackets
            if bracket.output in self._ended
        )

    def _stamps(self, files: Iterable[str]) -> list[Stamp | None]:
        return [stamp_of(self._root / name) for name in files]


def _watch(asked: Asked, start: float) -> Summary:
    """Fuse sets as they are complete, until somebody interrupts; then tell of all."""
    assert asked.out is not None
    night, thumbnails = _Night(asked.folder), Thumbnails()
    known: dict[Known, Look] = {}
    sets = complete_sets(
        asked.folder,
        lambda: _scan(asked, Bars(quiet=True), known),
        lambda shoot: _grouped(asked, shoot, Bars(quiet=True)),
        skip=asked.out,
    )
    if not asked.quiet:
        print("waiting for photos; Ctrl-C ends it", file=sys.stderr, flush=True)
    try:
        for night.shoot, night.plan in sets:
            todo = night.still_to_do(night.plan)
            if todo.brackets:
                _run_round(asked, night, todo, thumbnails)
    except KeyboardInterrupt:
        say("", asked.quiet)  # below the ^C
    done = night.brackets()
    ended = {each.planned for each in done}
    open_ = {
        name: ("left out", "its set was not fused yet when the watch ended")
        for bracket in night.plan.brackets
        if bracket not in ended
        for name in bracket.files
    }
    plan = Plan(tuple(each.planned for each in done), {**night.plan.rest, **cast(Any, open_)})
    summary = _summary(asked, plan, done, tuple(night.notes), start)
    _tell(summary, asked)
    return summary


def _run_round(asked: Asked, night: _Night, todo: Plan, thumbnails: Thumbnails) -> None:
    assert asked.out is not None
    with Steps(asked.quiet, len(todo.brackets)) as steps:

        def progress(step: Step) -> None:
            night.take(step)
            steps(step)

        ran = run_plan(
            todo, night.shoot, asked.out, asked.options, asked.settings, progress=progress
        )
    notes = (*ran.notes, *_sheet(asked, night.shoot, night.brackets(), {}, thumbnails))
    night.notes.update(dict.fromkeys(notes))


# --- telling -------------------------------------------------------------------------------------


def _summary(
    asked: Asked, plan: Plan, done: tuple[Done, ...], notes: tuple[str, ...], start: float
) -> Summary:
    took = time.monotonic() - start
    return Summary(str(asked.folder), str(asked.out), done, account(plan, done), took, tuple(notes))


def _tell_plan(todo: Plan, path: Path, asked: Asked) -> None:
    if asked.as_json:
        print_json(
            {
                "plan": str(path),
                "brackets": [
                    {"number": b.number, "output": b.output, "files": list(b.files), "note": b.note}
                    for b in todo.brackets
                ],
                "rest": {name: list(value) for name, value in todo.rest.items()},
            }
        )
    elif not asked.quiet:
        used = sum(len(bracket.files) for bracket in todo.brackets)
        print(
            f"{path}: {len(todo.brackets)} brackets of {used} photos, {len(todo.rest)} other "
            "files; check it, change groups if need be, then give it with --plan and --out"
        )


def _tell(summary: Summary, asked: Asked) -> None:
    if asked.report is not None:
        text = json.dumps(summary.as_dict(), indent=2) + "\n"
        write_text(text, asked.report, WriteSettings(overwrite=True))
    if asked.as_json:
        print_json(summary.as_dict())
    elif not asked.quiet:
        print(summary.as_text())
        if asked.out is not None and (sheet := asked.out / SHEET_NAME).is_file():
            print(f"contact sheet: {sheet}")
