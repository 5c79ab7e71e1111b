"""Simulated brackets as files: photos with their exposures, and the answers in a folder beside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...bracket import Fused
from ...errors import FileReadError, OptionError, OutputError
from ...io.write import WriteSettings, check_output, write_image, write_mask, write_text
from .camera import CameraModel
from .draws import SimulatedBatch, SimulationSettings
from .panoramas import (
    MANIFEST,
    Panoramas,
    from_radiance,
    load_packed,
    read_radiance,
    store_bytes,
)
from .references import choose_reference
from .rendered import RenderedScenes, RenderedSimulator, load_rendered
from .rendered_files import list_scenes, read_scene, scene_size
from .scenes import ANSWERS
from .simulate import BracketSimulator
from .splits import HDR_SUFFIXES, list_files

FRAME_SUFFIXES = (".jpg", ".png")


def load_sources(paths: Sequence[Path]) -> Panoramas:
    """HDR files, folders of them, or one packed folder, on the CPU."""
    if len(paths) == 1 and (paths[0] / MANIFEST).is_file():
        return load_packed(paths[0])
    files = [
        file
        for path in paths
        for file in (list_files(path, HDR_SUFFIXES) if path.is_dir() else [path])
    ]
    for file in files:
        if file.suffix.lower() not in HDR_SUFFIXES:
            raise FileReadError(
                f"{file}: expected an HDR picture, .hdr or .exr, found another kind of file"
            )
    return from_radiance([(file.stem, read_radiance(file)) for file in files])


def load_scenes(paths: Sequence[Path]) -> RenderedScenes | None:
    """Rendered scenes among `paths`, on the CPU; None where there are none.

    Raises OptionError where HDR pictures are among them.
    """
    found = [folder for path in paths for folder in list_scenes(path)]
    if not found:
        return None
    for path in paths:
        if not list_scenes(path):
            raise OptionError(
                f"{path}: expected rendered scenes like the others, found something else; "
                "simulate from HDR pictures by themselves"
            )
    return load_rendered([read_scene(folder) for folder in found])


def native_size(paths: Sequence[Path]) -> tuple[int, int] | None:
    """Height and width of the rendered scenes among `paths`; None where there are none."""
    found = [folder for path in paths for folder in list_scenes(path)]
    return scene_size(found[0]) if found else None


def simulate_files(
    sources: Sequence[Path],
    out: Path,
    settings: SimulationSettings,
    *,
    count: int = 1,
    seed: int = 0,
    suffix: str = ".jpg",
    quality: int = 92,
    display: bool = False,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write simulated brackets, one folder each, and return the folders.

    A folder holds the photos 1.jpg ... dark to bright and their stops in ev.txt; its subfolder
    `truth` the reference's radiance (truth.exr; 1 = where the reference clips), ghosts_N.png on the
    reference's pixels, and answers.json: reference, stops, homographies from the reference's
    pixel centres to each frame's. With `settings.flow`, flow_N.flo is where each of the reference's
    pixels goes (Middlebury's format); of rendered scenes, hidden_N.png is where it cannot be seen.
    display: also write truth.png, the picture that a fusion should give: the rendition of what the
    photos can hold that `references.choose_reference` takes (photos of at least 176 pixels a side).
    sources: HDR files, folders of them, a packed folder, or scenes of `ghostless render`, whose
    own motion is then taken and whose moments bound the number of frames.
    Frames leave the simulated camera unpacked and are compressed here, once.
    """
    if suffix not in FRAME_SUFFIXES:
        raise OptionError(f"expected frames as .jpg or .png, found {suffix!r}")
    if count < 1:
        raise OptionError(f"count: expected at least 1 bracket, found {count}")
    write = WriteSettings(quality=quality, overwrite=overwrite)
    folders = bracket_folders(out, count)
    for folder in folders:
        check_output(folder / f"1{suffix}", write, make_folder=True)
    scenes = load_scenes(sources)
    simulator: BracketSimulator | RenderedSimulator
    if scenes is not None:
        simulator = RenderedSimulator(settings, scenes)
    else:
        simulator = BracketSimulator(settings, load_sources(sources))
    write_brackets(
        simulator, folders, write, seed=seed, suffix=suffix, display=display, progress=progress
    )
    return folders


