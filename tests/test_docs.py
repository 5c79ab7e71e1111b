"""What the README and the pages of docs/ tell a reader to type runs as it stands there.

Python blocks run in order, page by page, in a folder with small photos. Commands run too where
they are quick; those that train, serve, need data or fill in a word in capitals are checked for
their options. A comment before a Python block changes that: `<!-- file: PATH -->` puts it into a
file, `<!-- not run: WHY -->` only compiles it.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ghostless import cli, methods
from ghostless.bracket import Frame, Stack
from ghostless.methods import METHODS, Method, fuse_stack

from . import packages, scenes
from .files import STOPS, save_photo
from .methods import test_every_method as contract

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "integrations").rglob("*.md")],
    key=lambda page: page.as_posix(),
)
QUICK = {"fuse", "info", "align", "deghost", "methods", "metrics", "presets"}
# Words that stand for something of the reader's: DATA, FILE, out/NAME.exr, METHOD.
PLACEHOLDER = re.compile(r"(?<![\w-])[A-Z][A-Z_]{2,}(?![\w.])")
OTHERS_OPTIONS = {
    "--nproc-per-node",  # torchrun
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the comment on the line before it."""

    language: str
    text: str
    comment: str
    line: int


def blocks(page: Path, language: str | None = None) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(
        r"(?:^<!-- (.*?) -->\n)?^( *)```(\w*)\n(.*?)^\2```", text, re.MULTILINE | re.DOTALL
    )
    every = [
        Block(m[3], re.sub(rf"^{m[2]}", "", m[4], flags=re.MULTILINE), m[1] or "", _line(text, m))
        for m in found
    ]
    return [block for block in every if language in (None, block.language)]


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def prose(page: Path) -> str:
    """The page without its blocks and comments."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^( *)```\w*\n.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def shell_lines(page: Path) -> list[str]:
    """Every line of a shell block, fenced or indented, continued lines joined."""
    fenced = [b.text for b in blocks(page) if b.language in ("", "sh", "bash", "console")]
    indented = re.findall(r"(?:^    \S.*\n)+", prose(page), re.MULTILINE)
    lines = "\n".join(fenced + indented).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


def commands(page: Path) -> list[list[str]]:
    """The words of every `ghostless` command on a page, without the program's name."""
    return [
        shlex.split(line, comments=True)[1:]
        for line in shell_lines(page)
        if line.startswith("ghostless ")
    ]


def runs(words: list[str]) -> bool:
    """Whether a command is quick and has all that it needs."""
    networks = {name for name, method in METHODS.items() if method.needs_extra}
    return (
        words[0] in QUICK
        and not networks.intersection(words)
        and "--weights" not in words
        and not any(PLACEHOLDER.search(word) for word in words)
    )


@lru_cache(maxsize=1)
def ghostless_command() -> Any:
    from ghostless.cli.commands import app
    from ghostless.cli.lazy import command_of

    return command_of(app)


