"""What an entry of the table of methods holds, and how what it names is loaded.

What would cost time to import, or lives on the research floor, stands in an entry as text:
"MODULE:NAME" or "MODULE", relative to this package. It is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..bracket import MAX_FRAMES, Fused, Space, Stack
from ..errors import BracketError, GhostlessError, OptionError
from ..nn.settings import needs_torch_extra
from ..work.packages import check_installed, is_installed

if TYPE_CHECKING:
    from ..nn.weights import NetworkKind

FuseFunction = Callable[..., Fused]


@dataclass(frozen=True)
class PaperRuntime:
    """What a paper says of a network's speed.

    seconds: per image; None where it says nothing. image: its size. source: who measured it.
    """

    seconds: float | None
    image: str
    hardware: str
    source: str

    def in_words(self) -> str:
        if self.seconds is None:
            return f"no runtime published; {self.hardware}"
        return f"{self.seconds:g} s for {self.image} on {self.hardware} ({self.source})"


@dataclass(frozen=True)
class Attention:
    """Where the attention of a network is that can be shown.

    module: path of the module within the network. gate: whether its output is a gate, shown as its
        mean over the channels; else it is self-attention, of which is shown how much each place is
        looked at.
    """

    module: str
    gate: bool = False


@dataclass(frozen=True)
class Method:
    """All there is to know about a fusion method, before it runs and without importing it.

    The method itself is the function `fuse` of the file of its name in this package.

    summary: one line for those who choose. output: space of the result.
    settings: where its settings class is, which must not need torch; "" for that of all networks,
        with the order of fusing in turn for those of two frames at once.
    paper: authors, title, venue, year; "" for a method without.
    frames: smallest and largest number of frames that it takes.
    frames_at_once: how many frames its network sees at once, the others being fused in turn or
        chosen from; None for methods that see all.
    needs_stops: whether exposures must be known.
    deghosts: whether it rejects moving things by itself.
    as_published: settings with which the method does what its paper does, see
        `options.as_published`; those with a dot are the line's, "align.model".
    weight_maps: the function that tells how much each frame counts where, if there is one.
    group: "use" for photographs, or "compare" for what papers compare themselves with.
    wraps: whether it knows pictures that go all the way round; others get them unrolled.
    seconds: that fusing three photos takes on two cores at the defaults, whatever their size and
        more for every megapixel; None where it was not measured.
    in_stripes: whether it holds no more than the result at full size.

    Of methods that are networks:

    network: where its NetworkKind is, which has the method's name, as have its weights.
    best_pixels: of the pictures that it does better than larger ones, as of
        `nn.fast.fuse_at_quality`; None where size makes no difference.
    runs_without_torch: whether only training it needs torch.
    further_weights: names of those that an option uses.
    attention: where it looks, if that can be shown.
    recipe: the module that trains it. published: how weights that its authors published are read, a
        `nn.published.Published`. graph: what makes of it a graph to export.
    ablations: its paper's tables.
    paper_parameters: number of trained parameters of each of the paper's networks, by name; those
        that ship may be smaller: see `parameters`.
    paper_runtime: what its paper says of its speed.
    """

    name: str
    summary: str
    output: Space
    settings: str = ""
    paper: str = ""
    frames: tuple[int, int] = (1, MAX_FRAMES)
    frames_at_once: int | None = None
    needs_stops: bool = False
    deghosts: bool = False
    as_published: Mapping[str, Any] = field(default_factory=dict, hash=False)
    weight_maps: str = ""
    group: Literal["use", "compare"] = "use"
    wraps: bool = False
    seconds: tuple[float, float] | None = None
    in_stripes: bool = True
    network: str = ""
    best_pixels: int | None = None
    runs_without_torch: bool = False
    further_weights: tuple[str, ...] = ()
    attention: Attention | None = None
    recipe: str = ""
    published: str = ""
    graph: str = ""
    ablations: str = ""
    paper_parameters: Mapping[str, int] = field(default_factory=dict, hash=False)
    paper_runtime: PaperRuntime | None = None

    def load(self) -> tuple[FuseFunction, type[Any]]:
        """Return the fuse function and the settings class; imports the method's file.

        Raises MissingPackageError for a network where what it runs with is not installed.
        """
        fuse: FuseFunction = self.find(f".{self.name.replace('-', '_')}:fuse")
        return fuse, self.settings_class

    @property
    def settings_class(self) -> type[Any]:
        """The class of the method's settings; a network's is there without torch."""
        default = (
            ".settings:PairSettings"
            if self.frames_at_once == 2
            else "..nn.settings:NetworkSettings"
        )
        found: type[Any] = self.find(self.settings or default)
        return found

    def find(self, reference: str) -> Any:
        """Import what a field names; raises MissingPackageError like `load`."""
        module, _, name = reference.partition(":")
        with needs_torch_extra(f"method {self.name!r}"):
            found = importlib.import_module(module, __package__)
        return getattr(found, name) if name else found

    @property
    def needs_extra(self) -> bool:
        """Whether more than the core must be installed: for a network but the smallest."""
        return bool(self.network) and not self.runs_without_torch

    @property
    def extra(self) -> str:
        """The extra that must be installed: "networks", or "torch"; "" for none.

        Networks that ship as graphs run without torch, but for what only it does.
        """
        if not self.needs_extra:
            return ""
        from ..nn.graphs import has_graphs

        return "networks" if has_graphs(self.name) else "torch"

    @property
    def needs_torch(self) -> bool:
        """Whether the extra `torch` must be installed."""
        return self.extra == "torch"

    @property
    def weights(self) -> str | None:
        """Name of the weights file, None for methods without."""
        return self.name if self.network else None

    @property
    def weights_command(self) -> str:
        """What to type for the method's weights, in words."""
        ways = []
        if self.recipe:
            ways.append(f"ghostless train {self.name}")
        if self.published:
            start = "its authors' by: " if ways else ""
            ways.append(f"{start}ghostless weights import {self.name} FILE -o OUT.safetensors")
        return ", or take ".join(ways)

    @property
    def kind(self) -> NetworkKind:
        """The kind of network that the method runs; raises MissingPackageError like `load`."""
        kind: NetworkKind = self.find(self.network)
        return kind

    @property
    def shows(self) -> tuple[str, ...]:
        """Which maps of what it looked at there are, see `maps`: "weights", "attention"."""
        maps = {"weights": bool(self.weight_maps), "attention": self.attention is not None}
        return tuple(name for name, there in maps.items() if there)

    @property
    def parameters(self) -> dict[str, int]:
        """Number of parameters in each file of weights that ships, by its name, counted there."""
        if self.weights is None:
            return {}
        from ..nn.weights import has_weights, shipped_path, stored_parameters

        names = [name for name in (self.weights, *self.further_weights) if has_weights(name)]
        return {name: stored_parameters(shipped_path(name)) for name in names}

    @property
    def scores(self) -> dict[str, float]:
        """What the weights that ship scored on held-out scenes, by metric, as their file says."""
        if self.weights is None:
            return {}
        from ..nn.weights import has_weights, read_info, shipped_path

        known = has_weights(self.weights)
        return dict(read_info(shipped_path(self.weights)).scores) if known else {}

    def check(self, stack: Stack) -> None:
        """Raise BracketError if the method cannot take this stack."""
        low, high = self.frames
        if not low <= len(stack.frames) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise BracketError(
                f"method {self.name!r} expected {wanted} frames, found {len(stack.frames)}; "
                "choose another method (see 'ghostless methods')"
            )
        if self.needs_stops:
            stack.stops  # noqa: B018  raises where an exposure is unknown

    def check_settings(self, settings: Any) -> None:
        """Raise OptionError for settings of another method."""
        settings_class = self.settings_class
        if not isinstance(settings, settings_class):
            raise OptionError(
                f"method {self.name!r}: expected settings of the class {settings_class.__name__}, "
                f"found {type(settings).__name__}"
            )

    def check_ready(self, settings: Any = None) -> None:
        """Raise, before any work is done, what would keep the method from running after it.

        settings: None for the method's defaults. Raises OptionError for settings of another method
        or a device that is not there, MissingPackageError, and WeightsError for weights that are
        missing, damaged or of another network.
        """
        if settings is not None:
            self.check_settings(settings)
        chosen = settings if settings is not None else self.settings_class()
        self._check_here(getattr(chosen, "weights", None))
        self.load()
        if not self.needs_extra:
            return
        if is_installed("torch"):
            from ..nn.settings import choose_device

            choose_device(chosen.device)
        else:
            from ..nn.graphs import check_graphs

            check_graphs(self.name, chosen)

    def why_not_here(self, weights: Path | str | None = None) -> str | None:
        """Why the method cannot run here, None if it can, told without importing what it needs.

        weights: a file of them; None for those that ship.
        """
        try:
            self._check_here(weights)
        except GhostlessError as error:
            return str(error)
        return None

    def _check_here(self, weights: Path | str | None) -> None:
        if self.needs_extra:
            extra = "torch" if is_installed("torch") else self.extra
            check_installed(f"method {self.name!r}", extra)
        if self.weights is not None:
            from ..nn.weights import check_weights

            check_weights(self.weights, self.weights_command, weights)

    def facts(self) -> dict[str, Any]:
        """Return what there is to tell of the method, by name, in plain values."""
        own = "name summary group output paper frames frames_at_once needs_stops"
        runtime = self.paper_runtime
        return {
            **{name: getattr(self, name) for name in own.split()},
            "deghosts": self.deghosts,
            "shows": self.shows,
            "extra": self.extra,
            "needs_torch": self.needs_torch,
            "weights": self.weights,
            "further_weights": self.further_weights,
            "parameters": self.parameters,
            "scores": self.scores,
            "paper_parameters": dict(self.paper_parameters),
            "paper_runtime": None if runtime is None else runtime.in_words(),
        }
