"""Renew the figures on the pages of docs/ from docs/results.json, and that file from benchmarks.

    python docs/renew.py                              fill the pages from results.json
    python docs/renew.py collect mefb=DIR sice=DIR    make results.json from folders that
                                                      'ghostless bench' wrote, then fill;
                                                      --keep: other names' tables stay;
                                                      --keep A,B: and rows of these methods

A page says where figures go by comments that stand alone on a line, closed by `<!-- /... -->`:

    <!-- facts: METHOD -->                 its entry in the table of methods
    <!-- measured: METHOD -->              what the tables say about one method, and its speed
    <!-- table: NAME, PROTOCOL -->         a whole table, best mean rank first
    <!-- table: NAME, PROTOCOL: METRIC -->    the same, the best of a metric first
    <!-- duels: NAME, PROTOCOL: A, B -->   on which metrics A is better than B, and on which worse
    <!-- places: NAME, PROTOCOL -->        where ours and the outside programs stand in a long table
    <!-- speed -->                         the speeds of all methods
    <!-- ablation: METHOD -->              its paper's ablation tables
    <!-- operators -->                     the table of tone-mapping operators
    <!-- made -->                          when, where and at which commit the tables were made

What stands between the two comments is replaced. NAME is the one given to `collect`; a suite that
was run on the darkest and brightest photos too has further tables "NAME, PROTOCOL, two frames".
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results.json"
_MARK = re.compile(r"^<!-- (\w+)(?:: (.+?))? -->\n.*?^<!-- /\1 -->$", re.MULTILINE | re.DOTALL)
_SPEED_HEADS = [
    "quality",
    "megapixels",
    "seconds of one core per megapixel",
    "peak GB",
    "device",
    "its paper",
]
_SUITES = {
    "mefb": "MEFB, still pairs",
    "sice": "SICE, still scenes",
    "kalantari": "moving scenes",
    "simulated": "simulated brackets",
    "lucky": "LuckyHDR's protocol",
    "folder": "other brackets",
}
# Of tables of one suite that differ in their scenes, by the name given to `collect`.
_TITLES = {
    "plain": "simulated brackets, plain cameras",
    "real": "simulated brackets, real cameras",
    "display": "simulated brackets as pictures",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command")
    collecting = commands.add_parser("collect", help="make results.json from benchmark folders")
    collecting.add_argument("folders", nargs="+", metavar="NAME=DIR")
    collecting.add_argument(
        "--keep",
        nargs="?",
        const="",
        metavar="A,B,...",
        help="keep tables of other names, and in those of the same names rows of these methods",
    )
    given = parser.parse_args()
    if given.command == "collect":
        folders = dict(word.split("=", 1) for word in given.folders)
        found = collect(folders)
        if given.keep is not None:
            before = json.loads(RESULTS.read_text(encoding="utf-8"))
            found = joined(before, found, given.keep.split(","))
        RESULTS.write_text(as_json(found), encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = filled(before, results)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"renewed {page.relative_to(DOCS.parent)}")


# ---- from benchmarks to results.json ----


def collect(folders: dict[str, str]) -> dict[str, Any]:
    """Return what folders hold that 'ghostless bench' wrote.

    Tables by "NAME, PROTOCOL", speeds, and ablations by their method.
    """
    from ghostless.research.bench.results import higher_is_better, is_comparable, load_results
    from ghostless.research.bench.speed_results import load_rows

    tables: dict[str, Any] = {}
    speeds: dict[tuple[str, str], Any] = {}
    ablations: dict[str, Any] = {}
    for name, folder in folders.items():
        ablation = Path(folder) / "ablation.json"
        if ablation.exists():
            found = json.loads(ablation.read_text(encoding="utf-8"))
            ablations[found["method"]] = _brief(found)
            continue
        timed = load_rows(Path(folder))
        speeds |= {(row.name, row.quality): vars(row) for row in timed}
        if timed and not (Path(folder) / "run.json").exists():
            continue  # 'ghostless bench speed' alone
        results = load_results(Path(folder))
        about, where = results.about, results.about["environment"]
        for table in results.tables:
            headline, rows = about["headline"], []
            for row in table.by_rank:
                means = {m: table.means.get((row.label, m)) for m in table.metrics}
                if not any(means.values()):
                    continue
                main = means.get(headline)  # none where no scene has a truth for it
                rows.append(
                    {
                        "method": _without_weights(row.label),
                        "kind": _kind(row),
                        "mean_rank": _short(table.mean_ranks.get(row.label)),
                        "interval": main and [_short(main.low), _short(main.high)],
                        "scores": {
                            metric: [_short(mean.value), mean.rank if is_comparable(metric) else 0]
                            for metric, mean in means.items()
                            if mean is not None
                        },
                    }
                )
            tables[f"{name}, {table.name}"] = {
                "suite": about["suite"],
                "protocol": table.protocol,
                "group": table.group,
                "frames": table.frames,
                "scenes": len(table.scenes),
                "headline": headline,
                "began": about["began"],
                "commits": list(results.commits),
                "device": where["device"],
                "threads": where["threads"],
                "better": {m: "higher" if higher_is_better(m) else "lower" for m in table.metrics},
                "rows": rows,
            }
    return {"tables": tables, "speed": list(speeds.values()), "ablations": ablations}


def _brief(ablation: Mapping[str, Any]) -> dict[str, Any]:
    """Of what 'ghostless bench ablation' wrote, what stands on a page."""
    from ghostless.research.bench.results import higher_is_better

    done = {name: v for name, v in ablation["variants"].items() if "parameters" in v}
    first = next(iter(done.values()))
    metrics = list(first["means"])
    return {
        **{key: ablation[key] for key in ("settings", "note", "tables", "order")},
        "scenes": max(len(variant["scenes"]) for variant in done.values()),
        "minutes": [round(float(v["trained"]["seconds"]) / 60, 1) for v in done.values()],
        "commits": sorted({str(variant["commit"]) for variant in done.values()}),
        "device": first["environment"]["device"],
        "better": {m: "higher" if higher_is_better(m) else "lower" for m in metrics},
        "variants": {
            name: {
                "parameters": variant["parameters"],
                "published": variant["published"],
                "means": {
                    metric: mean and [_short(value) for value in mean]
                    for metric, mean in variant["means"].items()
                },
            }
            for name, variant in done.items()
        },
    }


def joined(before: dict[str, Any], now: dict[str, Any], rows: Sequence[str]) -> dict[str, Any]:
    """What was collected now, and what it does not have of what was there before.

    Of tables of the same name and as many scenes, `rows` of methods that did not run now stay, told
    by `made`, with the metrics that ran now; all are ranked anew.
    """
    renewed = {key.partition(", ")[0] for key in now["tables"]}
    tables = {
        key: table
        for key, table in before["tables"].items()
        if key.partition(", ")[0] not in renewed
    }
    for key, table in now["tables"].items():
        old = before["tables"].get(key)
        tables[key] = table if old is None else _with_earlier_rows(table, old, rows)
    speeds = {(row["name"], row["quality"]): row for row in [*before["speed"], *now["speed"]]}
    ablations = {**before.get("ablations", {}), **now.get("ablations", {})}
    return {"tables": tables, "speed": list(speeds.values()), "ablations": ablations}


def _with_earlier_rows(
    table: dict[str, Any], old: dict[str, Any], wanted: Sequence[str]
) -> dict[str, Any]:
    names = {row["method"] for row in table["rows"]}
    if table["scenes"] != old["scenes"] or table["headline"] != old["headline"]:
        return table
    kept = []
    for row in old["rows"]:
        scores = {m: list(score) for m, score in row["scores"].items() if m in table["better"]}
        if row["method"] in wanted and row["method"] not in names and scores:
            kind = _kind_of(row["method"], row["kind"])
            kept.append({**row, "kind": kind, "scores": scores})
    if not kept:
        return table
    told = {key: old[key] for key in ("began", "commits", "device", "threads")}
    earlier = {**told, "methods": [row["method"] for row in kept]}
    joint = {**table, "rows": [*table["rows"], *kept], "earlier": earlier}
    return _ranked(joint)


def _ranked(table: dict[str, Any]) -> dict[str, Any]:
    """The table with the ranks of all its rows, best mean rank first; equal values share ranks."""
    rows = json.loads(json.dumps(table["rows"]))
    everywhere = []
    for metric, better in table["better"].items():
        having = [row["scores"][metric] for row in rows if metric in row["scores"]]
        if not any(score[1] for score in having):
            continue  # one whose means cannot be compared
        sign = -1 if better == "higher" else 1
        values = [sign * score[0] for score in having]
        for score, value in zip(having, values, strict=True):
            score[1] = sum(v < value for v in values) + (values.count(value) + 1) / 2
        if len(having) == len(rows):
            everywhere.append(metric)
    for row in rows:
        ranks = [row["scores"][metric][1] for metric in everywhere]
        row["mean_rank"] = sum(ranks) / len(ranks) if ranks else None
    rows.sort(key=lambda row: float("inf") if row["mean_rank"] is None else row["mean_rank"])
    return {**table, "rows": rows}


def _without_weights(label: str) -> str:
    """A method with its settings but for the file of its weights, which `_kind` tells of.

    >>> _without_weights("pmgi:as-published,weights=pmgi.safetensors"), _without_weights("gff")
    ('pmgi:as-published', 'gff')
    """
    return re.sub(r"[:,]weights=[^,]*", "", label)


def _kind(row: Any) -> str:
    """Whose a row is, and for a network whose weights."""
    return _kind_of(
        row.label, {"method": "ours", "imported": "authors' weights"}.get(row.kind, row.kind)
    )


def _kind_of(label: str, kind: str) -> str:
    """A network of ours runs with our weights."""
    from ghostless.methods import METHODS

    if kind == "ours" and METHODS[label.partition(":")[0]].weights is not None:
        return "our weights"
    return kind


def as_json(results: dict[str, Any]) -> str:
    """JSON with one line for each row, so that a change can be read."""
    text = json.dumps(results, indent=1)
    return re.sub(r"\n {5,}|\n {4}(?=\})", " ", text) + "\n"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")


# ---- from results.json to the pages ----


def filled(page: str, results: dict[str, Any]) -> str:
    """The page with everything between its comments made anew."""

    def fill(match: re.Match[str]) -> str:
        kind, what = match[1], match[2] or ""
        if kind == "printed":  # by docs/pictures.py
            return match[0]
        lines = "\n".join(_MAKERS[kind](results, *(what.split(": ") if what else ())))
        start = match[0].partition("\n")[0]
        return f"{start}\n\n{lines}\n\n<!-- /{kind} -->"

    return _MARK.sub(fill, page)


def facts(results: dict[str, Any], name: str) -> list[str]:
    """What the table of methods says about one, for those who choose."""
    from ghostless.methods import METHODS

    method = METHODS[name]
    low, high = method.frames
    at_once = f", {method.frames_at_once} at a time" if method.frames_at_once else ""
    rows_at_a_time = "a few rows at a time, exact"
    in_tiles = (
        "in tiles that overlap, exact; from 1.5 megapixels on a CPU over a proxy (`--quality`)"
    )
    if method.best_pixels:
        best = f"{method.best_pixels / 1e6:g} megapixels"
        in_tiles = f"over a proxy of {best}; with `--quality full` in tiles that overlap, exact"
    large = rows_at_a_time if method.in_stripes else "whole, some planes of them at a time"
    # One that mixes frames by weights runs its network on small copies, whatever the size.
    large = in_tiles if method.needs_extra and not method.weight_maps else large
    needs = [f"the extra `{method.extra}`"] if method.extra else []
    if method.extra or (method.weights and not method.parameters):
        needs.append("weights")
    rows = {
        "frames": f"{low} to {high}{at_once}",
        "exposures": "must be known" if method.needs_stops else "need not be known",
        "result": {"display": "a picture", "linear": "scene radiance"}[method.output],
        "moving things": "rejects them by itself" if method.deghosts else "are replaced before it",
        "large images": large,
        "needs": ", and ".join(needs) or "nothing more",
        "settings (`--set`)": _settings(method.settings_class),
        "parameters": _counts(method.parameters),
        "the paper's networks": _counts(method.paper_parameters),
        "paper": method.paper,
    }
    return _table(["", ""], [[what, told] for what, told in rows.items() if told])


def _counts(parameters: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {n:,}" for part, n in parameters.items())


def _settings(settings: type[Any]) -> str:
    """The names of a method's settings with what they can be, the default first."""
    hints = get_type_hints(settings)
    words = []
    for field in dataclasses.fields(settings):
        default = "none" if field.default is None else str(field.default).lower()
        kinds = get_args(hints[field.name]) or (hints[field.name],)
        known = [kind for kind in kinds if isinstance(kind, str)]
        known += ["true", "false"] if bool in kinds else []
        choices = "\\|".join([default, *(choice for choice in known if choice != default)])
        words.append(f"`{field.name}={choices}`")
    return ", ".join(words)


