"""The report of a run: one HTML page, Markdown and CSV, rebuilt at any time from its folder.

The page holds everything itself (style, script, plots, small pictures) and asks for nothing over
the network. Zooming in loads the full pictures that lie beside it, where they still do.
"""

from __future__ import annotations

import csv
import io
from html import escape
from importlib.resources import files
from pathlib import Path

from ...io.write import write_text
from ..metrics.table import METRICS
from .pictures import scene_pictures
from .plots import Box, Point, box_plot, time_plot
from .printed import printed_html, printed_lines
from .results import Results, Row, Table, higher_is_better, is_comparable
from .speed_results import SpeedRow
from .writing import OVERWRITE, number_in_words

_PROTOCOLS = {
    "lossless": "results scored as they are",
    "as-published": "results of JPEG photos saved as JPEG 75 before scoring, as MEFB did",
}
_KINDS = {
    "method": "ours",
    "imported": "authors' weights",
    "outside": "outside",
    "published": "published",
}


def write_report(results: Results, pictures: bool = True) -> tuple[Path, ...]:
    """Write report.html, report.md, scores.csv and means.csv into the folder of the results.

    pictures: whether the page shows them. Returns the files written. Raises OutputError where
    the folder cannot be written to.
    """
    texts = {
        "report.html": html_page(results, pictures),
        "report.md": markdown(results),
        "scores.csv": scores_csv(results),
        "means.csv": means_csv(results),
    }
    for name, text in texts.items():
        write_text(text, results.folder / name, OVERWRITE)
    return tuple(results.folder / name for name in texts)


# ---- text ----


def markdown(results: Results) -> str:
    """Tables of means in Markdown: the best bold, ranks, intervals of the headline."""
    about = results.about
    lines = [
        f"# {about['suite']}: {about['summary']}",
        "",
        *(f"- {fact}" for fact in facts(results)),
    ]
    for table in results.tables:
        lines += ["", f"## {_heading(table)}", ""]
        header = ["method", "kind", "mean rank", *map(_arrow, table.metrics)]
        lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        for row in table.by_rank:
            cells = [row.label, _KINDS[row.kind], _number(table.mean_ranks.get(row.label), 2)]
            for metric in table.metrics:
                mean = table.means.get((row.label, metric))
                cell = "-" if mean is None else number_in_words(mean.value)
                if mean is not None and metric == about["headline"]:
                    cell += f" ({number_in_words(mean.low)} to {number_in_words(mean.high)})"
                best = mean is not None and mean.rank == 1 and is_comparable(metric)
                cells.append(f"**{cell}**" if best else cell)
            lines.append("| " + " | ".join(cells) + " |")
    lines += printed_lines(results)
    lines += [
        "",
        "## Cost",
        "",
        f"{_where_timed(results)}",
        "",
        "| method | seconds per megapixel | peak MB in this run |",
        "|---|---|---|",
    ]
    for row in results.tables[0].by_rank:
        seconds = results.seconds_per_megapixel(row)
        if seconds is not None:
            lines.append(f"| {row.label} | {seconds:.3g} | {row.peak_bytes / 1e6:.0f} |")
    if results.speeds:
        header = [*_SPEED_HEADS]
        lines += ["", "## Speed", "", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
        lines += [f"| {' | '.join(_speed_cells(speed))} |" for speed in results.speeds]
    problems = _problems(results)
    if problems:
        lines += ["", "## Skipped and failed", "", *(f"- {problem}" for problem in problems)]
    return "\n".join(lines) + "\n"


def facts(results: Results) -> list[str]:
    """What a reader must know of a run to believe or repeat it, a sentence each."""
    about, where = results.about, results.about["environment"]
    versions = ", ".join(f"{name} {value}" for name, value in where["versions"].items())
    still = (
        "still scenes: frames fused as they are, no alignment, no deghosting"
        if about["still"]
        else "moving scenes: the whole line; results compared with frames registered by our own "
        "aligner to its reference, which favours methods that keep that geometry"
    )
    mixed = " (results of several commits stand side by side)" if len(results.commits) > 1 else ""
    return [
        f"Data: {Path(about['data']).name}, {len(about['scenes'])} scenes, frames: "
        f"{about['frames']}; {still}.",
        "Tables hold means over the scenes that every method has; ranks are of those means; the "
        "mean rank is over the metrics that every method of a table has; intervals are 95 % of "
        f"2000 bootstrap resamples of the scenes, seed {about['seed']}.",
        f"Commit {', '.join(results.commits) or 'unknown'}{mixed}; {versions}; {where['device']}; "
        f"{where['threads']} thread in each of {where.get('workers', 1)} processes, run at the "
        "same time, so that seconds are those of a busy machine.",
        f"Began {about['began']}.",
        *(
            f"No method is ranked by {metric}: {METRICS[metric].note}."
            for metric in about["metrics"]
            if not is_comparable(metric)
        ),
    ]


def scores_csv(results: Results) -> str:
    """Every single score: protocol, scene, method, kind, metric, value, and what fusing cost."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["protocol", "scene", "method", "kind", "metric", "value", "seconds_per_megapixel"]
    )
    for table in results.tables:
        for row in table.rows:
            for scene, values in row.scores.items():
                seconds = row.seconds_per_megapixel.get(scene, "")
                for metric, value in values.items():
                    kind = _KINDS[row.kind]
                    writer.writerow(
                        [table.name, scene, row.label, kind, metric, repr(value), seconds]
                    )
    return out.getvalue()


def means_csv(results: Results) -> str:
    """Means with their intervals and ranks: one line for each protocol, method and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["protocol", "method", "kind", "metric", "mean", "low", "high", "rank"])
    for table in results.tables:
        kinds = {row.label: _KINDS[row.kind] for row in table.rows}
        for (label, metric), mean in table.means.items():
            writer.writerow(
                [table.name, label, kinds[label], metric, *map(repr, vars(mean).values())]
            )
    return out.getvalue()


