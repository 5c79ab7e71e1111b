"""What a paper prints of scenes that are not at hand, beside what ours come to on others.

Such figures cannot be compared themselves, only how far a method is above a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .results import Results


@dataclass(frozen=True)
class Printed:
    """Figures of the headline metric as a paper prints them.

    paper: whose. groups: what each group of scenes is, in words. scores: by method and group.
    weakest: the method among them that the others' margins are told over. baseline: the contender
    that ours are told over, as it is written.
    """

    paper: str
    groups: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]
    weakest: str
    baseline: str


def printed_lines(results: Results) -> list[str]:
    """A Markdown table of ours and the printed figures with their margins; none without."""
    printed = _printed(results)
    rows = _rows(results)
    if printed is None or not rows:
        return []
    head = ["method", *printed.groups.values()]
    lines = ["", f"## Beside what {printed.paper} prints: {results.about['headline']}", ""]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return [*lines, "", _warning(printed)]


def printed_html(results: Results) -> str:
    """The same for the page."""
    printed = _printed(results)
    rows = _rows(results)
    if printed is None or not rows:
        return ""
    heads = "".join(f"<th scope=col>{escape(text)}</th>" for text in printed.groups.values())
    body = "".join(
        f"<tr><th scope=row>{escape(name)}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f"<h2>Beside what {escape(printed.paper)} prints</h2>"
        f"<p class=soft>{escape(_warning(printed))}</p><div class=scroll tabindex=0><table>"
        f"<thead><tr><th scope=col>method</th>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _printed(results: Results) -> Printed | None:
    from .suites import SUITES

    suite = SUITES.get(str(results.about["suite"]))
    return None if suite is None else suite.printed


def _warning(printed: Printed) -> str:
    return (
        f"The scenes differ: {printed.paper} has its own, and its figures were not measured here. "
        f"In brackets how far each is above {printed.baseline!r}, and of those printed above "
        f"{printed.weakest}, which is no plain merge but aligns by itself: margins in one half of "
        "the table are not those of the other."
    )


def _rows(results: Results) -> list[list[str]]:
    """Name, then score and margin in each group: ours best first, then those printed."""
    printed = _printed(results)
    if printed is None:
        return []
    headline = str(results.about["headline"])
    ours: dict[str, dict[str, float]] = {}
    for table in results.tables:
        for (label, metric), mean in table.means.items():
            if metric == headline and table.group:
                ours.setdefault(label, {})[table.group] = mean.value
    best_first = sorted(ours.items(), key=lambda item: -sum(item[1].values()))
    theirs = {f"{name}, printed": values for name, values in printed.scores.items()}
    return [
        *_with_margins(dict(best_first), ours.get(printed.baseline, {}), printed),
        *_with_margins(theirs, printed.scores[printed.weakest], printed),
    ]


def _with_margins(
    scores: Mapping[str, Mapping[str, float]], least: Mapping[str, float], printed: Printed
) -> list[list[str]]:
    def cell(values: Mapping[str, float], group: str) -> str:
        if group not in values:
            return "-"
        own = f"{values[group]:.1f}"
        return f"{own} ({values[group] - least[group]:+.1f})" if group in least else own

    return [
        [name, *(cell(values, group) for group in printed.groups)]
        for name, values in scores.items()
    ]