def operators(results: dict[str, Any]) -> list[str]:
    """The table of tone-mapping operators."""
    from ghostless.tone.operators import OPERATORS

    rows = [[f"`{name}`", found.summary, found.paper] for name, found in OPERATORS.items()]
    return _table(["`--tone-map`", "it is", "paper"], rows)


def measured(results: dict[str, Any], method: str) -> list[str]:
    """What the tables say about one method, and its speed."""
    heads = ["scenes", "settings", "metric", "this method", "first there", "place", "by all"]
    rows: dict[tuple[str, str], list[str]] = {}
    # A later run of the same settings on the same scenes takes the place of an earlier one.
    for name, table in sorted(results["tables"].items(), key=lambda entry: entry[1]["began"]):
        for place, row in enumerate(table["rows"], start=1):
            label, _, settings = row["method"].partition(":")
            if label != method:
                continue
            # A display result has no score against radiance; its first score stands for it then.
            metric = next(m for m in (table["headline"], *row["scores"]) if m in row["scores"])
            others = [other for other in table["rows"] if metric in other["scores"]]
            first = min(others, key=lambda other: other["scores"][metric][1])
            told = f"`{settings}`" if settings else "default"
            theirs = ", authors' weights" if row["kind"] == "authors' weights" else ""
            rows[_scenes(name, table), settings + theirs] = [
                _scenes(name, table),
                told + theirs,
                _arrow(table, metric),
                _with_interval(table, row, metric),
                "this" if first is row else f"{_name(first)} {_value(first, metric)}",
                f"{row['scores'][metric][1]:g} of {len(others)}",
                f"{place} of {len(table['rows'])}",
            ]
    in_order = [rows[key] for key in sorted(rows)]
    lines = _table(heads, in_order) if rows else ["No run of the benchmark has this method yet."]
    if rows:
        lines += ["", '"By all" is the place by the mean rank over all metrics of the table.']
    own = [speed for speed in results["speed"] if speed["name"] == method]
    if own:
        lines += ["", *_table(_SPEED_HEADS, [_speed(speed) for speed in own])]
    card = DOCS.parent / "src" / "ghostless" / "weights" / f"{method}.md"
    if card.exists():
        where = f"../../{card.relative_to(DOCS.parent)}"
        lines += [
            "",
            f"How its weights were trained, and scores on held-out scenes: [card]({where}).",
        ]
    picture = DOCS / "images" / f"{method}.jpg"
    if picture.exists():
        told = f"The demo's bracket by exposure fusion, and by {method}"
        lines += ["", f"![{told}](../images/{picture.name})"]
    return lines