def check_options(words: list[str]) -> None:
    """Parse a command as it would be parsed, and run nothing; raises where it would fail."""
    command = ghostless_command()
    every, name, context = words, "ghostless", None
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        context = command.make_context("ghostless", [], resilient_parsing=True)
        command = command.get_command(context, name)
        assert command is not None, f"no command {name!r}"
    if hasattr(command, "commands") or words == ["--help"]:
        check_names(every)  # parsing would do what options such as --version do at once
    else:
        # A word such as N or MINUTES stands for a number.
        numbers = ["9" if word.isupper() and len(word) > 1 else word for word in words]
        try:
            command.make_context(name, list(words), parent=context)
        except Exception:
            command.make_context(name, numbers, parent=context)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of, as the working folder."""
    radiance = scenes.make_radiance(60, 90, seed=8)
    for number, stops in enumerate(STOPS):
        pixels: Any = scenes.expose(radiance, stops)
        for name in (f"IMG_{number + 1}.jpg", f"photos/IMG_{number + 1}.jpg"):
            save_photo(tmp_path / name, pixels, stops=stops)
        save_photo(tmp_path / f"{'abc'[number]}.png", pixels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def pages(having: Any) -> Any:
    found = [page for page in PAGES if having(page)]
    assert found
    return pytest.mark.parametrize("page", found, ids=name_of)


# ---- the pages' snippets ----


def test_the_pages_are_looked_at() -> None:
    """So that nothing below passes because nothing was found."""
    readme = ROOT / "README.md"
    assert sum(map(runs, commands(readme))) >= 6
    assert len(blocks(readme, "python")) >= 2
    assert not any(runs(words) for words in commands(ROOT / "docs" / "training.md"))
    assert len(commands(ROOT / "docs" / "training.md")) >= 3
    with pytest.raises(Exception, match="frobnicate"):
        check_options(["fuse", "a.jpg", "-o", "b.jpg", "--frobnicate", "1"])
    with pytest.raises(AssertionError, match="frobnicate"):
        check_names(["fuse", "--frobnicate"])


@pages(lambda page: commands(page) or blocks(page, "python"))
def test_snippets_run(
    page: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if any(block.comment.startswith("file:") for block in blocks(page)):
        install(page, photos, monkeypatch)
    for words in commands(page):
        if runs(words):
            assert cli.run(words) == 0, (words, capsys.readouterr().err)
            for option in ("-o", "--report", "--save-stages"):
                if option in words:
                    assert (photos / words[words.index(option) + 1]).exists(), words
        else:
            check_options(words)
    for block in blocks(page, "python"):
        if block.comment.startswith("file:"):
            continue
        code = compile("\n" * block.line + block.text, name_of(page), "exec")
        if not block.comment.startswith("not run:"):
            exec(code, namespace)


def test_what_info_prints_has_the_columns_shown(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.search(
        r"<!-- printed: info -->\n\n```\n(.*)\n", (ROOT / "docs" / "quickstart.md").read_text()
    )
    assert shown is not None
    assert cli.run(["info", "photos"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == shown[1].split()


@pages(lambda page: True)
def test_words_in_the_text_are_right(page: Path) -> None:
    """Commands and options named in sentences and tables, and data blocks."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    for span in spans:
        if span.startswith("ghostless "):
            check_names(span.split()[1:])
    known = all_options()
    named = {word for span in spans for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)}
    assert named - known - OTHERS_OPTIONS == set()
    for block in blocks(page, "json"):
        json.loads(block.text)
    for block in blocks(page, "toml"):
        tomllib.loads(block.text)


def check_names(words: list[str]) -> None:
    """A command in a sentence may lack what it needs, but it and its options must exist."""
    command = ghostless_command()
    while hasattr(command, "commands") and words and words[0].isidentifier():
        if words[0].isupper():  # `ghostless COMMAND`
            return
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in options_of(parameter)}
    named = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert named - options - {"--help"} == set()


def options_of(parameter: Any) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


@lru_cache(maxsize=1)
def all_options() -> set[str]:
    """Every option of every command, and of `python -m ghostless.research.train`."""
    from ghostless.research.train.__main__ import parser

    def walk(command: Any) -> Iterator[str]:
        for parameter in command.params:
            yield from options_of(parameter)
        for inner in getattr(command, "commands", {}).values():
            yield from walk(inner)

    training = {option for action in parser()._actions for option in action.option_strings}
    return {*walk(ghostless_command()), *training, "--help"}


@pages(lambda page: any("-m ghostless.research.train" in line for line in shell_lines(page)))
def test_trainings_are_parsed(page: Path) -> None:
    from ghostless.research.train.__main__ import parser

    for line in shell_lines(page):
        if (match := re.match(r"(?:python3? )-m ghostless\.train (.*)", line)) is not None:
            parser().parse_args(shlex.split(match[1], comments=True))


@pages(lambda page: any(line.startswith(("make ", "pip")) for line in shell_lines(page)))
def test_targets_and_extras_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, line
        if words[0] in ("pip", "pipx", "uv"):
            for extras in re.findall(r"\[(.*?)\]", line):
                assert set(extras.split(",")) <= set(project["optional-dependencies"]), line


# ---- the method that a reader adds ----


