"""The contact sheet: one page with every set's picture and photos, the doubtful ones first.

It needs nothing beside it and nothing from anywhere: thumbnails lie in the page. Pictures and
photos are linked where they are.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ..errors import OutputError
from ..io.regular import read_regular
from ..io.write import WriteSettings, write_text
from .journal import stamp_of
from .photos import Folder
from .run import Done
from .thumbnails import Thumbnails, sides_of

SHEET_NAME: Final = "contact-sheet.html"
_MARK: Final = "<!doctype html><!-- ghostless contact sheet "
_MARK_BYTES: Final = 200
_FAILED_WEIGHT: Final = 100

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --doubt: #b45309; --bad: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --doubt: #fbbf24; --bad: #f87171 } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1500px; padding: 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.sets { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)) }
article { border: 1px solid var(--line); border-radius: 8px; overflow: hidden;
  background: var(--soft) }
article > a img { display: block; width: 100%; aspect-ratio: 3/2; object-fit: contain;
  background: #0006 }
.told { padding: .6rem .8rem } h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere }
p, ul { margin: .3rem 0 } ul { padding-left: 1.1rem } .doubts { color: var(--doubt) }
.failed { color: var(--bad) }
.photos { display: flex; flex-wrap: wrap; gap: .5rem; margin: .5rem 0 }
figure { margin: 0; width: 6.2rem; font-size: .75rem; overflow-wrap: anywhere }
figure img { width: 100%; height: 4.2rem; object-fit: cover; border-radius: 4px; display: block }
button { font: inherit; font-size: .85rem; color: inherit; background: var(--soft); cursor: pointer;
  border: 1px solid var(--line); border-radius: 6px; padding: .35rem .7rem }
details { font-size: .85rem } summary { cursor: pointer }
code { display: block; user-select: all; white-space: pre-wrap; overflow-wrap: anywhere;
  padding: .5rem; background: var(--soft); border-radius: 4px }
"""
# Pages from a disk may not be let at the clipboard; then the command is selected and copied so.
_SCRIPT: Final = """
for (const button of document.querySelectorAll(".again button")) {
  const told = button.closest(".told"), code = told.querySelector("code");
  button.hidden = false;
  button.onclick = async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      told.querySelector("details").open = true;
      getSelection().selectAllChildren(code);
      copied = document.execCommand("copy");
    }
    told.querySelector("[role=status]").textContent = copied ? "Copied" : "Copy it by Ctrl-C";
  };
}
"""


@dataclass(frozen=True)
class Card:
    """What the sheet tells of one set. photos: whole paths with what is said below each."""

    done: Done
    picture: Path
    photos: tuple[tuple[Path, str], ...]
    command: str

    @property
    def weight(self) -> int:
        """How much it needs to be looked at; 0 for not at all."""
        if self.done.state == "failed":
            return _FAILED_WEIGHT
        return sum(doubt.weight**2 for doubt in self.done.outcome.doubts)


def write_sheet(
    brackets: Sequence[Done],
    folder: Folder,
    out: Path,
    commands: Mapping[int, str],
    thumbnails: Thumbnails | None = None,
) -> Path:
    """Write the contact sheet of a batch beside its results; one that is still true stays.

    commands: for each bracket's number what fuses it alone. thumbnails: those made before.
    Raises OutputError where it cannot be written, and where another file has its name.
    """
    path = out / SHEET_NAME
    cards = [_card(done, folder, out, commands.get(done.planned.number, "")) for done in brackets]
    key = _key(cards, folder)
    there = _mark_at(path)
    if there == key:
        return path
    pictures = [card.picture for card in cards if card.done.state != "failed"]
    photos = [photo for card in cards for photo, _ in card.photos]
    small = (thumbnails or Thumbnails()).of(sides_of(pictures, photos, len(cards)))
    page = "".join(_page(cards, folder, out, small, key))
    write_text(page, path, WriteSettings(overwrite=there is not None))
    return path


def _card(done: Done, folder: Folder, out: Path, command: str) -> Card:
    told = {photo.file: photo for photo in done.outcome.photos}
    kept_to = next((photo for photo in told.values() if photo.reference), None)
    photos = []
    for name in done.planned.files:
        photo = told.get(Path(name).name)
        words = [_seconds_of(folder, name)]
        if photo is not None and kept_to is not None:
            if photo.reference:
                words.append("the others were laid on it")
            elif photo.stops is not None and kept_to.stops is not None:
                words.append(f"{photo.stops - kept_to.stops:+.1f} stops")
        photos.append((folder.root / name, ", ".join(word for word in words if word)))
    return Card(done, out / done.planned.output, tuple(photos), command)


def _seconds_of(folder: Folder, name: str) -> str:
    file = folder.photos.get(name)
    seconds = None if file is None else file.photo.shutter_seconds
    if not seconds or seconds < 0:
        return ""
    return f"1/{1 / seconds:.0f} s" if seconds < 0.3 else f"{seconds:g} s"