def speed(results: dict[str, Any]) -> list[str]:
    """The speeds of all methods."""
    rows = [[f"`{row['name']}`", *_speed(row)] for row in results["speed"]]
    return _table(["method", *_SPEED_HEADS], rows) if rows else ["Not measured yet."]


def _speed(speed: dict[str, Any]) -> list[str]:
    return [
        (speed["quality"] or "-") + (" (random weights)" if speed["random_weights"] else ""),
        f"{speed['megapixels']:g}",
        _core_seconds(speed),
        f"{speed['peak_bytes'] / 1e9:.2f}",
        speed["device"],
        speed["published"] or "-",
    ]


def _core_seconds(speed: dict[str, Any]) -> str:
    """What the cores gave, all together, whatever else they did; older files have the wall's."""
    cores = speed.get("core_seconds_per_megapixel")
    return f"{speed['seconds_per_megapixel']:.3g} by the clock" if cores is None else f"{cores:.3g}"


def whole_table(results: dict[str, Any], name: str, first: str | None = None) -> list[str]:
    """A whole table: the best of each column bold. first: the metric that orders the rows."""
    table = results["tables"][name]
    metrics = list(table["better"])
    in_order = table["rows"]
    if first is not None:
        metrics.remove(first)
        metrics.insert(0, first)
        last = float("inf")
        in_order = sorted(in_order, key=lambda row: row["scores"].get(first, (0, last))[1])
    rows = []
    for row in in_order:
        rank = row["mean_rank"]
        cells = [_name(row), row["kind"], "-" if rank is None else f"{rank:.2f}"]
        for metric in metrics:
            cell = _with_interval(table, row, metric)
            best = row["scores"].get(metric, [0, 0])[1] == 1
            cells.append(f"**{cell}**" if best else cell)
        rows.append(cells)
    return _table(["method", "kind", "mean rank", *(_arrow(table, m) for m in metrics)], rows)


