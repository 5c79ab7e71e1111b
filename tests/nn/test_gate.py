"""The gate of chen-chuang: what one frame foretells of the other, and the network on it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn.gate import (  # noqa: E402
    GATE_HALO,
    NODES,
    Gate,
    gather,
    let_through,
    look_up,
    make_curves,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def dark_and_bright(side=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 9, generator=generator, dtype=torch.float64)
    light = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (light * 0.3).pow(1 / 2.2), (light * 1.5).clamp(0, 1).pow(1 / 2.2)


def test_a_curve_foretells_the_other_exposure() -> None:
    under, over = dark_and_bright()
    curves = make_curves(gather(under, over))
    assert curves.shape == (1, 2, 3, NODES, 2)
    (expected,) = look_up([curves[:, 0, ..., 0]], under)
    assert float((over - under).abs().mean()) > 0.2
    assert float((expected - over).abs().mean()) < 0.01
    # And back, but for what is white in the brighter frame.
    (back,) = look_up([curves[:, 1, ..., 0]], over)
    grey = over < 0.98
    assert float((back - under).abs()[grey].mean()) < 0.01
    assert float(curves[..., 1].max()) < 0.3


def test_a_piece_that_moved_stands_out() -> None:
    under, over = dark_and_bright()
    moved = over.clone()
    moved[..., 20:34, 20:34] = over[..., 20:34, 20:34].flip(1) * 0.4
    (expected,) = look_up([make_curves(gather(under, moved))[:, 0, ..., 0]], under)
    error = (moved - expected).abs().mean(dim=1)[0]
    there = torch.zeros(64, 64, dtype=torch.bool)
    there[20:34, 20:34] = True
    assert float(error[there].mean()) > 8 * float(error[~there].mean())


def test_sums_of_parts_are_those_of_the_whole() -> None:
    under, over = dark_and_bright()
    parts = [
        gather(under[..., rows, :], over[..., rows, :]) for rows in (slice(0, 24), slice(24, 64))
    ]
    torch.testing.assert_close(parts[0] + parts[1], gather(under, over))


def test_levels_that_nobody_saw_lean_on_their_neighbours() -> None:
    flat = torch.full((1, 3, 8, 8), 0.25)
    curves = make_curves(gather(flat, flat * 2))
    assert torch.isfinite(curves).all()
    torch.testing.assert_close(curves[:, 0, ..., 0], torch.full((1, 3, NODES), 0.5))


def test_untrained_nearly_all_passes_and_the_expectation_stands_in() -> None:
    torch.manual_seed(0)
    under, over = dark_and_bright()
    curves = make_curves(gather(under, over))
    with torch.no_grad():
        passes, instead = Gate().double()(under, over, curves)
    assert float(passes.min()) == pytest.approx(float(passes.max())) == pytest.approx(0.9526, 1e-3)
    (expected,) = look_up([curves[:, 0, ..., 0]], under)
    torch.testing.assert_close(instead, expected.clamp(0.5 / 255, 1 - 0.5 / 255))
    torch.testing.assert_close(let_through(over, torch.ones_like(passes), instead), over)
    torch.testing.assert_close(let_through(over, torch.zeros_like(passes), instead), instead)


def test_it_sees_no_further_than_its_halo() -> None:
    torch.manual_seed(0)
    gate = Gate().double()
    torch.nn.init.normal_(gate.answer.conv.weight)
    under, over = dark_and_bright(128)
    curves = make_curves(gather(under, over))
    changed = over.clone()
    changed[..., 64, 64] = 1 - changed[..., 64, 64]
    with torch.no_grad():
        before, after = (gate(under, image, curves)[0][0, 0] for image in (over, changed))
    rows, columns = torch.nonzero(before != after, as_tuple=True)
    reach = max(int((rows - 64).abs().max()), int((columns - 64).abs().max()))
    assert 16 < reach <= GATE_HALO


def test_bfloat16_does_not_reach_the_curves() -> None:
    under, over = (image.float() for image in dark_and_bright())
    exact = make_curves(gather(under, over))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = make_curves(gather(under, over))
    torch.testing.assert_close(coarse, exact)


def test_tempered_it_is_more_decided_and_milder() -> None:
    torch.manual_seed(0)
    gate = Gate().double()
    torch.nn.init.normal_(gate.answer.conv.weight)
    under, over = dark_and_bright()
    curves = make_curves(gather(under, over))
    with torch.no_grad():
        before, instead = gate(under, over, curves)
        gate.temper(2, 1.5)
        after, same = gate(under, over, curves)
    torch.testing.assert_close(torch.logit(after), 2 * torch.logit(before) + 1.5)
    torch.testing.assert_close(same, instead)
