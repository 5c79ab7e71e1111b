"""The agreement network in torch, and the file of it that OpenCV runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ghostless.deghost.evidence import CHANNELS
from ghostless.nn.agreement import (
    NETWORK,
    AgreementArchitecture,
    AgreementNetwork,
    agreement_onnx,
)
from ghostless.nn.weights import load_weights, shipped_path

SIZES = [(64, 96), (128, 80), (64, 96), (16, 16)]


def drawn(channels: tuple[int, ...]) -> AgreementNetwork:
    torch.manual_seed(5)
    network = AgreementNetwork(AgreementArchitecture(channels))
    with torch.no_grad():
        network.last.weight.mul_(10)
    return network.eval()


def runs_as_torch(network: AgreementNetwork, file: Path) -> None:
    by_opencv = cv2.dnn.readNetFromONNX(np.fromfile(file, np.uint8))
    for number, size in enumerate(SIZES):
        generator = torch.Generator().manual_seed(number)
        seen = torch.randn(1, CHANNELS, *size, generator=generator) * 0.3
        with torch.no_grad():
            expected = network(seen).numpy()
        by_opencv.setInput(seen.numpy())
        np.testing.assert_allclose(by_opencv.forward(), expected, atol=1e-3)


@pytest.mark.parametrize("channels", [(12, 16, 24, 32, 40), (8, 8)])
def test_opencv_runs_the_file_as_torch_runs_the_network(
    tmp_path: Path, channels: tuple[int, ...]
) -> None:
    pytest.importorskip("onnx")
    network = drawn(channels)
    file = tmp_path / "agreement.onnx"
    file.write_bytes(agreement_onnx(network))
    runs_as_torch(network, file)


def test_the_shipped_file_is_the_shipped_weights() -> None:
    weights = shipped_path("agreement")
    network, _ = load_weights(NETWORK, weights)
    runs_as_torch(network.eval(), weights.with_suffix(".onnx"))


def test_it_is_small() -> None:
    assert 50_000 < sum(value.numel() for value in AgreementNetwork().parameters()) < 150_000