def duels(results: dict[str, Any], name: str, pair: str) -> list[str]:
    """On which metrics one method is better than another, and on which worse."""
    rows = {row["method"]: row["scores"] for row in results["tables"][name]["rows"]}
    # Settings have commas too, but no blank after them.
    one, other = pair.split(", ")
    ranks = {m: (rows[one][m][1], rows[other][m][1]) for m in rows[one] if m in rows[other]}
    better = [metric for metric, (a, b) in ranks.items() if a < b]
    worse = [metric for metric, (a, b) in ranks.items() if a > b]
    told = [
        f"{word} on {len(metrics)} ({', '.join(metrics)})"
        for word, metrics in (("better", better), ("worse", worse))
        if metrics
    ]
    return [f"- `{one}` against `{other}`: {', '.join(told)}."]


def places(results: dict[str, Any], name: str) -> list[str]:
    """Where ours and the outside programs stand in a long table."""
    table = results["tables"][name]
    metric, rows = table["headline"], table["rows"]
    having = [row for row in rows if metric in row["scores"]]
    by_metric = sorted(having, key=lambda row: row["scores"][metric][1])
    lines = []
    for what, order in ((metric, by_metric), ("mean rank", rows)):
        told = [
            f"{row['method']} {place}"
            for place, row in enumerate(order, start=1)
            if row["kind"] != "published"
        ]
        lines.append(f"- Places by {what} among all {len(order)}: {', '.join(told)}.")
    return lines


