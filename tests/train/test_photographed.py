"""Photographed brackets as training data: the papers' layouts, the cache, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ghostless import write_image
from ghostless.bracket import Fused
from ghostless.errors import BracketError, FileReadError, GhostlessError, OptionError
from ghostless.nn.weights import read_info
from ghostless.research.data.photo_sets import HELD_OUT_FILE, find_photo_set
from ghostless.research.train import photo_cache
from ghostless.research.train.command import TrainOptions, train
from ghostless.research.train.photo_cache import PhotoSize
from ghostless.research.train.photographed import PhotoData
from ghostless.research.train.sources import PhotoUse

from .stand_in import CPU, radiance

pytestmark = pytest.mark.usefixtures("one_thread")
HEIGHT, WIDTH = 128, 160


def light_of(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    light = radiance(1, 160, torch.Generator().manual_seed(seed))[0, :, :height, :width]
    return np.ascontiguousarray(light.permute(1, 2, 0).numpy().astype(np.float32))


def photo(light: NDArray[np.float32], stops: float, most: int = 255) -> NDArray[np.uint16]:
    codes = np.clip(light * 2.0**stops, 0, 1) ** (1 / 2.2)
    return np.rint(codes * most).astype(np.uint16)


def save(pixels: NDArray[np.uint16], path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def make_sice(folder: Path, parts: tuple[str, ...] = ("Dataset_Part1",), scenes: int = 3) -> Path:
    """Scenes of four photos, the brightest first, as SICE is published."""
    for number, part in enumerate(parts):
        for scene in range(1, scenes + 1):
            light = light_of(10 * number + scene)
            for index, stops in enumerate((5.0, 3.0, 1.0, -1.0), start=1):
                save(photo(light, stops), folder / part / str(scene) / f"{index}.png")
            save(photo(light, 2.0), folder / part / "Label" / f"{scene}.png")
    return folder


def make_kalantari(folder: Path, scenes: int = 2, stops_file: str = "exposure.txt") -> Path:
    for split in ("Training", "Test"):
        for scene in range(1, scenes + 1):
            place = folder / split / f"{scene:03d}"
            place.mkdir(parents=True)
            light = light_of(scene + 50 * (split == "Test"))
            for index, stops in enumerate((0.0, 2.0, 4.0)):
                tifffile.imwrite(place / f"{index}.tif", photo(light, stops, 65535))
            if stops_file:
                (place / stops_file).write_text("-2\n0\n2\n")
            write_image(Fused(light, "linear"), place / "HDRImg.hdr")
    return folder


def opened(folder: Path, cache: Path, **how: object) -> PhotoData:
    return PhotoData(folder, CPU, PhotoUse(cache, **how))  # type: ignore[arg-type]


def draw(data: PhotoData, batch: int = 4, side: int = 48) -> dict[str, torch.Tensor]:
    return dict(data.pairs(batch, side, torch.Generator().manual_seed(1)))


def test_sice_is_read_as_published_in_its_two_parts(tmp_path: Path) -> None:
    folder = make_sice(tmp_path / "SICE", ("Dataset_Part1", "Dataset_Part2"))
    found = find_photo_set(folder)
    assert found.layout == "labels"
    assert len(found.scenes) == 6
    assert {scene.name.split("/")[0] for scene in found.scenes} == {
        "Dataset_Part1",
        "Dataset_Part2",
    }
    assert len(found.held_out) == 1
    assert not {s.name for s in found.held_out} & {s.name for s in found.train}
    data = opened(folder, tmp_path / "cache")
    batch = draw(data)
    assert [*batch] == ["under", "over", "target"]
    assert all(image.shape == (4, 3, 48, 48) for image in batch.values())
    assert float((batch["over"] - batch["under"]).min()) >= 0
    assert bool((batch["target"].mean((1, 2, 3)) < batch["over"].mean((1, 2, 3))).all())


def test_pairs_are_those_of_the_papers(tmp_path: Path) -> None:
    folder = make_sice(tmp_path / "SICE")
    ends = opened(folder, tmp_path / "a")
    assert "2 scenes to train on (2 pairs)" in ends.description
    mirrored = opened(folder, tmp_path / "b", pairs="mirrored")
    assert "2 scenes to train on (4 pairs)" in mirrored.description
    many = mirrored.pairs(12, 48, torch.Generator().manual_seed(2))
    brightness = many["over"].mean((1, 2, 3)) - many["under"].mean((1, 2, 3))
    # The outer pair is six stops apart, the inner two.
    assert float(brightness.max()) > 1.5 * float(brightness.min())


def test_whole_brackets_are_shown_with_their_labels(tmp_path: Path) -> None:
    data = opened(make_sice(tmp_path / "SICE"), tmp_path / "cache")
    batch = data.photos(2, 96, torch.Generator().manual_seed(1))
    assert batch["photos"].shape == (2, 4, 3, 72, 96)
    assert batch["target"].shape == (2, 3, 72, 96)
    means = batch["photos"].mean((0, 2, 3, 4))
    assert bool((means.diff() > 0).all())
    assert data.held_out_photos()[0]["photos"].shape == (1, 4, 3, 384, 512)


def test_photos_are_decoded_once_and_again_only_where_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_sice(tmp_path / "SICE")
    first = draw(opened(folder, tmp_path / "cache"))
    read: list[str] = []
    decode = photo_cache.read_frame

    def noted(path: Path) -> object:
        read.append(path.parent.name)
        return decode(path)

    monkeypatch.setattr(photo_cache, "read_frame", noted)
    again = draw(opened(folder, tmp_path / "cache"))
    assert read == []
    assert all(torch.equal(first[name], again[name]) for name in first)
    save(photo(light_of(99), 2.0), folder / "Dataset_Part1" / "2" / "1.png")
    opened(folder, tmp_path / "cache")
    assert set(read) == {"2", "Label"}


def test_photos_are_kept_at_the_size_that_was_asked_for(tmp_path: Path) -> None:
    folder = make_sice(tmp_path / "SICE")
    (folder / HELD_OUT_FILE).write_text("Dataset_Part1/1\n")
    sizes = {
        size: next(iter(opened(folder, tmp_path / size, size=size)._scenes.values())).frames.shape
        for size in ("0", "144x128", "192x128")
    }
    assert [tuple(shape[1:3]) for shape in sizes.values()] == [(128, 160), (128, 144), (128, 192)]
    assert PhotoSize.parse("80").of(128, 160) == (64, 80)
    assert PhotoSize.parse("200").of(128, 160) == (128, 160)
    with pytest.raises(OptionError, match=r"1: expected photos of at least 128 x 128 .* 80 x 64"):
        opened(folder, tmp_path / "80", size="80")
    with pytest.raises(OptionError, match=r"photo_size: expected .* found 'large'"):
        opened(folder, tmp_path / "cache", size="large")


def test_whole_photos_are_letterboxed(tmp_path: Path) -> None:
    data = opened(make_sice(tmp_path / "SICE"), tmp_path / "cache", framing="letterbox")
    batch = draw(data, side=80)
    assert batch["over"].shape == (4, 3, 80, 80)
    assert float(batch["over"][:, :, 64:].abs().max()) == 0
    assert float(batch["over"][:, :, :64].mean()) > 0.1


def test_kalantari_keeps_its_own_split_its_16_bits_and_its_exposures(tmp_path: Path) -> None:
    folder = make_kalantari(tmp_path / "Kalantari")
    data = opened(folder, tmp_path / "cache", draws="brackets")
    assert [s.name for s in data.set.held_out] == ["Test/001", "Test/002"]
    batch = data.brackets(3, 48, torch.Generator().manual_seed(1))
    assert batch["frames"].shape == batch["light"].shape == (3, 3, 3, 48, 48)
    assert batch["stops"].tolist() == [[0.0, 2.0, 4.0]] * 3
    # What does not clip is the radiance times the exposure: the unit is the darkest frame's.
    dark = batch["light"][:, 0]
    seen = (batch["radiance"] > 0.05) & (batch["radiance"] < 0.9)
    assert float((dark - batch["radiance"])[seen].abs().max()) < 0.02
    levels = torch.unique((batch["frames"] * 65535).round())
    assert len(levels) > 300
    held = data.held_out_brackets()
    assert [tuple(b["frames"].shape) for b in held] == [(1, 3, 3, 128, 160)] * 2


def test_scenes_to_hold_out_can_be_named(tmp_path: Path) -> None:
    folder = make_sice(tmp_path / "SICE")
    (folder / HELD_OUT_FILE).write_text("Dataset_Part1/1\nDataset_Part1/3\n")
    assert [s.name for s in find_photo_set(folder).train] == ["Dataset_Part1/2"]
    (folder / HELD_OUT_FILE).write_text("4\n")
    with pytest.raises(BracketError, match=r"expected names of scenes such as .* found '4'"):
        find_photo_set(folder)


def test_brackets_without_a_reference_get_an_exposure_fusion(tmp_path: Path) -> None:
    for scene in ("a", "b"):
        for index, stops in enumerate((0.0, 2.0, 4.0)):
            save(photo(light_of(len(scene)), stops), tmp_path / "set" / scene / f"{index}.png")
    data = opened(tmp_path / "set", tmp_path / "cache")
    assert "exposure fusion" in data.description
    batch = draw(data)
    means = {name: float(image.mean()) for name, image in batch.items()}
    assert means["under"] < means["target"] < means["over"]


def refuse(folder: Path, cache: Path, kind: type[GhostlessError], text: str) -> None:
    with pytest.raises(kind, match=text) as error:
        opened(folder, cache)
    assert "\n" not in str(error.value)


def test_what_is_no_set_is_refused_in_a_line(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    refuse(tmp_path / "nothing", cache, FileReadError, "expected a folder to train on, found noth")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    refuse(tmp_path / "empty", cache, BracketError, "expected packed pictures .* SICE .* Kalantari")
    one = make_sice(tmp_path / "one", scenes=1)
    refuse(one, cache, BracketError, "at least 2 scenes")


def test_missing_labels_exposures_and_other_sizes_are_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    sice = make_sice(tmp_path / "SICE")
    (sice / "Dataset_Part1" / "Label" / "2.png").unlink()
    refuse(sice, cache, BracketError, r"Dataset_Part1/2: expected its label .* found none")
    save(photo(light_of(1, 40, 60), 2.0), sice / "Dataset_Part1" / "Label" / "2.png")
    refuse(sice, cache, BracketError, r"2: expected a label of the photos' size, 160 x 128 .* 60 x")
    save(photo(light_of(1, 40, 60), 2.0), sice / "Dataset_Part1" / "2" / "3.png")
    refuse(sice, cache, BracketError, r"2: expected photos of one size, 160 x 128 .* 60 x 40 in 3")
    kalantari = make_kalantari(tmp_path / "Kalantari", stops_file="")
    with pytest.raises(BracketError, match=r"001: expected the exposures of its 3 photos"):
        opened(kalantari, cache, draws="brackets")


def test_sets_that_a_recipe_cannot_use_are_refused_before_anything_is_decoded(
    tmp_path: Path,
) -> None:
    sice, cache = make_sice(tmp_path / "SICE"), tmp_path / "cache"
    with pytest.raises(BracketError, match=r"expected true radiance .* found none in any of its 3"):
        opened(sice, cache, draws="brackets")
    with pytest.raises(OptionError, match="expected packed pictures"):
        opened(sice, cache, draws="comparisons")
    kalantari = make_kalantari(tmp_path / "Kalantari")
    with pytest.raises(BracketError, match=r"true radiance; train hdr-gan on it"):
        opened(kalantari, cache)
    assert not cache.exists()
    with pytest.raises(OptionError, match=r"at least 130 x 130 pixels.* found 160 x 128"):
        opened(sice, cache).pairs(1, 130, torch.Generator())


def options(**changes: Any) -> TrainOptions:
    small = ("validate_every=4", "log_every=2")
    asked = {"batch": 1, "patch": 32, "steps": 4, "changes": small, **changes}
    return TrainOptions(device="cpu", quiet=True, **asked)


def test_a_network_trains_on_photos_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    folder, runs = make_sice(tmp_path / "set"), tmp_path / "runs"
    (weights,) = train("lcndr", folder, runs / "whole", options())
    train("lcndr", folder, runs / "parts", options(minutes=1e-6, finish=False))
    (resumed,) = train("lcndr", folder, runs / "parts", options(resume=True))
    one, other = (load_file(path) for path in (weights, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "photographed brackets of set" in read_info(weights).data
    assert len(list(runs.glob("photos-*"))) == 1


def test_hdr_gan_trains_on_kalantaris_photos(tmp_path: Path) -> None:
    folder = make_kalantari(tmp_path / "set", scenes=1)
    small = options(patch=64, steps=1, changes=("architecture.base_channels=1",))
    (weights,) = train("hdr-gan", folder, tmp_path / "run", small)
    assert "true radiance" in read_info(weights).data


def test_learned_fusion_trains_on_labels(tmp_path: Path) -> None:
    folder = make_sice(tmp_path / "set")
    (weights,) = train("learned-fusion", folder, tmp_path / "run", options(patch=128, steps=2))
    assert read_info(weights).network == "learned-fusion"
