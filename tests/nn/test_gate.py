"""The gate of chen-chuang: what one frame foretells of the other, and the network on it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn.gate import (  # noqa: E402
    GATE_HALO,
    NODES,
    Gate,
    gather,
    keep_areas,
    let_through,
    look_up,
    make_curves,
    may_hide,
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
    gate = Gate().double()
    with torch.no_grad():
        passes, instead = gate(under, over, curves)
        assert float(gate.eval()(under, over, curves)[0].min()) == 1
    assert float(passes.min()) == pytest.approx(0.9526, 1e-3)
    assert float(passes.median()) == pytest.approx(0.9526, 1e-3)
    (expected,) = look_up([curves[:, 0, ..., 0]], under)
    torch.testing.assert_close(instead, expected.clamp(0.5 / 255, 1 - 0.5 / 255))
    torch.testing.assert_close(let_through(over, torch.ones_like(passes), instead), over)
    torch.testing.assert_close(let_through(over, torch.zeros_like(passes), instead), instead)


def test_it_sees_no_further_than_its_halo() -> None:
    torch.manual_seed(0)
    gate = Gate().double().eval().requires_grad_(False)
    torch.nn.init.normal_(gate.answer.conv.weight)
    gate.answer.conv.bias[0] = -3
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
        told = may_hide_here(under, over, curves) == 1
    assert float(told.double().mean()) > 0.9
    torch.testing.assert_close(torch.logit(after)[told], 2 * torch.logit(before)[told] + 1.5)
    torch.testing.assert_close(same, instead)


def may_hide_here(under, over, curves):
    expected, doubt = look_up(curves[:, 0].unbind(-1), under)
    back, back_doubt = look_up(curves[:, 1].unbind(-1), over)
    noise = 2 / 255
    return may_hide(
        doubt, (over - expected) / (doubt + noise), (under - back) / (back_doubt + noise)
    )


def black_and_grey(side=64, seed=0):
    """Photos whose left half is black in the one, with noise, and anything up to grey in the other.

    Also the brighter one with a white square in either half.
    """
    under, over = dark_and_bright(side, seed)
    generator = torch.Generator().manual_seed(seed)
    half = side // 2
    code = torch.randint(0, 3, (1, 3, side, half), generator=generator)
    under[..., :half] = code.double() / 255
    over[..., :half] = 0.5 * torch.rand(1, 1, side, half, generator=generator, dtype=torch.float64)
    moved = over.clone()
    moved[..., 16:38, 6:26] = 1
    moved[..., 16:38, half + 6 : half + 26] = 1
    return under, over, moved


def shut(gate):
    """A gate that would let nothing pass."""
    with torch.no_grad():
        gate.answer.conv.weight.zero_()
        gate.answer.conv.bias[0] = -20.0
    return gate.double().eval()


def test_where_black_stands_for_anything_it_passes_though_the_network_would_hide_it() -> None:
    torch.manual_seed(0)
    under, over, moved = black_and_grey(96)
    curves = make_curves(gather(under, moved))
    with torch.no_grad():
        passes = shut(Gate())(under, over, curves)[0][0, 0]
        with_moved = shut(Gate())(under, moved, curves)[0][0, 0]
    assert float(passes[:, :48].mean()) > 0.9
    assert float(passes[:, 52:].mean()) < 0.4
    # What no black elsewhere stands for is hidden even there.
    assert float(with_moved[22:32, 12:20].max()) < 0.05
    assert float(with_moved[46:, :46].mean()) > 0.9


def test_areas_are_hidden_and_lines_and_dots_are_not() -> None:
    hidden = torch.zeros(1, 1, 64, 64)
    hidden[..., 10:40, 10:40] = 0.9
    hidden[..., 50:53, :] = 1
    hidden[..., 4, 60] = 1
    kept = keep_areas(hidden)[0, 0]
    assert float(kept[11:39, 11:39].min()) > 0.8
    assert float(kept[50:53].max()) == float(kept[4, 60]) == 0
    assert (kept <= hidden[0, 0]).all()


def test_a_steep_curve_is_doubted_by_what_noise_makes_of_it() -> None:
    levels = torch.linspace(0, 1, 64 * 64, dtype=torch.float64).square().reshape(1, 1, 64, 64)
    steep = make_curves(gather(*(i.expand(-1, 3, -1, -1) for i in (levels / 8, levels))))
    plain = make_curves(gather(*(i.expand(-1, 3, -1, -1) for i in (levels, levels))))
    middle = NODES // 4  # a level that both have seen
    there, like_itself = steep[0, 0, 0, middle, 1], plain[0, 0, 0, middle, 1]
    assert 8 * 2 / 255 < float(there) < 0.09
    assert 2 / 255 < float(like_itself) < 0.03
    # Back it is flat, and so a code off is nothing.
    assert float(steep[0, 1, 0, 20, 1]) < 0.01


def test_what_may_be_hidden_changes_little_with_what_is_seen() -> None:
    under, _, moved = black_and_grey()
    curves = make_curves(gather(under, moved))
    before = may_hide_here(under, moved, curves)
    generator = torch.Generator().manual_seed(1)
    for image in (0, 1):
        pair = [under.clone(), moved.clone()]
        noise = torch.rand(pair[image].shape, generator=generator, dtype=torch.float64) - 0.5
        pair[image] = (pair[image] + noise * 0.02 / 255).clamp(0, 1)
        assert float((may_hide_here(*pair, curves) - before).abs().max()) < 0.05