def ablation(results: dict[str, Any], method: str) -> list[str]:
    """A paper's ablation tables, as far as they were trained, the best of each column bold."""
    found = results.get("ablations", {}).get(method)
    if found is None:
        return ["Not trained yet."]
    how, least, most = found["settings"], min(found["minutes"]), max(found["minutes"])
    made = f"{found['device']}, commit {', '.join(found['commits'])}"
    told = (
        f"Preset `{how['preset']}`, {how['steps']} steps of {how['batch']} patches of "
        f"{how['patch']} pixels, {least:g} to {most:g} minutes each ({made}); {found['scenes']} "
        f"held-out scenes. {found['note']}"
    )
    lines = [told.strip()]
    for title, names in found["tables"].items():
        rows = {name: found["variants"][name] for name in names if name in found["variants"]}
        if len(rows) < 2:
            continue
        printed = [
            m for m in found["better"] if any(m in row["published"] for row in rows.values())
        ]
        heads = ["variant", "parameters", *(_arrow(found, metric) for metric in found["better"])]
        cells = [
            [
                name,
                f"{row['parameters']:,}",
                *(_mean_of(found, rows, name, m) for m in found["better"]),
            ]
            + [f"{row['published'][m]:g}" if m in row["published"] else "-" for m in printed]
            for name, row in rows.items()
        ]
        table = _table([*heads, *(f"paper's {metric}" for metric in printed)], cells)
        lines += ["", f"**{title}**", "", *table, "", found["order"][title]]
    return lines


