"""The graphs that ship, by which the networks run without torch: see `nn.graphs`.

    python -m ghostless.research.light [NAME ...]

writes them anew, for the architectures of the weights that ship, after a network's code or its
architecture has changed. It needs the extra `onnx`, and minutes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.graphs import GRAPHS_FOLDER, Plan, Stage
from ..nn.weights import NetworkKind, Sides, load_weights
from .light_stages import PLANS, FunctionOf, Part
from .onnx import OPSET, hushed

# Of the images that graphs are traced with: unlike each other, and larger than 1 on every scale.
_TRACED_PARTS = (2, 3)


@dataclass(frozen=True)
class Written:
    """A stage of a network: its description, and its graph as the bytes of an ONNX file."""

    stage: Stage
    graph: bytes


def write_graphs(name: str, folder: Path = GRAPHS_FOLDER) -> None:
    """Write the plan of a network that ships and its graphs to a folder."""
    kind, parts = load_parts(name)
    network, _ = load_weights(kind)
    plan, graphs = make_plan(kind, network, parts(network))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{kind.name}-*.onnx"):
        if old.name.removeprefix(f"{kind.name}-").removesuffix(".onnx") in graphs:
            old.unlink()
    for stage, graph in graphs.items():
        (folder / f"{kind.name}-{stage}.onnx").write_bytes(graph)
    (folder / f"{kind.name}.json").write_text(plan_text(plan), encoding="utf-8")


def plan_text(plan: Plan) -> str:
    """A plan as its file holds it, shapes on one line each."""
    text = json.dumps(asdict(plan), indent=1, sort_keys=True)
    return re.sub(r"\[[\d\s,]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def load_parts(name: str) -> tuple[NetworkKind, Callable[[Any], Sequence[Part]]]:
    """The kind of a network that ships, and what parts it into stages."""
    find_kind, parts = PLANS[name]
    return find_kind(), parts


def make_plan(
    kind: NetworkKind, network: Any, parts: Sequence[Part]
) -> tuple[Plan, dict[str, bytes]]:
    """The plan of a network in evaluation mode, and the graphs of its stages by name."""
    sides = kind.sides(network.architecture)
    written = [trace(part, sides) for part in parts]
    plan = Plan(
        name=kind.name,
        train_command=kind.train_command,
        architecture=asdict(network.architecture),
        defaults=asdict(kind.architecture()),
        sides=sides,
        stages=tuple(each.stage for each in written),
    )
    return plan, {each.stage.name: each.graph for each in written}


def trace(part: Part, sides: Sides) -> Written:
    """Make the graph of a stage, its weights left out."""
    program = _exported(part, sides)
    weights = _take_weights_out(program.model, part.module)
    model = program.model_proto
    # Where the code lies on this machine, and what else changes nothing.
    for node in _all_nodes(model.graph):
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:], model.graph.value_info[:]
    model.producer_name, model.producer_version = "ghostless", ""
    model.graph.name = part.name
    stage = Stage(
        name=part.name,
        inputs=part.scales,
        outputs=part.outputs,
        halo=part.halo,
        multiple=part.multiple,
        bytes_per_pixel=part.bytes_per_pixel,
        weights=weights,
    )
    return Written(stage, model.SerializeToString(deterministic=True))


def _exported(part: Part, sides: Sides) -> Any:
    step = max(sides.multiple, *part.scales.values())
    example, dynamic = [], []
    least = max(_TRACED_PARTS[0], -(-sides.shortest // step))
    for shape, dtype, scale in part.inputs.values():
        example.append(_example(shape, dtype, scale, [step * least, step * (least + 1)]))
        dynamic.append(_dynamic(shape, scale, step))
    with hushed():
        return torch.onnx.export(
            part.module.eval().requires_grad_(False),
            tuple(example),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            # A function of the network is forward(*inputs).
            dynamic_shapes=(tuple(dynamic),)
            if isinstance(part.module, FunctionOf)
            else tuple(dynamic),
            verbose=False,
        )


def _example(
    shape: Sequence[int | str], dtype: torch.dtype, scale: int, size: Sequence[int]
) -> Tensor:
    sides = {"height": size[0], "width": size[1]}
    whole = [sides[side] // scale if isinstance(side, str) else side for side in shape]
    values = torch.rand(whole, generator=torch.Generator().manual_seed(0))
    return values.to(dtype)


def _dynamic(shape: Sequence[int | str], scale: int, step: int) -> dict[int, Any]:
    from torch.export import Dim

    return {
        axis: (step // scale) * Dim(f"{side}_parts", min=1, max=2**20 // step)
        for axis, side in enumerate(shape)
        if isinstance(side, str)
    }


def _take_weights_out(model: Any, module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Leave the parameters out of a graph, under their names in the weights file.

    What of it does not depend on them is worked out beforehand. Returns names and shapes.
    """
    from onnxscript import optimizer

    graph = model.graph
    prefix = "network."
    known = set(module.state_dict())
    taken = []
    for name in list(graph.initializers):
        if name in known and name.startswith(prefix):
            value = graph.initializers.pop(name)
            value.const_value = None
            value.name = name.removeprefix(prefix)
            graph.inputs.append(value)
            taken.append(value)
    optimizer.optimize(model)
    weights = {}
    for value in taken:
        graph.inputs.remove(value)
        if value.uses():
            weights[value.name] = tuple(int(side) for side in value.shape)
    return weights


def _all_nodes(graph: Any) -> Iterable[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _all_nodes(attribute.g)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or PLANS:
        write_graphs(wanted)
        print(wanted)
