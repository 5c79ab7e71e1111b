"""The API as a program uses it: upload, fuse, look, download, remove; and what it refuses."""

from __future__ import annotations

import io
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import ghostless
from ghostless.io.encode import OUTPUT_FORMATS
from ghostless.methods import METHODS
from ghostless.pipeline import FuseOptions
from ghostless.tone.operators import OPERATORS
from ghostless.web.app import make_app
from ghostless.web.limits import Limits
from ghostless.web.server import ServerSettings
from tests.files import save_photo

from .conftest import ADDRESS, upload, wait


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def start(client: TestClient, bracket: dict[str, Any], **request: Any) -> dict[str, Any]:
    answer = client.post(f"/api/brackets/{bracket['id']}/jobs", json=request)
    assert answer.status_code == 202, answer.text
    facts: dict[str, Any] = answer.json()
    return facts


def test_photos_are_told_dark_to_bright_by_the_clients_names(bracket: dict[str, Any]) -> None:
    assert [frame["name"] for frame in bracket["frames"]] == [
        "frame_1.jpg",
        "frame_2.jpg",
        "frame_3.jpg",
    ]
    assert [frame["number"] for frame in bracket["frames"]] == [2, 1, 0]
    stops = [frame["stops"] for frame in bracket["frames"]]
    assert np.diff(stops) == pytest.approx([2, 2])
    assert {frame["stops_source"] for frame in bracket["frames"]} == {"exif"}
    assert bracket["frames"][1]["shutter_seconds"] == pytest.approx(1 / 256)
    assert [frame["reference"] for frame in bracket["frames"]].count(True) == 1
    assert bracket["frames"][bracket["reference"]]["reference"]


def test_previews_of_photos(client: TestClient, bracket: dict[str, Any]) -> None:
    address = f"/api/brackets/{bracket['id']}/frames"
    means = []
    for index in range(3):
        answer = client.get(f"{address}/{index}/thumbnail.jpg")
        assert answer.headers["content-type"] == "image/jpeg"
        assert picture(answer.content).size == (128, 96)
        means.append(np.asarray(picture(answer.content)).mean())
    assert means == sorted(means)
    assert client.get(f"{address}/3/preview.jpg").status_code == 404
    assert client.get(f"{address}/0/other.jpg").status_code == 422


def test_the_result_is_that_of_the_command(
    client: TestClient, done: dict[str, Any], photos: list[Path], tmp_path: Path
) -> None:
    ghostless.fuse_files(photos, tmp_path / "out.jpg")
    answer = client.get(f"/api/jobs/{done['id']}/file")
    assert answer.content == (tmp_path / "out.jpg").read_bytes()
    assert answer.headers["content-disposition"].endswith('-mertens.jpg"')
    assert done["report"]["method"] == "mertens"
    assert [frame["file"] for frame in done["report"]["frames"]] == [
        "frame_1.jpg",
        "frame_2.jpg",
        "frame_3.jpg",
    ]
    assert done["fraction"] == 1


def test_auto_goes_by_the_number_of_photos(client: TestClient, photos: list[Path]) -> None:
    offer = client.get("/api/options").json()
    assert (offer["auto_method"], offer["auto_methods"]) == ("mertens", {"2": "learned-fusion"})
    two = upload(client, photos[:2]).json()
    asked = {"deghost": {"mode": "off"}}
    job = wait(client, start(client, two, **asked))
    assert job["report"]["method"] == "learned-fusion"
    own = {"levels": 3}  # a setting of mertens
    job = wait(client, start(client, two, **asked, method_settings=own))
    assert job["report"]["method"] == "mertens"