def _mean_of(found: dict[str, Any], rows: Mapping[str, Any], name: str, metric: str) -> str:
    """The first metric of an ablation has its interval."""
    mean = rows[name]["means"][metric]
    if mean is None:
        return "-"
    values = [row["means"][metric][0] for row in rows.values() if row["means"][metric]]
    best = max(values) if found["better"][metric] == "higher" else min(values)
    interval = f" ({_number(mean[1])} to {_number(mean[2])})"
    told = _number(mean[0]) + (interval if metric == next(iter(found["better"])) else "")
    return f"**{told}**" if mean[0] == best else told


def made(results: dict[str, Any]) -> list[str]:
    """When, where and at which commit the tables were made."""

    def when(told: dict[str, Any]) -> str:
        return (
            f"commit {', '.join(told['commits'])}, begun {told['began']}, {told['device']}, "
            f"{told['threads']} thread each"
        )

    lines = []
    for name, table in results["tables"].items():
        lines.append(f"- {name}: {when(table)}")
        earlier = table.get("earlier")
        if earlier:
            rows = ", ".join(f"`{method}`" for method in earlier["methods"])
            lines.append(f"    - of it {rows}: {when(earlier)}")
    return lines


_MAKERS: dict[str, Callable[..., list[str]]] = {
    "facts": facts,
    "operators": operators,
    "speed": speed,
    "measured": measured,
    "table": whole_table,
    "duels": duels,
    "places": places,
    "ablation": ablation,
    "made": made,
}


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _scenes(name: str, table: dict[str, Any]) -> str:
    words = [_TITLES.get(name.partition(", ")[0]) or _SUITES[table["suite"]], str(table["scenes"])]
    words += [table["group"]] if table.get("group") else []
    if table["frames"] == "two":
        words.append("darkest and brightest photo")
    if table["protocol"] == "as-published":
        words.append("saved as JPEG 75, beside published methods")
    return ", ".join(words)


def _name(row: dict[str, Any]) -> str:
    return row["method"] if row["kind"] == "published" else f"`{row['method']}`"


def _arrow(table: dict[str, Any], metric: str) -> str:
    return f"{metric} {'↑' if table['better'][metric] == 'higher' else '↓'}"


def _value(row: dict[str, Any], metric: str) -> str:
    return _number(row["scores"][metric][0]) if metric in row["scores"] else "-"


def _with_interval(table: dict[str, Any], row: dict[str, Any], metric: str) -> str:
    if metric != table["headline"] or metric not in row["scores"]:
        return _value(row, metric)
    low, high = row["interval"]
    return f"{_value(row, metric)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1 or abs(value) >= 1e5 else f"{value:.5g}"


if __name__ == "__main__":
    main()
