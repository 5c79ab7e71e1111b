"""A person who walks, of simple bodies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .engine import Surface, Thing
from .shapes import (
    Limb,
    Vector,
    grown,
    pose,
)

_SKIN, _HAIR = (0.42, 0.24, 0.16), (0.035, 0.022, 0.015)
_RED, _CREAM = (0.56, 0.10, 0.07), (0.60, 0.55, 0.46)
_JEANS, _SHOE = (0.05, 0.085, 0.17), (0.30, 0.25, 0.20)


def walker(x: float, z: float, phase: float, *, voxel_metres: float = 0.008) -> Thing:
    """A person who walks along x, at (x, z); phase in turns of the stride."""
    bob = 0.02 * np.cos(4 * np.pi * phase)
    limbs = [*_trunk(), *_limbs(float(np.sin(2 * np.pi * phase)))]
    mesh = grown(limbs, voxel_metres=voxel_metres)
    return Thing("walker", mesh.moved(pose((x, float(bob), z))), Surface(None))


def _trunk() -> list[Limb]:
    return [
        Limb((0.0, 0.96, 0.055), (0.0, 0.98, -0.055), 0.125, 0.125, _JEANS),
        Limb((0.0, 1.06, 0.0), (0.025, 1.33, 0.0), 0.128, 0.152, _RED, _CREAM),
        Limb((0.02, 1.40, 0.13), (0.02, 1.40, -0.13), 0.075, 0.075, _RED, _CREAM),
        Limb((0.025, 1.44, 0.0), (0.04, 1.55, 0.0), 0.058, 0.055, _SKIN),
        Limb((0.06, 1.60, 0.0), (0.05, 1.66, 0.0), 0.078, 0.096, _SKIN),
        Limb((0.135, 1.615, 0.0), (0.152, 1.60, 0.0), 0.018, 0.016, _SKIN),
        Limb((0.03, 1.675, 0.0), (0.02, 1.69, 0.0), 0.105, 0.10, _HAIR),
        Limb((-0.03, 1.63, 0.0), (-0.045, 1.56, 0.0), 0.085, 0.06, _HAIR),
    ]


def _limbs(swing: float) -> list[Limb]:
    """Legs and arms, the left ones first, as far forward as `swing`, -1..1, says."""
    limbs = []
    for side, lift in ((0.10, swing), (-0.10, -swing)):
        hip = (0.0, 0.93)
        knee = _swung(hip, 0.42, 0.42 * lift + 0.10)
        ankle = _swung(knee, 0.42, 0.42 * lift - (0.22 if lift < 0 else 0.06))
        elbow = _swung((0.02, 1.38), 0.29, -0.45 * lift)
        wrist = _swung(elbow, 0.25, -0.45 * lift + 0.35)
        out = side * 2.2
        limbs += [
            _limb((hip, knee), (side, side), (0.095, 0.068), _JEANS),
            _limb((knee, ankle), (side, side), (0.066, 0.050), _JEANS),
            _limb(
                ((ankle[0], ankle[1] - 0.04), (ankle[0] + 0.15, ankle[1] - 0.055)),
                (side, side),
                (0.046, 0.038),
                _SHOE,
            ),
            _limb(((0.02, 1.39), elbow), (side * 1.9, out), (0.060, 0.048), _RED, _CREAM),
            _limb((elbow, wrist), (out, out), (0.045, 0.034), _SKIN),
            _limb((wrist, (wrist[0] + 0.04, wrist[1] - 0.07)), (out, out), (0.040, 0.034), _SKIN),
        ]
    return limbs


def _swung(joint: tuple[float, float], length: float, angle: float) -> tuple[float, float]:
    return joint[0] + length * float(np.sin(angle)), joint[1] - length * float(np.cos(angle))


def _limb(
    ends: Sequence[tuple[float, float]],
    sides: tuple[float, float],
    radii: tuple[float, float],
    colour: Vector,
    second: Vector | None = None,
) -> Limb:
    """A limb between two places (forward, up)."""
    (x0, y0), (x1, y1) = ends
    return Limb((x0, y0, sides[0]), (x1, y1, sides[1]), *radii, colour, second)
