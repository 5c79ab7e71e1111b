"""The private folder: who may enter it, what is called how in it, and when it goes."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ghostless.web.limits import Limits
from ghostless.web.server import Server, ServerSettings, StorageFullError
from ghostless.web.storage import Storage, StoredBracket, shown_name


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Photos\\a.jpg", "a.jpg"),
        ("a\x00b\nc\x1b[31m.jpg", "abc[31m.jpg"),
        ("photo/", "photo 3"),
        ("", "photo 3"),
        (None, "photo 3"),
        ("‮gpj.exe", "gpj.exe"),
    ],
)
def test_names_are_made_fit_to_show(given: str | None, shown: str) -> None:
    assert shown_name(given, 3) == shown


def test_long_names_keep_both_ends() -> None:
    name = shown_name("begin" + 500 * "x" + "end.jpg", 1)
    assert len(name) == 120
    assert name.startswith("begin")
    assert name.endswith("end.jpg")


def bracket_in(storage: Storage, *names: str) -> StoredBracket:
    bracket = storage.new_bracket()
    for name in names:
        bracket.add(name, io.BytesIO(b"content"))
    storage.keep(bracket)
    return bracket


def test_texts_get_the_clients_names(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    bracket = bracket_in(storage, "dawn.jpg", "photo-01")
    text = f"{bracket.files[0]}: expected 1 x 2 like photo-02; see {bracket.folder}/result.jpg"
    said = bracket.in_clients_words({"notes": [text, 3, None]})
    assert said == {"notes": ["dawn.jpg: expected 1 x 2 like photo-01; see result.jpg", 3, None]}
    job = bracket.folder / ("x" * 22) / "result.tif"
    assert bracket.in_clients_words(f"{job}: full") == "result.tif: full"
    storage.close()


def test_only_its_user_may_enter_and_it_goes_with_the_server(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    bracket = bracket_in(storage, "a.jpg")
    assert stat.S_IMODE(storage.folder.stat().st_mode) == 0o700
    assert bracket.files[0].is_relative_to(storage.folder)
    assert storage.used_bytes() == len(b"content")
    storage.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from ghostless.web.storage import Storage\n"
        "storage = Storage(pathlib.Path(sys.argv[1])); storage.new_bracket()\n"
        "print(storage.folder, flush=True); os._exit(9)\n"
    )
    source = Path(__file__).resolve().parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    left = Path(done.stdout.strip())
    assert left.is_dir()
    running = Storage(tmp_path)
    assert not left.exists()
    # One that runs is left alone, and so is what is not ours.
    other = tmp_path / "ghostless-web-notours"
    other.mkdir()
    second = Storage(tmp_path)
    assert running.folder.is_dir()
    assert other.is_dir()
    running.close()
    second.close()
    assert list(tmp_path.iterdir()) == [other]


def make_server(folder: Path, **limits: float) -> Server:
    return Server(ServerSettings(folder=folder, limits=Limits(**limits)))  # type: ignore[arg-type]


def test_what_nobody_asks_for_is_removed(tmp_path: Path) -> None:
    async def check() -> None:
        server = make_server(tmp_path, keep_seconds=60)
        old, new = (bracket_in(server.storage, "a.jpg") for _ in range(2))
        old.used = time.monotonic() - 61
        await server.clear()
        assert set(server.storage.brackets) == {new.id}
        assert not old.folder.exists()
        assert new.folder.is_dir()
        new.used = time.monotonic() - 59
        assert server.bracket(new.id) is new  # asking keeps it
        assert time.monotonic() - new.used < 1
        server.storage.close()

    asyncio.run(check())


def test_the_longest_unused_make_room(tmp_path: Path) -> None:
    async def check() -> None:
        server = make_server(tmp_path, stored_bytes=20)
        first, second = (bracket_in(server.storage, "a.jpg") for _ in range(2))  # 7 bytes each
        first.used += 5
        await server._make_room(6)
        assert set(server.storage.brackets) == {first.id, second.id}
        await server._make_room(7)
        assert set(server.storage.brackets) == {first.id}
        with pytest.raises(StorageFullError):
            await server._make_room(14, first)
        server.storage.close()

    asyncio.run(check())


def test_only_so_many_brackets(tmp_path: Path) -> None:
    async def check() -> None:
        server = make_server(tmp_path, brackets=2)
        brackets = [bracket_in(server.storage, "a.jpg") for _ in range(2)]
        await server._make_room(0)
        assert list(server.storage.brackets) == [brackets[1].id]
        server.storage.close()

    asyncio.run(check())
