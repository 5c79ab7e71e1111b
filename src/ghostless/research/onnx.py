"""Networks as ONNX files, for programs in any language: written, described, and checked.

The file holds the whole of what a method does with its network (see `graphs`), takes any
size and batch, and says in its metadata what it takes and gives. Before it gets its name,
onnxruntime runs it beside torch.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import OutputError, unknown_name
from ..io.atomic import write_atomically
from ..io.write import WriteSettings, check_output
from ..work.packages import EXTRAS, check_installed
from .graphs import GRAPHS, Graph, Port

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..nn.weights import WeightsInfo

# The newest that onnxruntime's releases of the last years all run (from 1.18, May 2024).
OPSET = 20
# Largest difference that other orders of summation may make, as a share of the largest value.
TOLERANCE = 1e-3

_METADATA_PREFIX = "ghostless."


@dataclass(frozen=True)
class ExportSettings:
    """How to export a network.

    weights: a safetensors file; None for the weights that ship with the package.
    check: run the file with onnxruntime and compare it with torch.
    overwrite: replace an existing file.
    """

    weights: Path | str | None = None
    check: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    difference: largest difference between onnxruntime and torch, as a share of the largest value
        of that output; None if it was not checked. sizes: (batch, height, width) it was checked
        at. file_bytes: size of the file.
    """

    output: str
    network: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    size_multiple: int
    least_side: int
    border: str
    notes: str
    opset: int
    file_bytes: int
    difference: float | None
    sizes: tuple[tuple[int, int, int], ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        lines = [f"{self.output}: {self.network}, {self.file_bytes / 1e6:.1f} MB"]
        for kind, ports in (("takes", self.inputs), ("gives", self.outputs)):
            for port in ports:
                shape = " x ".join(str(side) for side in port.shape)
                lines.append(f"  {kind} {port.name} ({shape}): {port.about}")
        if self.border != "none":
            lines.append(
                f"  sides: multiples of {self.size_multiple}, at least {self.least_side}; "
                f"fill up at the bottom and at the right (numpy.pad mode {numpy_mode(self.border)})"
            )
        lines.append(f"  {self.notes}")
        if self.difference is None:
            lines.append("  not checked")
        else:
            lines.append(f"  onnxruntime and torch differ by {self.difference:.1e} at most")
        return "\n".join(lines)


def numpy_mode(border: str) -> str:
    """The name of a border in `numpy.pad`."""
    return {"replicate": "edge"}.get(border, border)


def export_onnx(
    network: str, out: Path | str, settings: ExportSettings = ExportSettings()
) -> ExportReport:
    """Write a network as an ONNX file.

    network: a name from `graphs.GRAPHS`: a method that is a network, or "homography".
    out: a file that ends in .onnx.
    Raises OptionError for an unknown name, MissingPackageError without the extras `networks` and
    `onnx`, WeightsError while there are no weights, and OutputError if the file cannot be written
    or onnxruntime does not agree with torch; nothing is written then.
    """
    target = Path(out)
    if network not in GRAPHS:
        raise unknown_name("network to export", network, GRAPHS)
    inputs = [] if settings.weights is None else [settings.weights]
    write = WriteSettings(overwrite=settings.overwrite)
    check_output(target, write, inputs, suffixes=(".onnx",))
    source = GRAPHS[network]()
    from ..nn.weights import load_weights

    loaded, info = load_weights(source.kind, settings.weights)
    packages = EXTRAS["onnx"] if settings.check else EXTRAS["onnx"][:2]
    check_installed(f"export {network}", "onnx", *packages)
    graph = source.make(loaded, source.kind.sides(loaded.architecture))
    graph.module.eval().requires_grad_(False)
    data = _to_onnx(graph, network, info)
    sizes = _sizes(graph)
    difference = _checked_difference(graph, data, sizes, target) if settings.check else None
    write_atomically(
        target,
        lambda scratch: _write(scratch, data),
        overwrite=settings.overwrite,
        inputs=inputs,
    )
    return ExportReport(
        output=str(target),
        network=network,
        inputs=graph.inputs,
        outputs=graph.outputs,
        size_multiple=graph.size_multiple,
        least_side=graph.least_side,
        border=graph.border,
        notes=graph.notes,
        opset=OPSET,
        file_bytes=len(data),
        difference=difference,
        sizes=tuple(sizes) if settings.check else (),
    )


def _checked_difference(graph: Any, data: bytes, sizes: Any, target: Path) -> float:
    """How far onnxruntime and torch are apart; OutputError if that is too much."""
    difference = max(_difference(graph, data, size) for size in sizes)
    if not difference <= TOLERANCE:  # NaN must not pass
        raise OutputError(
            f"{target}: expected onnxruntime to agree with torch to {TOLERANCE:g} of the "
            f"largest value, found a difference of {difference:g}; nothing was written "
            "(other versions of torch, onnx or onnxruntime may do better)"
        )
    return difference


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _to_onnx(graph: Graph, name: str, info: WeightsInfo) -> bytes:
    """The graph as the bytes of an ONNX file, with its description."""
    import torch

    # The example's sides must be unlike each other and larger than 1 in every map of the network.
    example = _example(graph, _sizes(graph)[0])
    with hushed():
        program = torch.onnx.export(
            graph.module,
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            dynamic_shapes=tuple(_dynamic_sides(graph)),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.producer_name, model.producer_version = "ghostless", __version__
    model.doc_string = graph.notes
    for ports, values in (
        (graph.inputs, model.graph.input),
        (graph.outputs, model.graph.output),
    ):
        for port, value in zip(ports, values, strict=True):
            value.doc_string = port.about
    for key, text in _metadata(graph, name, info).items():
        model.metadata_props.add(key=_METADATA_PREFIX + key, value=text)
    data: bytes = model.SerializeToString()
    return data


def _dynamic_sides(graph: Graph) -> Iterator[dict[int, Any]]:
    """Which sides of each input may vary, and how."""
    from torch.export import Dim

    batch = Dim("batch", min=1, max=1024)
    largest = 2**20 // graph.size_multiple
    least = -(-graph.least_side // graph.size_multiple)
    sides = {
        name: graph.size_multiple * Dim(f"{name}_parts", min=least, max=largest)
        for name in ("height", "width")
    }
    for port in graph.inputs:
        yield {
            axis: batch if side == "batch" else sides[side]
            for axis, side in enumerate(port.shape)
            if isinstance(side, str)
        }


def _sizes(graph: Graph) -> list[tuple[int, int, int]]:
    """Batches, heights and widths to export and to check at."""
    if graph.border == "none":
        return [(2, graph.least_side, graph.least_side), (1, graph.least_side, graph.least_side)]
    step = graph.size_multiple
    least = -(-max(2 * step, graph.least_side) // step)
    return [(2, least * step, (least + 1) * step), (1, (least + 2) * step, least * step)]


def _example(graph: Graph, size: tuple[int, int, int]) -> list[torch.Tensor]:
    """Inputs for a graph: one random scene, smooth and rough, exposed from dark to bright."""
    import torch
    import torch.nn.functional as F

    batch, height, width = size
    source = torch.Generator().manual_seed(0)
    rough = torch.rand(batch, 3, height, width, generator=source)
    smooth = F.interpolate(
        torch.rand(batch, 3, 4, 4, generator=source), (height, width), mode="bicubic"
    )
    scene = (0.8 * smooth + 0.2 * rough).clamp(0, 1)
    images = [port for port in graph.inputs if len(port.shape) == 4]
    values = []
    for port in graph.inputs:
        if port in images:
            gain = 2.0 ** (2 * images.index(port) - 1)
            values.append((scene * gain).clamp(0, 1))
        else:
            count = port.shape[1]
            assert isinstance(count, int)
            values.append(torch.linspace(-2, 2, count).repeat(batch, 1))
    return values


def _difference(graph: Graph, data: bytes, size: tuple[int, int, int]) -> float:
    """Largest difference of onnxruntime from torch, as a share of each output's largest value."""
    import numpy as np
    import onnxruntime
    import torch

    inputs = _example(graph, size)
    with torch.inference_mode():
        wanted = graph.module(*inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in graph.inputs]
    found = session.run(
        [port.name for port in graph.outputs],
        {name: value.numpy() for name, value in zip(names, inputs, strict=True)},
    )
    expected: Sequence[torch.Tensor] = [wanted] if isinstance(wanted, torch.Tensor) else wanted

    def share(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
        if ours.shape != theirs.shape:
            return float("inf")
        return float(np.abs(ours - theirs).max() / max(float(np.abs(ours).max()), 1e-6))

    return max(share(t.numpy(), o) for t, o in zip(expected, found, strict=True))


def _metadata(graph: Graph, name: str, info: WeightsInfo) -> dict[str, str]:
    """What the file says of itself: texts, lists of inputs and outputs as JSON."""
    return {
        "version": __version__,
        "network": name,
        "inputs": json.dumps([asdict(port) for port in graph.inputs]),
        "outputs": json.dumps([asdict(port) for port in graph.outputs]),
        "size_multiple": str(graph.size_multiple),
        "least_side": str(graph.least_side),
        "border": graph.border,
        "notes": graph.notes,
        "weights.architecture": json.dumps(dict(info.architecture)),
        "weights.recipe": json.dumps(dict(info.recipe)),
        "weights.data": info.data,
        "weights.commit": info.commit,
        "weights.scores": json.dumps(dict(info.scores)),
    }


@contextmanager
def hushed() -> Iterator[None]:
    """Keep the exporter's remarks (on packages that it could use, on names) off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(StringIO()))
        logger.setLevel(logging.ERROR)
        stack.callback(logger.setLevel, level)
        yield
