"""What a training is made of: phases, the players that move in them, and on which losses.

A recipe is a frozen dataclass of numbers, one class for each method, with the presets "paper" (the
printed text), "program" (what the authors' program does where the two differ) and "default" (ours);
`phases(recipe)` in the method's file turns it into what the engine runs. All randomness
and every rate is a function of the step, so that a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ...errors import OptionError, unknown_name
from ...nn.weights import NetworkKind
from .samples import TrainingData

Batch = Mapping[str, Tensor]
Draws = Literal["pairs", "brackets", "comparisons"]
Losses = dict[str, Tensor]


class Table(Protocol):
    """Where the players sit: runs their networks, in the run's precision."""

    def run(self, player: str, *inputs: Tensor, **named: Any) -> Any:
        """Output of a player's network, as float32. Only the one that moves gets gradients."""

    def module(self, player: str) -> Any:
        """A player's network itself, for its architecture; do not call it."""


@dataclass(frozen=True)
class Moment:
    """When a move happens: the step of the phase, and optimiser updates made before, of all."""

    step: int
    updates: int


@dataclass(frozen=True)
class Player:
    """One network that moves, and how.

    make: builds the network.
    losses: named losses, already weighted; the player lowers their sum.
    rate: learning rate at a moment.
    optimiser: "adam", or "sgd" without momentum. betas: of Adam.
    clip_weights: largest absolute value of a parameter after each move.
    clip_gradients: largest absolute value of a gradient's element.
    fresh_batch: whether this player gets a batch of its own instead of the step's.
    """

    name: str
    make: Callable[[], nn.Module]
    losses: Callable[[Table, Batch], Losses]
    rate: Callable[[Moment], float]
    optimiser: Literal["adam", "sgd"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    clip_weights: float | None = None
    clip_gradients: float | None = None
    fresh_batch: bool = False


@dataclass(frozen=True)
class Validation:
    """Scores by name (means over the held-out scenes) and pictures (3, H, W), 0..1."""

    scores: Mapping[str, float]
    pictures: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """One part of a training: players that take turns for some steps.

    players: in the order in which they move at every step.
    draw: makes the batch of a step on the device, from the data, a generator and the step.
    extra: names of players to move once more on the same batch, asked for after the regular moves
        (MEF-GAN's balancing); it may look at the table between two names.
    validate: scores the averaged network on held-out scenes.
    best: name of the score that decides which weights are kept; `lower_is_better` of which kind.
    export: which player's network is shipped, and as what. exported: the part of it that is, where
        something helps it to learn that nobody needs afterwards.
    frozen: networks that only look on, by the best weights of an earlier phase, or shipped ones.
    batch: samples a step, where it is not the recipe's.
    check: raises, before any work, for what the phase lacks.
    prepare: what the losses need of the data before the first step; returns a line for the log.
    known_failures: for the card.
    """

    name: str
    steps: int
    players: tuple[Player, ...]
    draw: Callable[[TrainingData, torch.Generator, int], Batch]
    validate: Callable[[Table, TrainingData], Validation]
    best: str
    export: NetworkKind
    export_player: str = "generator"
    exported: Callable[[nn.Module], nn.Module] = lambda network: network
    lower_is_better: bool = False
    extra: Callable[[Table, Batch, int], Iterator[str]] | None = None
    frozen: Mapping[str, NetworkKind] = field(default_factory=dict)
    batch: int | None = None
    check: Callable[[], None] = lambda: None
    prepare: Callable[[TrainingData], str | None] = lambda data: None
    known_failures: str = ""


@dataclass(frozen=True)
class Recipe:
    """What all recipes have; each method adds its own numbers.

    preset: "paper" as the paper prints it, "program" as its authors' program does, "default" what
        we found better.
    steps: of the last, or only, phase. batch: samples a step and device. patch_pixels: their side.
    rate: learning rate at the start. schedule: "constant", or "cosine" down to a hundredth after a
        warm-up of a fiftieth of the steps (at most 500).
    ema_decay: of the average of the weights that is validated and shipped; 0 for none. Over the
        first steps it is (1 + step) / (10 + step), so that the start is forgotten.
    validate_every, log_every: in steps.
    architecture: switches of the exported network's architecture, by name; they go before those
        that the recipe itself sets.
    photo_pairs: of photographed brackets, "extremes" (the darkest with the brightest) or "mirrored"
        (photo i of N with photo N - i + 1). photo_size: how large photos are kept, "0" as they are,
        "1200" reduced to this longer side, "1200x800" exactly. framing: "crop", or "letterbox": the
        whole photo reduced to the patch, black beyond it.
    """

    # What its networks are shown, of what `samples.TrainingData` has.
    draws: ClassVar[Draws] = "pairs"

    preset: str = "default"
    steps: int = 20_000
    batch: int = 16
    patch_pixels: int = 256
    rate: float = 2e-4
    schedule: Literal["constant", "cosine"] = "cosine"
    ema_decay: float = 0.999
    validate_every: int = 1000
    log_every: int = 50
    architecture: Mapping[str, Any] = field(default_factory=dict)
    photo_pairs: Literal["extremes", "mirrored"] = "extremes"
    photo_size: str = "1200"
    framing: Literal["crop", "letterbox"] = "crop"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch_pixels", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise OptionError(f"ema_decay: expected 0 to below 1, found {self.ema_decay}")
        check_choices(
            self,
            photo_pairs=("extremes", "mirrored"),
            framing=("crop", "letterbox"),
            schedule=("constant", "cosine"),
        )

    def numbers_of(self, stage: str | None) -> Mapping[str, str]:
        """Names of the numbers that a stage has in place of the recipe's own, such as `steps`."""
        return {}


def check_choices(recipe: Recipe, **choices: tuple[str, ...]) -> None:
    """Raise OptionError for a word of a recipe that is none of those it may be."""
    for name, known in choices.items():
        if getattr(recipe, name) not in known:
            raise OptionError(
                f"{name}: expected one of {', '.join(known)}, found {getattr(recipe, name)!r}"
            )


R = TypeVar("R", bound=Recipe)


def choose_preset(presets: Mapping[str, R], name: str, changes: Mapping[str, Any]) -> R:
    """Return a preset with the changes that are not None."""
    if name not in presets:
        raise unknown_name("preset", name, presets)
    return replace(presets[name], **{k: v for k, v in changes.items() if v is not None})


A = TypeVar("A")


def switched(architecture: A, recipe: Recipe) -> A:
    """Return an architecture with the recipe's switches thrown.

    Raises OptionError, with the near names, for one that it does not have or cannot take.
    """
    chosen: Any = architecture
    known = [entry.name for entry in fields(chosen)]
    for name in recipe.architecture:
        if name not in known:
            raise unknown_name("switch of the architecture", name, known)
    try:
        switched_one: A = replace(chosen, **recipe.architecture)
    except (TypeError, ValueError) as error:
        raise OptionError(f"architecture: {error}") from None
    return switched_one


def check_patch(recipe: Recipe, multiple: int, least: int) -> None:
    """Raise OptionError if a network cannot take patches of this side."""
    side = recipe.patch_pixels
    if side < least or side % multiple:
        raise OptionError(
            f"patch: expected a multiple of {multiple} of at least {least} pixels, found {side}"
        )


def schedule_of(recipe: Recipe, steps: int) -> Callable[[Moment], float]:
    """The learning rate of a recipe's schedule over a phase of `steps`."""
    if recipe.schedule == "constant":
        return lambda moment: recipe.rate
    return lambda moment: recipe.rate * cosine(moment.step, steps)


def cosine(step: int, steps: int) -> float:
    """Factor of the rate: a linear warm-up, then half a cosine from 1 to 0.01."""
    warm_up = min(500, steps // 50)
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, steps - warm_up)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over scenes."""
    return {name: sum(found[name] for found in scores) / len(scores) for name in scores[0]}
