"""What the API tells: of photos, of a bracket, of a job and what came of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from .jobs import Job, Kind, State
from .storage import StoredBracket


class Problem(BaseModel):
    """What was expected, what was found, and what to do."""

    detail: str


class FrameFacts(BaseModel):
    """One photo. number: its place in the upload. stops: its exposure, larger is brighter."""

    number: int
    name: str
    width: int
    height: int
    type: str
    transfer: str
    stops: float | None
    stops_source: str | None
    shutter_seconds: float | None
    aperture_f_number: float | None
    iso: float | None
    taken_at: str | None
    camera: str | None
    lens: str | None
    reference: bool


class BracketFacts(BaseModel):
    """The photos of one scene, dark to bright. reference: whose moving things would be kept."""

    id: str
    frames: list[FrameFacts]
    reference: int
    notes: list[str]


class MaskFacts(BaseModel):
    """A mask that was taken in. id: its name, to give in a request's `keep`."""

    id: str


class View(BaseModel):
    """A picture to look at: the result ("picture"), its tone as it was before it was set by hand,
    or an aligned photo ("frame").

    tile: side of its tiles in pixels; 0 where the preview has all its pixels. left, top: where it
    lies on the photos, where they were cropped.
    """

    name: str
    kind: Literal["picture", "frame"]
    frame: int | None
    width: int
    height: int
    tile: int
    left: int = 0
    top: int = 0


class Layer(BaseModel):
    """Something to lay over the picture: ghosts replaced in a frame, its weights, attention."""

    name: str
    kind: Literal["ghosts", "weights", "attention"]
    frame: int | None


class JobFacts(BaseModel):
    """A job: fusing a bracket, or writing a result in another format.

    ahead: jobs before it in the queue. fraction: how much is done, 0..1. error: why it failed.
    file: name of what it wrote, to fetch from its address plus /file.
    """

    id: str
    kind: Kind
    bracket: str
    state: State
    stage: str
    fraction: float
    ahead: int
    error: str | None
    seconds: float
    file: str | None
    request: dict[str, Any]
    views: list[View]
    layers: list[Layer]
    report: dict[str, Any] | None


def bracket_facts(bracket: StoredBracket) -> BracketFacts:
    facts = bracket.in_clients_words(bracket.facts)
    frames = [{**frame, "name": bracket.names[frame["number"]]} for frame in facts["frames"]]
    return BracketFacts(
        id=bracket.id,
        frames=[FrameFacts.model_validate(frame) for frame in frames],
        reference=facts["reference"],
        notes=facts["notes"],
    )


def job_facts(job: Job, ahead: int) -> JobFacts:
    value = job.bracket.in_clients_words(job.value)
    return JobFacts(
        id=job.id,
        kind=job.kind,
        bracket=job.bracket.id,
        state=job.state,
        stage=job.stage,
        fraction=job.fraction,
        ahead=ahead,
        error=job.error,
        seconds=round(job.seconds, 3),
        file=job.file_name if job.state == "done" else None,
        request=job.request,
        views=value.get("views", []),
        layers=value.get("layers", []),
        report=value.get("report"),
    )