def bracket_folders(out: Path, count: int) -> list[Path]:
    """Where so many brackets lie within a folder."""
    return [out / f"{number:04d}" for number in range(count)]


def write_brackets(
    simulator: BracketSimulator | RenderedSimulator,
    folders: Sequence[Path],
    write: WriteSettings,
    *,
    seed: int = 0,
    suffix: str = ".jpg",
    display: bool = False,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Simulate a bracket into each of the folders, as `simulate_files` says."""
    for number, folder in enumerate(folders):
        # A bracket depends on the seed and its number, not on how many others there are.
        generator = torch.Generator(simulator.device).manual_seed(seed * 1_000_003 + number)
        batch = simulator.sample(1, generator)
        _write_bracket(batch, folder, suffix, write)
        if display:
            _write_display(batch, simulator.camera, folder / "truth" / "truth.png", write)
        if progress is not None:
            progress((number + 1) / len(folders))


def _write_bracket(batch: SimulatedBatch, folder: Path, suffix: str, write: WriteSettings) -> None:
    truth = folder / "truth"
    try:
        truth.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{truth}: expected to make this folder, found it impossible ({error.strerror}); "
            "choose another folder"
        ) from error
    stops = [round(float(value), 4) for value in batch.stops[0]]
    for n in range(len(stops)):
        frame = Fused(_pixels(batch.frames[0, n]), "display")
        write_image(frame, folder / f"{n + 1}{suffix}", write)
        if batch.ghosts is not None:
            mask = (batch.ghosts[0, n] * 255).round().to(torch.uint8).cpu().numpy()
            write_mask(mask, truth / f"ghosts_{n + 1}.png", write)
        if batch.hidden is not None:
            mask = (batch.hidden[0, n] * 255).round().to(torch.uint8).cpu().numpy()
            write_mask(mask, truth / f"hidden_{n + 1}.png", write)
        if batch.flow is not None:
            _write_flow(batch.flow[0, n], truth / f"flow_{n + 1}.flo", write)
    write_text("".join(f"{value:g}\n" for value in stops), folder / "ev.txt", write)
    exact = WriteSettings(depth=32, overwrite=write.overwrite)
    write_image(Fused(_pixels(batch.radiance[0]), "linear"), truth / "truth.exr", exact)
    answers = {
        "reference": batch.reference,
        "stops": stops,
        "homographies": batch.homographies[0].double().cpu().numpy().tolist(),
    }
    write_text(json.dumps(answers, indent=1), truth / ANSWERS, write)


def _write_display(
    batch: SimulatedBatch, camera: CameraModel, path: Path, write: WriteSettings
) -> None:
    stops = batch.stops[0]
    recordable = float(2.0 ** (stops[batch.reference] - stops.min()))
    radiance = np.minimum(_pixels(batch.radiance[0]), np.float32(recordable))
    chosen = torch.from_numpy(choose_reference(radiance).display).permute(2, 0, 1)
    # Photos in a picture style fuse into a picture in it.
    styled = camera.in_style(chosen[None, None].to(camera.device), batch.cameras)
    write_image(Fused(_pixels(styled[0, 0]), "display"), path, write)


def _write_flow(flow: Tensor, path: Path, write: WriteSettings) -> None:
    """Middlebury's format: a magic number, width, height, then dx and dy row by row."""
    pixels = _pixels(flow).astype("<f4")
    header = b"PIEH" + np.array(pixels.shape[1::-1], "<i4").tobytes()
    data = np.frombuffer(header + pixels.tobytes(), np.uint8)
    store_bytes(data, path, overwrite=write.overwrite)


def _pixels(planes: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.ascontiguousarray(planes.permute(1, 2, 0).float().cpu().numpy())