def test_pictures_and_layers_to_look_at(client: TestClient, done: dict[str, Any]) -> None:
    assert {view["name"] for view in done["views"]} == {"picture", "frame-0", "frame-1", "frame-2"}
    for view in done["views"]:
        answer = client.get(f"/api/jobs/{done['id']}/views/{view['name']}/preview.jpg")
        assert picture(answer.content).size == (view["width"], view["height"]) == (128, 96)
    kinds = [layer["kind"] for layer in done["layers"]]
    assert kinds.count("weights") == 3
    for layer in done["layers"]:
        answer = client.get(f"/api/jobs/{done['id']}/layers/{layer['name']}.png")
        assert answer.headers["content-type"] == "image/png"
        assert picture(answer.content).size[0] > 0
    for wrong in ("views/other/preview.jpg", "views/picture/0/0.jpg", "layers/photos.png"):
        assert client.get(f"/api/jobs/{done['id']}/{wrong}").status_code == 404


def test_every_format_of_the_table_can_be_downloaded(
    client: TestClient, done: dict[str, Any], photos: list[Path], tmp_path: Path
) -> None:
    offered = client.get("/api/options").json()["formats"]
    assert {each["suffix"] for each in offered} == {known.suffixes[0] for known in OUTPUT_FORMATS}
    jobs = []
    for each in offered:
        wanted = {"format": each["suffix"], "hdr": each["hdr"], "depth": each["depths"][-1]}
        answer = client.post(f"/api/jobs/{done['id']}/exports", json=wanted)
        assert answer.status_code == 202, (each, answer.text)
        jobs.append((each, answer.json()))
    for each, started in jobs:
        job = wait(client, started)
        assert job["state"] == "done", (each, job)
        assert job["file"].endswith(each["suffix"])
        answer = client.get(f"/api/jobs/{job['id']}/file")
        assert answer.headers["content-type"].startswith("image/")
        path = tmp_path / f"{each['hdr']}{each['suffix']}"
        path.write_bytes(answer.content)
        if not (each["hdr"] and each["suffix"] == ".avif"):  # PQ is refused as an input
            image = ghostless.read_image(path)
            assert image.pixels.shape == (96, 128, 3)
            assert image.space == each["space"] or each["suffix"] == ".tif"
    # The same files as the command writes; the gain-map JPEG holds both results.
    ghostless.fuse_files(photos, tmp_path / "gain_map.jpg", FuseOptions(hdr=True))
    assert (tmp_path / "gain_map.jpg").read_bytes() == (tmp_path / "True.jpg").read_bytes()


def test_a_method_with_radiance_is_tone_mapped_and_exported_from_its_numbers(
    client: TestClient, bracket: dict[str, Any]
) -> None:
    request = {"method": "debevec", "tone_map": {"operator": "reinhard", "exposure_stops": -1}}
    job = wait(client, start(client, bracket, **request))
    assert job["state"] == "done", job
    assert job["request"]["tone_map"]["operator"] == "reinhard"
    assert not [layer for layer in job["layers"] if layer["kind"] == "weights"]
    answer = client.post(f"/api/jobs/{job['id']}/exports", json={"format": ".exr"})
    export = wait(client, answer.json())
    assert export["state"] == "done"
    assert export["stage"] == "write"
    assert export["seconds"] < 5
    # An export cannot be exported; removing the job removes it too.
    again = client.post(f"/api/jobs/{export['id']}/exports", json={"format": ".png"})
    assert again.status_code == 409
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404
    assert client.get(f"/api/jobs/{export['id']}/file").status_code == 404