def _key(cards: Sequence[Card], folder: Folder) -> str:
    """Hash of all that the sheet shows."""
    facts = [
        (
            card.done.planned.output,
            card.done.state == "failed" and card.done.outcome.error,
            [(str(photo), stamp_of(photo), words) for photo, words in card.photos],
            [astuple(doubt) for doubt in card.done.outcome.doubts],
            card.done.planned.note,
            stamp_of(card.picture),
            card.command,
        )
        for card in cards
    ]
    text = json.dumps([_STYLE, _SCRIPT, str(folder.root), facts], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _mark_at(path: Path) -> str | None:
    """The key of a sheet that is there, None for no file. Raises OutputError for any other file."""
    try:
        start = read_regular(path, _MARK_BYTES)[:_MARK_BYTES].decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(
            f"{path}: expected to be able to replace the contact sheet, found: {error.strerror}"
        ) from None
    if not start.startswith(_MARK):
        raise OutputError(
            f"{path}: expected the contact sheet of an earlier run or no file, found another; "
            "give it another name"
        )
    return start.removeprefix(_MARK).split(" ")[0]


# --- the page ------------------------------------------------------------------------------------


def _page(
    cards: Sequence[Card], folder: Folder, out: Path, small: Mapping[Path, bytes], key: str
) -> Iterator[str]:
    doubtful = sorted((card for card in cards if card.weight), key=lambda card: -card.weight)
    well = [card for card in cards if not card.weight]
    failed = sum(card.done.state == "failed" for card in cards)
    title = f"Contact sheet: {folder.root.resolve().name}"
    counts = [_count(len(cards), "set", "sets")]
    if doubtful:
        counts.append(f"{len(doubtful)} to look at first")
    if failed:
        counts.append(f"{failed} failed")
    yield (
        f'{_MARK}{key} -->\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_plain(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{_plain(title)}</h1><p>{', '.join(counts)}</p>\n"
    )
    for heading, those in (("Look at these first", doubtful), ("The others", well)):
        if those:
            if doubtful:
                yield f"<h2>{heading}</h2>\n"
            yield '<div class="sets">\n'
            yield from (_article(card, out, small) for card in those)
            yield "</div>\n"
    yield f"<script>{_SCRIPT}</script></body></html>\n"


def _article(card: Card, out: Path, small: Mapping[Path, bytes]) -> str:
    done = card.done
    name = _plain(done.planned.output)
    parts = ["<article>"]
    if done.state != "failed":
        parts.append(_linked(card.picture, out, small, f"The picture {name}"))
    parts.append(f'<div class="told"><h3>{name}</h3>')
    if done.state == "failed":
        parts.append(f'<p class="failed">Failed: {_plain(done.outcome.error)}</p>')
    doubts = "".join(f"<li>{_plain(doubt.text)}</li>" for doubt in done.outcome.doubts)
    if doubts and done.state != "failed":
        parts.append(f'<ul class="doubts">{doubts}</ul>')
    parts.append(f"<p>{_plain(_photos_in_words(card))}</p>")
    if done.planned.note:
        parts.append(f"<p>{_plain(done.planned.note)}</p>")
    parts.append('<div class="photos">')
    for photo, words in card.photos:
        image = _linked(photo, out, small, f"The photo {_plain(photo.name)}")
        told = f"{_plain(photo.name)}{f'<br>{_plain(words)}' if words else ''}"
        parts.append(f"<figure>{image}<figcaption>{told}</figcaption></figure>")
    parts.append("</div>")
    if card.command:
        parts.append(
            '<p class="again"><button type="button" hidden>Copy the command that fuses it again'
            '</button> <span role="status"></span></p>'
            f"<details><summary>The command</summary><code>{_plain(card.command)}</code></details>"
        )
    parts.append("</div></article>\n")
    return "".join(parts)


def _photos_in_words(card: Card) -> str:
    photos = _count(len(card.photos), "photo", "photos")
    stops = [photo.stops for photo in card.done.outcome.photos if photo.stops is not None]
    if len(stops) < 2:
        return photos
    return f"{photos}, {max(stops) - min(stops):.1f} stops from darkest to brightest"


def _linked(file: Path, out: Path, small: Mapping[Path, bytes], words: str) -> str:
    data = small.get(file)
    if data is None:
        shown = "no preview"
    else:
        source = "data:image/jpeg;base64," + base64.b64encode(data).decode()
        shown = f'<img src="{source}" alt="{words}" loading="lazy">'
    return f'<a href="{html.escape(_link(file, out))}">{shown}</a>'


def _link(file: Path, out: Path) -> str:
    """The way from the sheet to a file; on another drive its whole address."""
    try:
        way = os.path.relpath(file.absolute(), os.path.realpath(out))
    except ValueError:
        return file.absolute().as_uri()
    return quote(Path(way).as_posix(), errors="surrogateescape")


def _plain(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
