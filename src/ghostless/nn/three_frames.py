"""What networks of three frames see: dark, reference and bright of a moving scene.

Kalantari, Ramamoorthi: Deep High Dynamic Range Imaging of Dynamic Scenes, SIGGRAPH 2017, and those
who followed: every frame twice, as codes and as radiance in the exposure of the darkest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FRAMES = 3
# The papers' curve of every camera: codes are light to the power 1 / 2.2.
PAPER_GAMMA = 2.2


def network_frames(lights: Sequence[Tensor], exposures: Sequence[Tensor]) -> list[Tensor]:
    """Six channels, 0..1, of each frame: its codes under the papers' curve, then its radiance.

    lights: (B, 3, H, W), linear, 1 where the frame clips. exposures: exposure time over that of the
    darkest frame, >= 1, each (B, 1, 1, 1). Whatever a camera's own curve, the networks see that of
    the papers: the two halves then agree on it in every frame.
    """
    return [
        torch.cat([light.pow(1 / PAPER_GAMMA), light / exposure], dim=1)
        for light, exposure in zip(lights, exposures, strict=True)
    ]
