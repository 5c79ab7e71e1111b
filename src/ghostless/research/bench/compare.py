"""One bracket by many methods: a page with their pictures side by side, scores under each.

The benchmark on a single scene, whose report is nothing but the viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from ...io.write import write_text
from ...methods import METHODS
from ..data.scenes import Scene
from .contenders import parse_contenders
from .pictures import scene_pictures
from .report import page_of, problem_list
from .results import Results, load_results
from .run import BenchSettings, run
from .suites import SUITES
from .writing import OVERWRITE

# What any bracket can be scored by, where things may have moved and where not.
_METRICS = {False: ("MEF_SSIMd", "Crushed", "Blown"), True: ("MEF_SSIM", "Crushed", "Blown")}
_PEERS = ("enfuse", "opencv-mertens")
PAGE = "compare.html"


def compare(
    files: Sequence[Path],
    out: Path,
    methods: str = "use",
    settings: BenchSettings | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> Results:
    """Fuse a bracket by many methods into a folder, score the results and write its page.

    methods: names with commas as of `contenders.parse_contenders`, or "use" for those that
        photographs are for, or "all", each with the peers that are installed.
    settings: `still` says that nothing moved, not even the camera: frames are fused as they are,
        which is then what the scores suppose too.
    Raises what `run` raises. A method that cannot run here, or fails, is told of in the results.
    """
    settings = settings or BenchSettings()
    still = bool(settings.still)
    first = files[0].absolute()
    scene = Scene(first.stem, tuple(files))
    metrics = settings.metrics or _METRICS[still]
    suite = replace(
        SUITES["folder"],
        summary="one bracket by many methods",
        read=lambda folder: (scene,),
        metrics=metrics,
        headline=metrics[0],
    )
    chosen = replace(settings, still=still, metrics=metrics)
    run(suite, wanted(methods), out, first.parent, chosen, progress=progress)
    results = load_results(out)
    write_text(_page(results, first.stem, metrics), out / PAGE, OVERWRITE)
    return results


def wanted(methods: str) -> str:
    """What "use" and "all" stand for, as names with commas; other words as they are.

    Of these, what cannot run here is left out without a word.
    """
    if methods not in ("use", "all"):
        return methods
    names = [name for name, method in METHODS.items() if methods in ("all", method.group)]
    contenders = parse_contenders(",".join([*names, *_PEERS]))
    return ",".join(each.label for each in contenders if each.missing() is None)


def _page(results: Results, name: str, metrics: tuple[str, ...]) -> str:
    about = results.about
    how = "frames as they are" if about["still"] else "aligned, ghosts replaced"
    parts = [
        f"<h1>{escape(name)}</h1><p class=soft>{len(about['contenders'])} methods, {how}; best "
        f"first by {escape(about['headline'])}.</p>",
        scene_pictures(results, metrics),
        problem_list(results),
    ]
    return page_of(f"{name} by many methods", parts)
