"""Help in groups: what people use daily first, on one screen."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

GROUPS: dict[str, tuple[str, ...]] = {
    "Daily": (
        "out",
        "method",
        "preset",
        "deghost",
        "align",
        "crop",
        "tone_map",
        "stops",
        "hdr",
        "jpeg_quality",
        "overwrite",
        "words",
    ),
    "Folders": (
        *("plan", "size", "pairs", "format", "name", "consistent", "watch"),
        *("jobs", "memory_gb", "cluster"),
    ),
    "Photos": ("stops_file", "reference", "wrap", "max_pixels"),
    "Fusing": ("as_published", "deghost_by", "keep"),
    "Tone": (
        "exposure",
        "strength",
        "highlights",
        "shadows",
        "contrast",
        "saturation",
        "temperature",
        "tint",
    ),
    "Networks": ("quality", "weights", "device"),
    "Results": ("depth", "masks", "report", "save_stages", "verbose", "quiet", "as_json", "help"),
}
_SHORT_METAVAR = 10
# Told together, in one line: what their names say, they do.
_ALIKE = ("highlights", "shadows", "contrast", "saturation", "temperature", "tint")
_OF_THE_ALIKE = "-100..100 each; 0 leaves the tone as it is."


class GroupedCommand(TyperCommand):
    """A command whose options are told in groups; those of no group stand at the end."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        told: dict[str, tuple[str, str]] = {}
        arguments = []
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                arguments.append(parameter.get_help_record(ctx))
            elif not getattr(parameter, "hidden", False):
                told[str(parameter.name)] = _record(parameter)
        sections: list[tuple[str, list[Any]]] = [("Arguments", arguments)]
        for title, names in GROUPS.items():
            sections.append((title, _joined([(n, told.pop(n)) for n in names if n in told])))
        sections.append(("Other", list(told.values())))
        for title, records in sections:
            if records:
                formatter.write(f"{title}:\n")
                formatter.indent()
                formatter.write_dl(records, col_max=26)
                formatter.dedent()


def _joined(named: list[tuple[str, tuple[str, str]]]) -> list[tuple[str, str]]:
    """The records of a group, those that are told together as one."""
    records = [record for name, record in named if name not in _ALIKE]
    alike = [record[0].split()[0] for name, record in named if name in _ALIKE]
    return [*records, (", ".join(alike), _OF_THE_ALIKE)] if alike else records


def _record(parameter: Any) -> tuple[str, str]:
    """An option's names and its help; a long list of values goes with the help."""
    names = ", ".join(parameter.opts)
    if parameter.secondary_opts:
        names += f" / {parameter.secondary_opts[0]}"
    values, help_text = parameter.metavar or "", parameter.help or ""
    if len(values) > _SHORT_METAVAR:
        return names, f"{help_text.rstrip('.')}: {values}"
    return f"{names} {values}".strip(), help_text