_SPEED_HEADS = (
    "method",
    "quality",
    "MP",
    "seconds per MP",
    "of one core",
    "share of matrix rate",
    "peak GB",
    "device",
    "its paper",
)


def _speed_cells(speed: SpeedRow) -> list[str]:
    return [
        speed.name + (" (random weights)" if speed.random_weights else ""),
        speed.quality or "-",
        f"{speed.megapixels:g}",
        f"{speed.seconds_per_megapixel:.3g}",
        "-"
        if speed.core_seconds_per_megapixel is None
        else f"{speed.core_seconds_per_megapixel:.3g}",
        "-" if speed.share is None else f"{speed.share:.0%}",
        f"{speed.peak_bytes / 1e9:.2f}",
        speed.device,
        speed.published or "-",
    ]


def _where_timed(results: Results) -> str:
    """How the seconds of the tables came about."""
    if not results.about["still"]:
        return (
            "Of the whole line, alignment and deghosting included; medians over the scenes of this "
            "run, whose processes shared the machine."
        )
    if not results.speeds:
        return "Medians over the scenes of this run, whose processes shared the machine."
    return (
        "As 'ghostless bench speed' measured them, one at a time (networks on every pixel); for "
        "methods that it did not measure, medians over the scenes of this run."
    )


def _heading(table: Table) -> str:
    which = _PROTOCOLS.get(table.protocol, "")
    if table.frames == "two":
        which = f"darkest and brightest photo only, {which}"
    return f"{table.name}: {which} ({len(table.scenes)} scenes)"


def _problems(results: Results) -> list[str]:
    skipped = [f"{label} was skipped: {why}" for label, why in results.about["skipped"].items()]
    return skipped + [f"{label} on {scene}: {why}" for label, scene, why in results.failures]


def _arrow(metric: str) -> str:
    return f"{metric} {'↑' if higher_is_better(metric) else '↓'}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


# ---- the page ----


def html_page(results: Results, pictures: bool = True) -> str:
    """Build the whole page."""
    about = results.about
    parts = [
        f"<h1>{escape(about['suite'])}</h1><p>{escape(about['summary'])}</p>",
        "<details><summary>How this was measured</summary>",
        *(f"<p class=soft>{escape(fact)}</p>" for fact in facts(results)),
        "</details>",
    ]
    for table in results.tables:
        parts.append(f"<h2>{escape(_heading(table))}</h2>{_html_table(results, table)}")
    parts += [printed_html(results), problem_list(results)]
    if results.speeds:
        parts.append(_speed_table(results))
    for table in results.tables:
        parts.append(_plots(results, table))
    if pictures:
        parts.append(scene_pictures(results))
    return page_of(f"{about['suite']}: {about['summary']}", parts)