def test_stops_and_reference_are_those_of_the_upload(
    client: TestClient, bracket: dict[str, Any]
) -> None:
    # Sent brightest first, so the first number is the brightest photo's.
    job = wait(client, start(client, bracket, stops=[3, 0, -3], reference=2))
    frames = job["report"]["frames"]
    assert [frame["stops"] for frame in frames] == [-3, 0, 3]
    assert {frame["stops_source"] for frame in frames} == {"user"}
    assert [frame["reference"] for frame in frames] == [False, False, True]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method": "mertns"}, "did you mean 'mertens'"),
    ({"method": 3}, "method: input should be a valid string"),
    ({"align": {"model": "sideways"}}, "align.model"),
    ({"align": {"crop": "yes"}}, "align.crop"),
    ({"deghost": {"sensitivity": 99}}, "0.25 to 4"),
    ({"tone_map": {"operator": "reinhart"}}, "did you mean 'reinhard'"),
    ({"stops": [1, 2]}, "expected 3 numbers"),
    ({"reference": 3}, "from 0 (darkest) to 2"),
    ({"method_settings": {"contrast": -1}}, "contrast: expected a number of 0 or more"),
    ({"method_settings": {"contrast": "much"}}, "settings of mertens: contrast"),
    ({"method_settings": {"colour": 1}}, "settings of mertens: colour"),
    ({"method": "chen-chuang", "method_settings": {"weights": "/etc/passwd"}}, "weights: files"),
    ({"method": "lcndr", "method_settings": {"quality": "best"}}, "settings of lcndr: quality"),
    ({"stops_file": "/etc/passwd"}, "stops_file"),
    ({"save_stages": "/tmp/x"}, "save_stages"),
    ({"report": "/tmp/x.json"}, "report"),
]


