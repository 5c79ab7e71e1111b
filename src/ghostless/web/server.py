"""What the server does with a request once it is let in; the routes of app.py only speak HTTP."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..bracket import check_frame_count
from ..errors import BracketError, InputError
from ..io.encode import OUTPUT_FORMATS
from ..tone.controls import ToneControls
from .jobs import Job, Jobs
from .limits import Limits, memory_of_headers, memory_of_job, memory_of_reading
from .masks import add_mask, words_of
from .numbers import toned_proof, toned_tile
from .requests import check_export_request, check_fuse_request
from .storage import Storage, StoredBracket, new_name
from .worker import RESULT, is_quick

_SECONDS_BETWEEN_CLEARINGS = 20.0
# Floats of a result in both spaces, its picture and its tiles, and the reference photo.
_STORED_BYTES_PER_PIXEL = 46
# What a mask takes of memory while it is read, and then.
_MASK_BYTES_PER_PIXEL = 24


class StorageFullError(Exception):
    """No room on the disk, and nothing to remove that is not in use."""


@dataclass(frozen=True)
class ServerSettings:
    """How a server is set up.

    hosts: names beside localhost that it is reached by. root_path: where a proxy shows it, such as
    "/ghostless". folder: where to make the private folder; None for the system's temporary one.
    token: what every request must bring; None where only this machine can reach the server.
    """

    hosts: tuple[str, ...] = ()
    root_path: str = ""
    folder: Path | None = None
    limits: Limits = field(default_factory=Limits)
    token: str | None = None


class Server:
    """The brackets and jobs of one server, from its start to its end."""

    def __init__(self, settings: ServerSettings) -> None:
        self.limits = settings.limits
        self.storage = Storage(settings.folder)
        self.incoming = self.storage.folder / "incoming"
        self.incoming.mkdir(mode=0o700)
        self.jobs = Jobs(self.limits, self.incoming)
        self._clearing: asyncio.Task[None] | None = None
        self._proofs = asyncio.Semaphore(1)

    async def start(self) -> None:
        await self.jobs.start()
        self._clearing = asyncio.create_task(self._clear_now_and_then())

    async def close(self) -> None:
        """End all work and remove all files."""
        if self._clearing is not None:
            self._clearing.cancel()
            with suppress(asyncio.CancelledError):
                await self._clearing
        await self.jobs.close()
        self.storage.close()

    # Brackets -------------------------------------------------------------------------------------

    async def add_bracket(self, photos: Sequence[tuple[str | None, IO[bytes]]]) -> StoredBracket:
        """Take in the photos of one bracket and look at them.

        photos: their names as the client has them, and their content. Raises GhostlessError if they
        make no bracket, and keeps nothing of them then.
        """
        check_frame_count(len(photos))
        if len(photos) > self.limits.frames:
            raise BracketError(
                f"expected at most {self.limits.frames} photos, found {len(photos)}; "
                "give one bracket at a time"
            )
        bracket = self.storage.new_bracket()
        try:
            for name, content in photos:
                await asyncio.to_thread(bracket.add, name, content)
            if bracket.file_bytes > self.limits.bracket_bytes:
                raise InputError(
                    f"expected at most {self.limits.bracket_bytes:,} bytes, "
                    f"found {bracket.file_bytes:,}; give fewer or smaller photos"
                )
            await self._make_room(0)
            bracket.facts = await self._look_at(bracket)
        except BaseException:
            self.storage.discard(bracket)
            raise
        self.storage.keep(bracket)
        return bracket

    async def _look_at(self, bracket: StoredBracket) -> dict[str, Any]:
        """Read the photos' headers, and when there is memory for what they say, the photos."""
        task = self._task("measure", bracket, bracket.folder)
        headers = Job("measure", bracket, task, memory_of_headers(bracket.file_bytes), quick=True)
        headers.memory_bytes = min(headers.memory_bytes, self.limits.memory_bytes)
        needed = (await self.jobs.run(headers))["memory_bytes"]
        task = self._task("inspect", bracket, bracket.folder)
        memory_bytes = memory_of_reading(needed, bracket.file_bytes)
        return await self.jobs.run(Job("inspect", bracket, task, memory_bytes, quick=True))

    def bracket(self, name: str) -> StoredBracket | None:
        """Return a bracket and remember that it was asked for."""
        found = self.storage.brackets.get(name)
        if found is not None:
            found.used = time.monotonic()
        return found

    async def remove_bracket(self, bracket: StoredBracket) -> None:
        await self.jobs.forget(bracket)
        self.storage.discard(bracket)

    # Jobs -----------------------------------------------------------------------------------------

    async def fuse(self, bracket: StoredBracket, request: dict[str, Any]) -> Job:
        """Queue the fusing of a bracket; raise GhostlessError for what cannot work."""
        frames = bracket.facts["frames"]
        method = check_fuse_request(request, len(frames))
        keep = words_of(bracket, request)
        pixels = frames[0]["width"] * frames[0]["height"]
        await self._make_room(_STORED_BYTES_PER_PIXEL * pixels, bracket)
        reference = request["reference"]
        reference = bracket.facts["reference"] if reference is None else reference
        stem = Path(bracket.names[frames[reference]["number"]]).stem
        memory_bytes = memory_of_job(
            len(frames), pixels, bracket.facts["sample_bytes"], network=method.needs_extra
        )
        if keep:
            memory_bytes += (_MASK_BYTES_PER_PIXEL + len(keep)) * pixels
        job = Job(
            "fuse",
            bracket,
            {},
            memory_bytes,
            file_name=f"{stem}-{method.name}.jpg",
            request=request,
        )
        folder = bracket.folder / job.id
        folder.mkdir(mode=0o700)
        job.file = folder / RESULT
        job.task = {**self._task("fuse", bracket, folder), "request": request, "keep": keep}
        return self._submit(job, folder)

    async def export(self, parent: Job, request: dict[str, Any]) -> Job:
        """Queue the writing of a job's result in another format."""
        assert parent.file is not None
        request = check_export_request(request)
        bracket, folder = parent.bracket, parent.file.parent
        out_folder = folder / new_name()
        out = out_folder / f"result{request['format']}"
        frames = bracket.facts["frames"]
        pixels = frames[0]["width"] * frames[0]["height"]
        await self._make_room(_STORED_BYTES_PER_PIXEL * pixels, bracket)
        job = Job(
            "export",
            bracket,
            {
                **self._task("export", bracket, folder),
                "out": str(out),
                "request": parent.request,
                "keep": words_of(bracket, parent.request),
                "export": request,
            },
            parent.memory_bytes,
            quick=is_quick(folder, request),
            file=out,
            file_name=f"{Path(parent.file_name).stem}{out.suffix}",
            parent=parent.id,
            request=request,
        )
        out_folder.mkdir(mode=0o700)
        return self._submit(job, out_folder)

    async def add_mask(self, bracket: StoredBracket, content: bytes) -> str:
        """Keep a mask that was painted for a bracket; returns its name."""
        await self._make_room(len(content), bracket)
        return await asyncio.to_thread(add_mask, bracket, content)

    async def toned(self, job: Job, controls: ToneControls) -> bytes:
        """A job's picture as a JPEG, small, with its tone set by hand; one is made at a time."""
        assert job.file is not None
        async with self._proofs:
            return await asyncio.to_thread(toned_proof, job.file.parent, controls)

    async def toned_tile(
        self, job: Job, controls: ToneControls, column: int, row: int
    ) -> bytes | None:
        """A tile of a job's picture as a JPEG, every pixel of it, with its tone set by hand."""
        assert job.file is not None
        async with self._proofs:
            return await asyncio.to_thread(toned_tile, job.file.parent, controls, column, row)

    def jobs_of(self, bracket: StoredBracket) -> list[Job]:
        """The jobs that fuse a bracket, in the order in which they were asked for."""
        every = self.jobs.all.values()
        return [job for job in every if job.bracket is bracket and job.kind == "fuse"]

    def job(self, name: str) -> Job | None:
        """Return a job and remember that its bracket was asked for."""
        found = self.jobs.all.get(name)
        if found is not None:
            found.bracket.used = time.monotonic()
        return found

    async def remove_job(self, job: Job) -> None:
        """Cancel a job and remove what it made, exports of it included."""
        for other in [job, *(each for each in self.jobs.all.values() if each.parent == job.id)]:
            await self.jobs.cancel(other)
            self.jobs.all.pop(other.id, None)
            if other.file is not None:
                await asyncio.to_thread(shutil.rmtree, other.file.parent, ignore_errors=True)

    def _submit(self, job: Job, folder: Path) -> Job:
        try:
            return self.jobs.submit(job)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _task(self, what: str, bracket: StoredBracket, folder: Path) -> dict[str, Any]:
        return {
            "do": what,
            "files": [str(file) for file in bracket.files],
            "folder": str(folder),
            "pixels": self.limits.pixels,
        }

    # Room -----------------------------------------------------------------------------------------

    async def _make_room(self, needed_bytes: int, keep: StoredBracket | None = None) -> None:
        """Remove the brackets that were unused longest until so much more fits."""
        while True:
            used = await asyncio.to_thread(self.storage.used_bytes)
            too_many = len(self.storage.brackets) > self.limits.brackets - (keep is None)
            if used + needed_bytes <= self.limits.stored_bytes and not too_many:
                return
            free = [
                bracket
                for bracket in self.storage.brackets.values()
                if bracket is not keep and not self.jobs.busy_with(bracket)
            ]
            if not free:
                raise StorageFullError
            await self.remove_bracket(min(free, key=lambda bracket: bracket.used))

    async def _clear_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(min(_SECONDS_BETWEEN_CLEARINGS, self.limits.keep_seconds / 2))
            await self.clear()

    async def clear(self) -> None:
        """Remove the brackets that nobody asked for in a while."""
        oldest = time.monotonic() - self.limits.keep_seconds
        for bracket in list(self.storage.brackets.values()):
            if bracket.used < oldest and not self.jobs.busy_with(bracket):
                await self.remove_bracket(bracket)


def media_type(suffix: str) -> str:
    """Return the media type of a format's files."""
    import mimetypes

    known = {".exr": "image/x-exr", ".hdr": "image/vnd.radiance", ".avif": "image/avif"}
    known |= {".webp": "image/webp", ".jxl": "image/jxl", ".dng": "image/x-adobe-dng"}
    return known.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"


MEDIA_TYPES = sorted({media_type(suffix) for known in OUTPUT_FORMATS for suffix in known.suffixes})
