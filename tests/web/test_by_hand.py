"""Tone and ghosts by hand over the API: masks that come up, proofs that go down, downloads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from ghostless.tone.controls import ToneControls
from ghostless.web import masks, views
from ghostless.web.app import make_app
from ghostless.web.limits import Limits
from ghostless.web.server import ServerSettings
from tests.files import save_bracket, save_shaken_bracket

from .conftest import ADDRESS, upload, wait

TONE = {"exposure": 0.5, "shadows": 40.0, "strength": 0.7}
PNG = {"content-type": "image/png"}


def pixels_of(data: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)


def png(mask: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def send(client: TestClient, bracket: dict[str, Any], content: bytes) -> Any:
    return client.post(f"/api/brackets/{bracket['id']}/masks", content=content, headers=PNG)


def fuse(client: TestClient, bracket: dict[str, Any], **request: Any) -> dict[str, Any]:
    answer = client.post(f"/api/brackets/{bracket['id']}/jobs", json=request)
    assert answer.status_code == 202, answer.text
    job = wait(client, answer.json())
    assert job["state"] == "done", job
    return job


def left_half(bracket: dict[str, Any]) -> NDArray[np.uint8]:
    frame = bracket["frames"][0]
    mask = np.zeros((frame["height"], frame["width"]), np.uint8)
    mask[:, : frame["width"] // 2] = 255
    return mask


def download(client: TestClient, job: dict[str, Any], **wanted: Any) -> NDArray[np.float64]:
    answer = client.post(f"/api/jobs/{job['id']}/exports", json={"format": ".png", **wanted})
    assert answer.status_code == 202, answer.text
    made = wait(client, answer.json())
    assert made["state"] == "done", made
    return pixels_of(client.get(f"/api/jobs/{made['id']}/file").content)


def test_a_proof_looks_as_the_download_will(client: TestClient, done: dict[str, Any]) -> None:
    address = f"/api/jobs/{done['id']}/toned.jpg"
    plain = pixels_of(client.get(address).content)
    proof = pixels_of(client.get(address, params=TONE).content)
    assert np.abs(plain - download(client, done)).mean() < 3  # JPEG
    assert np.abs(proof - download(client, done, tone=TONE)).mean() < 3
    assert np.abs(proof - plain).mean() > 10


def test_tiles_of_a_toned_picture_have_every_pixel_of_the_download(
    client: TestClient, bracket: dict[str, Any], done: dict[str, Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(views, "TILE_PIXELS", 40)
    address = f"/api/jobs/{done['id']}/toned"
    toned = download(client, done, tone=TONE)
    tile = pixels_of(client.get(f"{address}/1/0.jpg", params=TONE).content)
    assert tile.shape[:2] == (40, min(40, toned.shape[1] - 40))
    assert np.abs(tile - toned[:40, 40:80]).mean() < 3  # JPEG
    for place in ("0/99", "99/0"):
        answer = client.get(f"{address}/{place}.jpg")
        assert answer.status_code == 404
        assert "inside of the picture" in answer.json()["detail"]
    assert client.get(f"{address}/0/0.jpg", params={"exposure": 9}).status_code == 422


def test_a_cropped_result_takes_masks_of_the_photos_size(
    client: TestClient, tmp_path: Path
) -> None:
    bracket = upload(client, save_shaken_bracket(tmp_path)).json()
    crop = {"crop": True}
    job = fuse(client, bracket, align=crop)
    (view,) = (view for view in job["views"] if view["kind"] == "picture")
    assert view["width"] < bracket["frames"][0]["width"]
    assert view["left"] == bracket["frames"][0]["width"] - view["width"] > 0
    name = send(client, bracket, png(left_half(bracket))).json()["id"]
    kept = fuse(client, bracket, align=crop, keep=[{"frame": 0, "mask": name}])
    assert kept["report"]["settings"]["keep"]


def test_strength_0_is_the_reference_photo(
    client: TestClient, bracket: dict[str, Any], done: dict[str, Any], photos: list[Path]
) -> None:
    shown = download(client, done, tone={"strength": 0.0})
    (reference,) = (f for f in done["report"]["frames"] if f["reference"])
    (path,) = (path for path in photos if path.name == reference["file"])
    assert np.abs(shown - pixels_of(path.read_bytes())).max() <= 1


def test_a_request_has_its_tone_and_a_download_another(
    client: TestClient, bracket: dict[str, Any], done: dict[str, Any]
) -> None:
    toned = fuse(client, bracket, tone=TONE)
    assert toned["report"]["settings"]["tone"]["shadows"] == 40
    as_asked = download(client, toned)
    assert np.abs(as_asked - download(client, done, tone=TONE)).max() == 0
    file = pixels_of(client.get(f"/api/jobs/{toned['id']}/file").content)
    assert np.abs(file - as_asked).mean() < 3
    neutral = download(client, toned, tone={})
    assert np.abs(neutral - download(client, done)).max() == 0
    # Radiance takes what can be said of it.
    answer = client.post(
        f"/api/jobs/{toned['id']}/exports", json={"format": ".exr", "tone": {"contrast": 50}}
    )
    assert wait(client, answer.json())["state"] == "done"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("exposure=9", "tone.exposure: expected a number from -5 to 5, found 9"),
        ("contrast=-101", "tone.contrast: expected a number from -100 to 100"),
        ("strength=nan", "tone.strength: expected a number from 0 to 2, found nan"),
        ("tint=much", "tint: input should be a valid number"),
    ],
)
def test_a_tone_out_of_range_is_one_line(
    client: TestClient, bracket: dict[str, Any], done: dict[str, Any], query: str, said: str
) -> None:
    answer = client.get(f"/api/jobs/{done['id']}/toned.jpg?{query}")
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    name, _, value = query.partition("=")
    if value.lstrip("-").isdecimal():
        for address in (f"brackets/{bracket['id']}/jobs", f"jobs/{done['id']}/exports"):
            body = {
                "tone": {name: float(value)},
                **({"format": ".png"} if "exp" in address else {}),
            }
            refused = client.post(f"/api/{address}", json=body)
            assert refused.status_code == 422
            assert said in refused.json()["detail"]


def test_a_photo_is_kept_where_the_mask_is_white(
    client: TestClient, bracket: dict[str, Any], done: dict[str, Any]
) -> None:
    sent = send(client, bracket, png(left_half(bracket)))
    assert sent.status_code == 201, sent.text
    again = send(client, bracket, png(left_half(bracket)))
    assert again.json() == sent.json()
    kept = fuse(client, bracket, keep=[{"frame": 0, "mask": sent.json()["id"]}])
    shares = [frame["deghosted_share"] for frame in kept["report"]["frames"]]
    assert shares[0] == 0
    assert all(share > 0.3 for share in shares[1:])
    assert "/" not in kept["report"]["settings"]["keep"][0].replace("masks/", "")
    before, after = download(client, done), download(client, kept)
    half = before.shape[1] // 2
    changed = np.abs(after - before).mean(axis=2)
    assert changed[:, : half - 16].mean() > 8 * changed[:, half + 16 :].mean()
    # The numbers of an export come from the same masks.
    export = client.post(f"/api/jobs/{kept['id']}/exports", json={"format": ".exr"})
    assert wait(client, export.json())["state"] == "done"


def test_nothing_is_replaced_where_that_is_painted(
    client: TestClient, bracket: dict[str, Any]
) -> None:
    sent = send(client, bracket, png(np.full_like(left_half(bracket), 255)))
    job = fuse(
        client, bracket, deghost={"mode": "on"}, keep=[{"frame": None, "mask": sent.json()["id"]}]
    )
    assert all(not frame["deghosted_share"] for frame in job["report"]["frames"])


def test_what_is_no_mask_is_refused(client: TestClient, bracket: dict[str, Any]) -> None:
    mask = left_half(bracket)
    sixteen = io.BytesIO()
    Image.fromarray(mask.astype(np.uint16) * 257).save(sixteen, "PNG")
    for content, said in (
        (png(mask[:-1]), "expected a mask of the photos' size, 128 x 96 pixels, found"),
        (b"no picture", "expected a mask as a PNG"),
        (b"\x89PNG\r\n\x1a\n", "expected a mask as a PNG"),
        (sixteen.getvalue(), "of 1 to 8 bits"),
    ):
        answer = send(client, bracket, content)
        assert answer.status_code == 422
        assert said in answer.json()["detail"]
    large = send(client, bracket, bytes(8_000_001))
    assert large.status_code == 413


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"keep": [{"frame": 3, "mask": "MASK"}]}, "keep: expected a photo from 0 (darkest) to 2"),
        ({"keep": [{"frame": -1, "mask": "MASK"}]}, "keep: expected a photo from 0"),
        ({"keep": [{"frame": 0, "mask": "../../etc/passwd"}]}, "keep: expected a mask that was up"),
        ({"keep": ["0:/etc/passwd"]}, "keep.0: input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    client: TestClient, bracket: dict[str, Any], request_: dict[str, Any], said: str
) -> None:
    name = send(client, bracket, png(left_half(bracket))).json()["id"]
    for kept in request_["keep"]:
        if isinstance(kept, dict) and kept["mask"] == "MASK":
            kept["mask"] = name
    answer = client.post(f"/api/brackets/{bracket['id']}/jobs", json=request_)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.fixture
def another(tmp_path: Path) -> Iterator[tuple[TestClient, dict[str, Any]]]:
    """A server of its own with a bracket."""
    settings = ServerSettings(folder=tmp_path, limits=Limits(pixels=1_000_000))
    photos = save_bracket(tmp_path / "photos", height=32, width=48, suffix=".jpg")
    with TestClient(make_app(settings), base_url=ADDRESS) as client:
        yield client, upload(client, photos).json()


def test_masks_are_counted_and_go_with_their_bracket(
    another: tuple[TestClient, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client, bracket = another
    monkeypatch.setattr(masks, "_MOST_MASKS", 2)
    for value in (1, 2):
        assert send(client, bracket, png(np.full((32, 48), value, np.uint8))).status_code == 201
    assert len(list(tmp_path.glob("ghostless-web-*/*/masks/*.png"))) == 2
    answer = send(client, bracket, png(np.full((32, 48), 3, np.uint8)))
    assert answer.status_code == 422
    assert "expected at most 2 masks" in answer.json()["detail"]
    assert client.delete(f"/api/brackets/{bracket['id']}").status_code == 204
    assert not list(tmp_path.glob("ghostless-web-*/*/masks/*.png"))
    assert send(client, bracket, b"").status_code in (404, 422)


def test_a_second_visit_finds_the_jobs(client: TestClient, done: dict[str, Any]) -> None:
    jobs = client.get(f"/api/brackets/{done['bracket']}/jobs").json()
    assert done["id"] in [job["id"] for job in jobs]
    assert {job["kind"] for job in jobs} == {"fuse"}
    (found,) = (job for job in jobs if job["id"] == done["id"])
    assert found["views"] == done["views"]
    assert client.get("/api/brackets/nobody/jobs").status_code == 404


def test_the_page_is_told_the_sliders(client: TestClient) -> None:
    told = client.get("/api/options").json()["tone"]
    assert list(told) == list(ToneControls.__dataclass_fields__)
    assert told["exposure"]["minimum"] == -5
    assert told["strength"]["default"] == 1
    assert all(each["description"] for each in told.values())
