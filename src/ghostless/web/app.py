"""The routes: the page, and the JSON API under it."""

from __future__ import annotations

import html
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Body, Depends, FastAPI, File, HTTPException, Request, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import GhostlessError
from ..tone.controls import ToneControls
from .facts import BracketFacts, JobFacts, MaskFacts, Problem, bracket_facts, job_facts
from .guard import Guard
from .jobs import Job, QueueFullError
from .requests import ExportRequest, FuseRequest, Offer, in_one_line, offer
from .server import MEDIA_TYPES, Server, ServerSettings, StorageFullError, media_type
from .storage import StoredBracket
from .uploads import UPLOAD_PATH

STATIC = Path(__file__).resolve().parent / "static"
_SECONDS_TO_RETRY = "10"
_NO_TILE = "expected a tile inside of the picture, found one outside"
_CACHED = {"cache-control": "private, max-age=3600"}


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    meaning = {
        400: "A body that cannot be read",
        401: "Without the token that this server asks for",
        403: "From a page of another origin",
        404: "Unknown, or removed after its time",
        408: "A body that comes too slowly",
        409: "Not done yet, or it failed",
        413: "More bytes than the server takes",
        421: "Addressed to a name that the server does not go by",
        422: "Something asked for cannot be done",
        429: "Too many jobs wait; try again later",
        507: "No room for more photos; try again later",
    }
    always = (401, 403, 421, 422)
    return {
        code: {"model": Problem, "description": meaning[code]} for code in sorted({*always, *codes})
    }


