"""The pictures of a page: those of a scene side by side, zoomed together, and one over another."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .jobs import load_record
from .results import Results
from .writing import number_in_words

_PREVIEW_PIXELS = 560
_PREVIEW_QUALITY = 78


def scene_pictures(results: Results, metrics: tuple[str, ...] | None = None) -> str:
    """Photos and results of every scene, as HTML.

    metrics: whose values stand under each result; None for the headline alone.
    """
    about = results.about
    parts = [
        "<h2>Pictures</h2><p class='soft screen'>Double-click or pinch to zoom into all pictures "
        "of a scene at once, drag to move, Ctrl and wheel to zoom on.</p>",
    ]
    scenes = []
    for scene in about["scenes"]:
        shots = list(_shots(results, scene, metrics or (about["headline"],)))
        if shots:
            scenes.append(_scene(scene, shots))
    if any("class=ghosts" in scene for scene in scenes):
        parts.append(
            "<nav class=bar><label><input type=checkbox> Show ghost masks <small>red: taken from "
            "another frame</small></label></nav>"
        )
    return "".join([*parts, *scenes])


def _scene(name: str, shots: list[tuple[str, str, str]]) -> str:
    """One scene: its pictures as (label, caption, html)."""
    figures = "".join(
        f"<figure>{html}<figcaption>{caption}</figcaption></figure>" for _, caption, html in shots
    )
    count = len(shots)
    first = max(count - 2, 0)
    selects = [
        "".join(
            f"<option value={i}{' selected' if i == chosen else ''}>{escape(label)}</option>"
            for i, (label, _, _) in enumerate(shots)
        )
        for chosen in (first, count - 1)
    ]
    empty = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    return (
        f'<section class="card scene"><h3>{escape(name)}</h3><div class=pick>'
        "<button class=in aria-label='zoom in'>+</button>"
        "<button class=out aria-label='zoom out'>−</button>"
        f"<button class=fit>whole</button></div><div class=shots>{figures}</div>"
        "<details class=slider><summary>Before and after</summary>"
        f"<div class=pick><select aria-label=left>{selects[0]}</select>"
        f"<select aria-label=right>{selects[1]}</select></div>"
        "<input type=range min=0 max=100 value=50 step=0.1 aria-label='where the two meet'>"
        f'<div class=compare><div class=frame><img alt="" src="{empty}"></div>'
        f'<div class="frame over"><img alt="" src="{empty}"></div></div></details></section>'
    )


def _shots(
    results: Results, scene: str, metrics: tuple[str, ...]
) -> Iterable[tuple[str, str, str]]:
    """Inputs, dark to bright, then every result of one scene."""
    folder = results.folder
    prepared = load_record(folder / "inputs" / scene / "scene.json") or {}
    stops = prepared.get("stops") or []
    for number, file in enumerate(sorted((folder / "inputs" / scene).glob("[0-9][0-9].jpg"))):
        words = f"photo {number + 1}"
        if number < len(stops):
            words += f", {stops[number]:+.1f} stops"
        if number == prepared.get("reference"):
            words += ", reference"
        picture = _picture(folder, file, None, f"{scene}, {words}")
        if picture:
            yield f"photo {number + 1}", escape(words), picture
    table = results.tables[0]
    for row in table.by_rank:
        file = folder / "fused" / row.slug / f"{scene}.png"
        if row.kind == "published" or not file.is_file():
            continue
        scores = row.scores.get(scene, {})
        words = f'<span class="{row.kind}">{escape(row.label)}</span>'
        for metric in metrics:
            if metric in scores:
                words += f" · {escape(metric)} {number_in_words(scores[metric])}"
        ghosts = file.with_name(f"{scene}_ghosts.png")
        picture = _picture(folder, file, ghosts, f"{scene} by {row.label}")
        if picture:
            yield row.label, words, picture


def _picture(folder: Path, file: Path, ghosts: Path | None, alt: str) -> str:
    """A small picture inside the page, with the way to the full one, and its mask of ghosts."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
            small = image.convert("RGB")
    except OSError:
        return ""
    full = quote(file.relative_to(folder).as_posix())
    html = (
        f"<div class=frame><img decoding=async width={small.width} "
        f'height={small.height} alt="{escape(alt)}" data-full="{full}" src="{_uri(small)}">'
    )
    if ghosts is not None and ghosts.is_file():
        with Image.open(ghosts) as mask:
            share = mask.convert("L").resize(small.size, Image.Resampling.BOX)
        if share.getbbox() is not None:
            red = Image.new("RGBA", small.size, (255, 0, 40, 0))
            red.putalpha(share.point([level * 6 // 10 for level in range(256)]))
            html += f'<img class=ghosts alt="ghost mask" decoding=async src="{_uri(red)}">'
    return html + "</div>"


def _uri(image: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_PREVIEW_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