@pytest.mark.parametrize(("request_", "said"), REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line(
    client: TestClient, bracket: dict[str, Any], request_: dict[str, Any], said: str
) -> None:
    answer = client.post(f"/api/brackets/{bracket['id']}/jobs", json=request_)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert said in detail
    assert "\n" not in detail


def test_not_a_number_is_no_number(client: TestClient, bracket: dict[str, Any]) -> None:
    address = f"/api/brackets/{bracket['id']}/jobs"
    for text in ('{"stops": [NaN, 0, 1]}', '{"deghost": {"sensitivity": Infinity}}', "{", "[]"):
        answer = client.post(address, content=text, headers={"content-type": "application/json"})
        assert answer.status_code == 422, text


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"format": ".bmp"}, "unknown format '.bmp'"),
        *(
            ({"format": path}, "unknown format")
            for path in (
                "../../x.jpg/../y",
                "/../../../x.jpg",
                "/x.jpg",
                ".jpg/",
                "x.jpg",
                "..jpg",
                "./.jpg",
                ".jpg\x00",
                ".jpg ",
                " .jpg",
                ".jpg\n.jpg",
                "\\x.jpg",
                "/" * 5000 + ".jpg",
                "",
                "jpg",
                ".jpg.png",
            )
        ),
        ({"format": ".jpg", "depth": 16}, "expected a depth of 8 bits"),
        ({"format": ".png", "hdr": True}, "HDR displays"),
        ({"format": ".jpg", "quality": 0}, "1 to 100"),
        ({"format": ".jpg", "overwrite": True}, "overwrite"),
        ({}, "format"),
    ],
)
def test_formats_that_cannot_be_written(
    client: TestClient, done: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    answer = client.post(f"/api/jobs/{done['id']}/exports", json=wanted)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_suffix_in_capitals_is_the_same_format(client: TestClient, done: dict[str, Any]) -> None:
    answer = client.post(f"/api/jobs/{done['id']}/exports", json={"format": ".PNG"})
    assert answer.status_code == 202
    job = wait(client, answer.json())
    assert (job["state"], job["request"]["format"]) == ("done", ".png")
    assert job["file"].endswith(".png")


def kept(private: Path) -> set[Path]:
    return {path for path in private.rglob("*") if "incoming" not in path.parts}


def test_what_is_no_bracket_is_refused_and_removed(
    client: TestClient, private: Path, photos: list[Path], tmp_path: Path
) -> None:
    before = kept(private)
    text = tmp_path / "text.jpg"
    text.write_bytes(b"just words\n" * 50)
    other = save_photo(tmp_path / "other.jpg", np.zeros((40, 50, 3), np.uint8), stops=1)
    large = save_photo(tmp_path / "large.jpg", np.zeros((1001, 1000, 3), np.uint8), stops=1)
    for files, names, said in (
        ([photos[0]], None, "at least 2 frames"),
        ([photos[0]] * 7, None, "at most 6 photos"),
        ([photos[0], text], ["a.jpg", "../../etc/words.txt"], "words.txt: expected a photo"),
        ([photos[0], other], ["one.jpg", "two.jpg"], "two.jpg: expected 128 x 96 pixels like one"),
        ([large, large], None, "at most 1,000,000 pixels"),
    ):
        answer = upload(client, files, names)
        assert answer.status_code == 422, answer.text
        assert said in answer.json()["detail"]
        assert str(private) not in answer.text
        assert "photo-" not in answer.text
    assert kept(private) == before
    assert not list(private.rglob("incoming/*"))


def test_a_clients_names_are_shown_but_never_used(
    client: TestClient, private: Path, photos: list[Path]
) -> None:
    names = ["../../../up.jpg", "C:\\Photos\\window.jpg", "/etc/" + 300 * "x"]
    bracket = upload(client, photos, names).json()
    shown = [frame["name"] for frame in bracket["frames"]]
    assert shown[:2] == ["up.jpg", "window.jpg"]
    assert len(shown[2]) == 120
    for path in private.rglob("*"):
        assert not any(word in path.name for word in ("up.jpg", "window", "xxx", "etc"))
    assert client.delete(f"/api/brackets/{bracket['id']}").status_code == 204
    assert not list(private.rglob(bracket["id"]))
    assert client.get(f"/api/brackets/{bracket['id']}").status_code == 404


def test_files_are_private(private: Path, bracket: dict[str, Any]) -> None:
    folders = list(private.iterdir())
    assert len(folders) == 1
    assert stat.S_IMODE(folders[0].stat().st_mode) == 0o700


def test_a_running_job_can_be_cancelled(client: TestClient, bracket: dict[str, Any]) -> None:
    job = start(client, bracket, align={"model": "flow"})
    while client.get(f"/api/jobs/{job['id']}").json()["state"] == "queued":
        time.sleep(0.01)
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404
    # The worker was ended with it; the next job gets a new one.
    assert wait(client, start(client, bracket, method="debevec"))["state"] == "done"


@pytest.mark.slow
def test_a_network_fuses_with_the_weights_that_ship(
    client: TestClient, bracket: dict[str, Any]
) -> None:
    settings = {"quality": "full", "precision": "float32"}
    job = wait(client, start(client, bracket, method="lcndr", method_settings=settings))
    assert job["state"] == "done", job
    wrong = {"quality": "full", "colour": 1}
    job = wait(client, start(client, bracket, method="lcndr", method_settings=wrong))
    assert job["state"] == "failed"
    assert "settings of lcndr: colour" in job["error"]


def test_a_wrong_method_is_told_the_right_ones(client: TestClient, bracket: dict[str, Any]) -> None:
    answer = client.patch(f"/api/brackets/{bracket['id']}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET"


def test_the_offer_is_made_from_the_tables(client: TestClient) -> None:
    offer = client.get("/api/options").json()
    assert [method["name"] for method in offer["methods"]] == list(METHODS)
    assert [each["name"] for each in offer["tone_map"]] == list(OPERATORS)
    by_name = {method["name"]: method for method in offer["methods"]}
    assert by_name["mertens"]["available"]
    assert by_name["mertens"]["settings"]["contrast"]["default"] == 1
    assert not any("weights" in method["settings"] for method in offer["methods"])
    assert offer["limits"]["frames"] == 6
    assert "tripod" in [preset["name"] for preset in offer["presets"]]
    assert not any("/" in str(preset) for preset in offer["presets"])
    (landscape,) = (each for each in offer["presets"] if each["name"] == "landscape")
    assert landscape["options"]["align.crop"] is True
    assert landscape["options"]["mertens.saturation"] == 1.5


def test_the_same_options_as_the_library(client: TestClient) -> None:
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    ours = set(schemas["FuseRequest"]["properties"])
    # Paths are not taken from clients; reading is limited by the server; writing is for exports.
    left_out = {"stops_file", "save_stages", "report", "read", "write", "hdr"}
    of_batches = {"gains"}
    assert ours == set(FuseOptions.__dataclass_fields__) - left_out - of_batches
    assert set(schemas["ExportRequest"]["properties"]) == {
        "format",
        "hdr",
        "quality",
        "depth",
        "tone",
    }
    assert set(schemas["AlignSettings"]["properties"]) == set(
        ghostless.AlignSettings.__dataclass_fields__
    )


def test_the_pages_fetch_nothing_from_elsewhere(client: TestClient) -> None:
    for page in ("/", "/api", "/api/"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert "://" not in answer.text
        assert "onclick" not in answer.text
        assert "<style" not in answer.text
    for name in (
        "page.js",
        "viewer.js",
        "brush.js",
        "tone.js",
        "png.js",
        "api.js",
        "reference.js",
        "page.css",
        "icon.svg",
    ):
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    for wrong in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/docs", "/redoc"):
        assert client.get(wrong).status_code == 404


def test_large_pictures_come_in_tiles(tmp_path: Path) -> None:
    from ghostless.bracket import Frame, Fused
    from ghostless.web import views

    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (1100, 2100, 3), np.uint8)
    facts = views.save_view(Frame(pixels), tmp_path / "frame", tiles=True)
    assert facts == {"width": 2100, "height": 1100, "tile": 1024}
    saved = [
        path.read_bytes()
        for path in (tmp_path / "frame" / "2-1.jpg", tmp_path / "frame" / "preview.jpg")
    ]
    corner, preview = (picture(data) for data in saved)
    tiles = {path.stem for path in (tmp_path / "frame").glob("*-*.jpg")}
    assert tiles == {f"{column}-{row}" for column in range(3) for row in range(2)}
    assert corner.size == (2100 - 2048, 1100 - 1024)
    close = np.asarray(corner, np.float32) - pixels[1024:, 2048:]
    assert np.abs(close).mean() < 20  # noise through JPEG; another tile would be 85 off
    assert preview.size == (2048, 1073)
    light = Frame((pixels / np.float32(255)).astype(np.float32), transfer="linear")
    views.save_view(light, tmp_path / "linear", tiles=False)
    shown = np.asarray(picture((tmp_path / "linear" / "preview.jpg").read_bytes())).mean()
    assert shown > pixels.mean() + 20  # light is shown by its display values
    with pytest.raises(ghostless.SpaceError):
        views.save_view(Fused(light.pixels, "linear"), tmp_path / "fused", tiles=False)


def test_sizes_told_by_headers_count_before_anything_is_decoded(tmp_path: Path) -> None:
    """Small files of large pictures wait for the memory that they will take, or are refused."""
    small = io.BytesIO()
    Image.new("RGB", (40, 30)).save(small, "WEBP", lossless=True)
    spoiled = bytearray(small.getvalue())
    at = spoiled.index(b"VP8L") + 9
    side = 12_000 - 1
    spoiled[at : at + 4] = (side | side << 14).to_bytes(4, "little")
    photos = [tmp_path / f"{index}.webp" for index in range(3)]
    for index, photo in enumerate(photos):
        photo.write_bytes(bytes(spoiled) + bytes(index))
    assert photos[0].stat().st_size < 1000
    limits = Limits(memory_bytes=1_000_000_000)
    with TestClient(
        make_app(ServerSettings(folder=tmp_path, limits=limits)), base_url=ADDRESS
    ) as client:
        answer = upload(client, photos)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("expected a job that fits in 1.0 GB of memory")
        sound = upload(
            client,
            [
                save_photo(tmp_path / f"{n}.jpg", np.full((30, 40, 3), 90 * n, np.uint8))
                for n in (1, 2)
            ],
        )
        assert sound.status_code == 201, sound.text