def install(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Method]:
    """Do with the blocks of a page what it tells a reader to do with files of the package."""
    table = Path(methods.table.__file__).read_text(encoding="utf-8")
    end = "    )\n}\n"
    assert table.count(end) == 1
    for block in blocks(page, "python"):
        if not block.comment.startswith("file:"):
            continue
        where = block.comment.removeprefix("file:").strip()
        if where.endswith(", in METHODS"):
            table = table.replace(end, textwrap.indent(block.text, " " * 8) + end)
        else:
            file = folder / Path(where).name
            file.write_text(block.text)
            name = ".".join(Path(where).with_suffix("").parts[1:])
            spec = importlib.util.spec_from_file_location(name, file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            monkeypatch.setattr(methods, name.rpartition(".")[2], module, raising=False)
            spec.loader.exec_module(module)
    changed: dict[str, Any] = {
        "__name__": methods.table.__name__,
        "__package__": methods.__package__,
    }
    exec(compile(table, methods.table.__file__, "exec"), changed)
    added = [entry for name, entry in changed["METHODS"].items() if name not in METHODS]
    for entry in added:
        monkeypatch.setitem(METHODS, entry.name, entry)
    return added


def test_the_method_to_add_keeps_what_the_table_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (method,) = install(ROOT / "docs" / "adding-a-method.md", tmp_path, monkeypatch)
    for check in contract.CHECKS:
        check(method, tmp_path)
    flat = [np.full((8, 8, 3), value, np.uint8) for value in (26, 128)]
    fused = fuse_stack(Stack(tuple(map(Frame, flat)), reference=0), method.name).pixels
    assert 0.47 < fused.min() <= fused.max() < 0.502


# ---- links ----


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def targets_of(page: Path, text: str | None = None) -> list[str]:
    """What a page links to in this checkout."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page) if text is None else text)
    return [target for target in found if not target.startswith(("https://", "http://"))]


def test_the_readme_holds_on_a_package_index() -> None:
    """No link of it is relative there, for there is nothing beside it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(targets_of(ROOT / "README.md")) > 20
    address = "https://example.org/owner/ghostless"
    shown = packages.for_an_index(readme, address)
    links = re.findall(r"\]\(([^)\s]+)\)", shown)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    assert f"({address}/blob/main/docs/quickstart.md)" in shown
    assert f"({address}/raw/main/docs/images/demo.jpg)" in shown
    assert f"({address}/tree/main/docs/methods/)" in shown
    alone = packages.for_an_index(readme, None)
    assert targets_of(ROOT / "README.md", alone) == []
    assert "Your first bracket (`docs/quickstart.md`)" in alone
    assert "![" not in alone


def test_the_projects_address_is_told_by_who_hands_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "urls" not in facts["project"]
    monkeypatch.setenv("REPOSITORY", "https://example.org/owner/ghostless.git")
    address = packages.repository()
    assert address == "https://example.org/owner/ghostless"
    more = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8") + packages.urls(address))
    assert set(more["project"]["urls"]) == {"Repository", "Documentation", "Changelog", "Issues"}
    monkeypatch.setenv("REPOSITORY", "git@example.org:owner/ghostless")
    assert packages.repository() is None


@pages(lambda page: True)
def test_links_lead_somewhere(page: Path) -> None:
    for target in targets_of(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def pictures_there() -> list[Path]:
    return [path for path in (ROOT / "docs" / "images").rglob("*") if path.is_file()]


def test_every_page_and_picture_is_linked() -> None:
    def linked_from(page: Path) -> set[Path]:
        targets = targets_of(page, page.read_text(encoding="utf-8"))
        return {(page.parent / target.partition("#")[0]).resolve() for target in targets}

    linked = {file for page in PAGES for file in linked_from(page)}
    index = ROOT / "docs" / "README.md"
    listed = linked_from(index)
    pages_there = set((ROOT / "docs").rglob("*.md")) - {index}
    assert pages_there - listed == set()
    assert set(pictures_there()) - linked == set()
    assert index in linked


def test_pictures_are_small() -> None:
    pictures = pictures_there()
    assert pictures
    assert sum(picture.stat().st_size for picture in pictures) < 1_800_000