def page_of(title: str, parts: list[str]) -> str:
    """A page that needs no other file but the full pictures it names."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        '<link rel=icon href="data:,">'
        f"<title>{escape(title)}</title><style>{_resource('page.css')}</style></head><body><main>"
        f"{''.join(parts)}</main><script>{_resource('page.js')}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def problem_list(results: Results) -> str:
    problems = _problems(results)
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return (
        f"<details{' open' if len(problems) < 6 else ''}><summary>Skipped and failed "
        f"({len(problems)})</summary><ul>{items}</ul></details>"
    )


def _html_table(results: Results, table: Table) -> str:
    heads = "".join(
        f'<th scope=col title="{escape(METRICS[m].summary if m in METRICS else m)}">'
        f"{escape(_arrow(m))}</th>"
        for m in table.metrics
    )
    rows = []
    for row in table.by_rank:
        cells = "".join(_cell(table, row, metric) for metric in table.metrics)
        rank = _number(table.mean_ranks.get(row.label), 2)
        seconds = results.seconds_per_megapixel(row)
        speed = "-" if seconds is None else f"{seconds:.3g}"
        rows.append(
            f'<tr><th scope=row><span class="{row.kind}">{escape(row.label)}</span>'
            f'<span class="tag {row.kind}">{_KINDS[row.kind]}</span></th>'
            f"<td>{rank}</td><td>{speed}</td>{cells}</tr>"
        )
    return (
        "<p class=soft>↑ more is better, ↓ less is better; best value marked green and bold, "
        "second best lightly; the raised figure is the rank; under each mean its 95 % interval. "
        f"Mean rank over {len(table.ranked_metrics)} of {len(table.metrics)} metrics.</p>"
        "<div class=scroll tabindex=0><table><thead><tr><th scope=col>method</th>"
        "<th scope=col>mean rank</th><th scope=col>s per MP</th>"
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(table: Table, row: Row, metric: str) -> str:
    mean = table.means.get((row.label, metric))
    if mean is None:
        return "<td>-</td>"
    kind = rank = ""
    if is_comparable(metric):
        kind = ' class="best"' if mean.rank < 2 else ' class="second"' if mean.rank < 3 else ""
        rank = f"<sup>{mean.rank:g}</sup>"
    return (
        f"<td{kind}>{number_in_words(mean.value)}{rank}"
        f"<small>{number_in_words(mean.low)} – {number_in_words(mean.high)}</small></td>"
    )


def _speed_table(results: Results) -> str:
    heads = "".join(f"<th scope=col>{escape(head)}</th>" for head in _SPEED_HEADS)
    rows = []
    for speed in results.speeds:
        name, *cells = (escape(cell) for cell in _speed_cells(speed))
        inside = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr><th scope=row>{name}</th>{inside}</tr>")
    return (
        "<h2>Speed</h2><p class=soft>Each alone on the machine, in turn, medians. Networks: full "
        "is on every pixel, fast as large photos are fused; the share is of a large matrix "
        "product's rate.</p>"
        f"<div class=scroll tabindex=0><table class=speed><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _plots(results: Results, table: Table) -> str:
    headline = results.about["headline"]
    parts = [f"<h2>Plots, {escape(table.name)}</h2>"]
    points = [
        Point(
            row.label,
            row.kind,
            max(seconds, 1e-4),
            table.means[row.label, headline].value,
            table.means[row.label, headline].low,
            table.means[row.label, headline].high,
        )
        for row in table.by_rank
        if (seconds := results.seconds_per_megapixel(row)) is not None
        and (row.label, headline) in table.means
    ]
    if points:
        title = f"{headline} against seconds per megapixel"
        parts.append(f"<div class=card><h3>{escape(title)}</h3>")
        parts.append(f"{time_plot(title, headline, points)}")
        parts.append(f"<small>{escape(_where_timed(results))}</small></div>")
    boxes = []
    for metric in table.metrics:
        rows = [
            Box(
                row.label,
                row.kind,
                [row.scores[s][metric] for s in table.scenes if metric in row.scores.get(s, {})],
            )
            for row in table.by_rank
            if (row.label, metric) in table.means
        ]
        summary = METRICS[metric].summary if metric in METRICS else metric
        boxes.append(
            f"<div class=card><h3>{escape(_arrow(metric))}</h3><small>{escape(summary)}</small>"
            f"{box_plot(metric, rows)}</div>"
        )
    parts.append(
        "<details><summary>Every metric, a box for each method: quarters over scenes, whiskers at "
        f"5 and 95 %</summary><div class=plots>{''.join(boxes)}</div></details>"
    )
    return "".join(parts)