def _of_media(*types: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": dict.fromkeys(types, binary), "description": "The file"}}


Id = Annotated[str, InPath(max_length=64)]
Number = Annotated[int, InPath(ge=0, le=1000)]


def make_app(settings: ServerSettings | None = None) -> FastAPI:
    """Make the application: page, API and its schema at /api/openapi.json."""
    settings = settings or ServerSettings()

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        server = Server(settings)
        # Uploads are spooled by the libraries: into the private folder too.
        before, tempfile.tempdir = tempfile.tempdir, str(server.incoming)
        app.state.server = server
        try:
            await server.start()
            yield
        finally:
            tempfile.tempdir = before
            await server.close()

    app = FastAPI(
        title="Ghostless",
        version=__version__,
        summary="Fuses the bracketed photos of one scene into one good picture.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=run,
    )
    app.add_middleware(
        Guard,
        hosts=settings.hosts,
        root_path=settings.root_path,
        limits=settings.limits,
        token=settings.token,
    )
    _add_errors(app)
    _add_page(app)
    _add_brackets(app)
    _add_jobs(app)
    _add_files(app)
    _add_toned(app)
    _add_views(app)
    _drop_default_errors(app)
    return app


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _job_facts(request: Request, job: Job) -> JobFacts:
    return job_facts(job, _server(request).jobs.ahead_of(job))


def _bracket(request: Request, name: str) -> StoredBracket:
    found = _server(request).bracket(name)
    if found is None:
        raise HTTPException(404, "expected a bracket, found none of this name; it may be removed")
    return found


def _job(request: Request, name: str) -> Job:
    found = _server(request).job(name)
    if found is None:
        raise HTTPException(404, "expected a job, found none of this name; it may be removed")
    return found


def _done_job(request: Request, name: str) -> Job:
    job = _job(request, name)
    if job.state != "done":
        raise HTTPException(409, f"expected a job that is done, found it {job.state}")
    return job


def _fused_job(request: Request, name: str) -> Job:
    job = _done_job(request, name)
    if job.kind != "fuse":
        raise HTTPException(409, "expected a job that fused a bracket, found an export")
    return job


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(GhostlessError)
    async def refused(request: Request, error: GhostlessError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": in_one_line(error.errors())}, 422)

    @app.exception_handler(405)
    async def wrong_method(request: Request, error: HTTPException) -> JSONResponse:
        # Starlette names the methods of one route only; an address may have several.
        allowed: set[str] = set()
        for route in app.routes:
            if route.matches(request.scope)[0] is not Match.NONE:
                allowed |= getattr(route, "methods", None) or set()
        headers = {"allow": ", ".join(sorted(allowed))}
        return JSONResponse({"detail": error.detail}, 405, headers)

    @app.exception_handler(QueueFullError)
    async def full(request: Request, error: QueueFullError) -> JSONResponse:
        detail = "expected a free place in the queue, found none; try again when a job is done"
        return JSONResponse({"detail": detail}, 429, {"retry-after": _SECONDS_TO_RETRY})

    @app.exception_handler(StorageFullError)
    async def no_room(request: Request, error: StorageFullError) -> JSONResponse:
        detail = "expected room for more photos and results, found none; try again later"
        return JSONResponse({"detail": detail}, 507, {"retry-after": _SECONDS_TO_RETRY})


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        return _page("index.html", request)

    @app.get("/api", include_in_schema=False)
    @app.get("/api/", include_in_schema=False)
    async def reference(request: Request) -> HTMLResponse:
        return _page("api.html", request)

    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/api/options", summary="All that can be asked for", responses=_problems())
    async def options(request: Request) -> Offer:
        return offer(_server(request).limits)


def _page(name: str, request: Request) -> HTMLResponse:
    """A page whose addresses begin where a proxy shows it."""
    root = html.escape(request.scope.get("root_path", "").rstrip("/") + "/")
    text = (STATIC / name).read_text(encoding="utf-8")
    headers = {"cache-control": "no-cache"}
    return HTMLResponse(text.replace('<base href="/">', f'<base href="{root}">'), headers=headers)


def _add_brackets(app: FastAPI) -> None:
    @app.post(
        UPLOAD_PATH,
        status_code=201,
        summary="Upload the photos of one scene",
        responses=_problems(400, 408, 413, 429, 507),
    )
    async def upload(
        request: Request,
        files: Annotated[list[UploadFile], File(description="2 to 20 photos of one scene")],
    ) -> BracketFacts:
        photos = [(file.filename, file.file) for file in files]
        return bracket_facts(await _server(request).add_bracket(photos))

    @app.get(
        UPLOAD_PATH + "/{bracket}", summary="The photos of a bracket", responses=_problems(404)
    )
    async def bracket(request: Request, bracket: Id) -> BracketFacts:
        return bracket_facts(_bracket(request, bracket))

    @app.delete(
        UPLOAD_PATH + "/{bracket}",
        status_code=204,
        summary="Remove a bracket, its jobs and results",
        responses=_problems(404),
    )
    async def remove(request: Request, bracket: Id) -> None:
        await _server(request).remove_bracket(_bracket(request, bracket))


def _add_jobs(app: FastAPI) -> None:
    @app.post(
        UPLOAD_PATH + "/{bracket}/jobs",
        status_code=202,
        summary="Fuse a bracket",
        responses=_problems(400, 404, 408, 413, 429, 507),
    )
    async def fuse(request: Request, bracket: Id, wanted: FuseRequest) -> JobFacts:  # type: ignore[valid-type]
        found = _bracket(request, bracket)
        return _job_facts(request, await _server(request).fuse(found, wanted.model_dump()))  # type: ignore[attr-defined]

    @app.get(
        UPLOAD_PATH + "/{bracket}/jobs",
        summary="The jobs that fuse a bracket, the oldest first",
        responses=_problems(404),
    )
    async def jobs(request: Request, bracket: Id) -> list[JobFacts]:
        found = _server(request).jobs_of(_bracket(request, bracket))
        return [_job_facts(request, each) for each in found]

    @app.post(
        UPLOAD_PATH + "/{bracket}/masks",
        status_code=201,
        summary="Upload a mask: a PNG of the photos' size, white where it holds",
        responses=_problems(400, 404, 408, 413, 507),
    )
    async def mask(
        request: Request,
        bracket: Id,
        content: Annotated[bytes, Body(media_type="image/png", description="The PNG")],
    ) -> MaskFacts:
        return MaskFacts(id=await _server(request).add_mask(_bracket(request, bracket), content))

    @app.get("/api/jobs/{job}", summary="How far a job is", responses=_problems(404))
    async def job(request: Request, job: Id) -> JobFacts:
        return _job_facts(request, _job(request, job))

    @app.delete(
        "/api/jobs/{job}",
        status_code=204,
        summary="Cancel a job, or remove its result",
        responses=_problems(404),
    )
    async def cancel(request: Request, job: Id) -> None:
        await _server(request).remove_job(_job(request, job))

    @app.post(
        "/api/jobs/{job}/exports",
        status_code=202,
        summary="Write a result in another format",
        responses=_problems(400, 404, 408, 409, 413, 429, 507),
    )
    async def export(request: Request, job: Id, wanted: ExportRequest) -> JobFacts:  # type: ignore[valid-type]
        found = _fused_job(request, job)
        made = await _server(request).export(found, wanted.model_dump())  # type: ignore[attr-defined]
        return _job_facts(request, made)


def _add_files(app: FastAPI) -> None:
    @app.get(
        UPLOAD_PATH + "/{bracket}/frames/{frame}/{size}.jpg",
        summary="A photo of a bracket, reduced",
        response_class=Response,
        responses={**_problems(404), **_of_media("image/jpeg")},
    )
    async def frame(
        request: Request, bracket: Id, frame: Number, size: Literal["thumbnail", "preview"]
    ) -> FileResponse:
        found = _bracket(request, bracket)
        if frame >= len(found.facts["frames"]):
            raise HTTPException(404, "expected a photo of this bracket, found none of this number")
        name = {"thumbnail": "thumbnail", "preview": "frame"}[size]
        return FileResponse(found.folder / f"{name}-{frame}.jpg", headers=_CACHED)

    @app.get(
        "/api/jobs/{job}/file",
        summary="What a job wrote",
        response_class=Response,
        responses={**_problems(404, 409), **_of_media(*MEDIA_TYPES)},
    )
    async def file(request: Request, job: Id) -> FileResponse:
        found = _done_job(request, job)
        assert found.file is not None
        return FileResponse(
            found.file, filename=found.file_name, media_type=media_type(found.file.suffix)
        )


def _add_toned(app: FastAPI) -> None:
    @app.get(
        "/api/jobs/{job}/toned.jpg",
        summary="The picture with its tone set by hand, reduced",
        response_class=Response,
        responses={**_problems(404, 409), **_of_media("image/jpeg")},
    )
    async def toned(
        request: Request, job: Id, controls: Annotated[ToneControls, Depends(_controls)]
    ) -> Response:
        picture = await _server(request).toned(_fused_job(request, job), controls)
        return Response(picture, media_type="image/jpeg", headers=_CACHED)

    @app.get(
        "/api/jobs/{job}/toned/{column}/{row}.jpg",
        summary="A tile of the picture with its tone set by hand, every pixel of it",
        response_class=Response,
        responses={**_problems(404, 409), **_of_media("image/jpeg")},
    )
    async def toned_tile(
        request: Request,
        job: Id,
        column: Number,
        row: Number,
        controls: Annotated[ToneControls, Depends(_controls)],
    ) -> Response:
        found = _fused_job(request, job)
        tile = await _server(request).toned_tile(found, controls, column, row)
        if tile is None:
            raise HTTPException(404, _NO_TILE)
        return Response(tile, media_type="image/jpeg", headers=_CACHED)


def _add_views(app: FastAPI) -> None:
    @app.get(
        "/api/jobs/{job}/views/{view}/preview.jpg",
        summary="A picture to look at, reduced",
        response_class=Response,
        responses={**_problems(404, 409), **_of_media("image/jpeg")},
    )
    async def preview(request: Request, job: Id, view: Id) -> FileResponse:
        folder, _ = _view(request, job, view)
        return FileResponse(folder / "preview.jpg", headers=_CACHED)

    @app.get(
        "/api/jobs/{job}/views/{view}/{column}/{row}.jpg",
        summary="A tile of a picture, every pixel of it",
        response_class=Response,
        responses={**_problems(404, 409), **_of_media("image/jpeg")},
    )
    async def tile(
        request: Request, job: Id, view: Id, column: Number, row: Number
    ) -> FileResponse:
        folder, facts = _view(request, job, view)
        side = facts["tile"]
        if not side or column * side >= facts["width"] or row * side >= facts["height"]:
            raise HTTPException(404, _NO_TILE)
        return FileResponse(folder / f"{column}-{row}.jpg", headers=_CACHED)

    @app.get(
        "/api/jobs/{job}/layers/{layer}.png",
        summary="A layer to lay over the picture",
        response_class=Response,
        responses={**_problems(404, 409), **_of_media("image/png")},
    )
    async def layer(request: Request, job: Id, layer: Id) -> FileResponse:
        found = _done_job(request, job)
        known = {each["name"] for each in found.value.get("layers", ())}
        if layer not in known or found.file is None:
            raise HTTPException(404, "expected a layer of this job, found none of this name")
        return FileResponse(found.file.parent / f"{layer}.png", headers=_CACHED)


def _controls(
    exposure: float = 0.0,
    highlights: float = 0.0,
    shadows: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    temperature: float = 0.0,
    tint: float = 0.0,
    strength: float = 1.0,
) -> ToneControls:
    return ToneControls(
        exposure, highlights, shadows, contrast, saturation, temperature, tint, strength
    )


def _view(request: Request, job: str, view: str) -> tuple[Path, dict[str, Any]]:
    """The folder and facts of a job's view; the name is looked up, never put into a path as is."""
    found = _done_job(request, job)
    known = {each["name"]: each for each in found.value.get("views", ())}
    if view not in known or found.file is None:
        raise HTTPException(404, "expected a view of this job, found none of this name")
    return found.file.parent / view, known[view]


def _drop_default_errors(app: FastAPI) -> None:
    """Leave FastAPI's own models of errors out of the schema: `Problem` stands for all."""
    make_schema = app.openapi

    def schema() -> dict[str, Any]:
        made = make_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            made["components"]["schemas"].pop(name, None)
        return made

    app.openapi = schema  # type: ignore[method-assign]
