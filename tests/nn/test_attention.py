"""Attention: exact against the written-out softmax, in bounded memory, stripes included."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import attention  # noqa: E402


def explicit(query, key, value):
    return torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value


def tokens(count, channels, seed, scale=1.0, dtype=torch.float64, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, count, channels, generator=generator, dtype=dtype)


@pytest.mark.parametrize("count", [1, 7, 64, 250])
def test_attend_equals_the_explicit_softmax(count):
    query, key, value = (tokens(count, c, s) for c, s in ((8, 0), (8, 1), (32, 2)))
    torch.testing.assert_close(attention.attend(query, key, value), explicit(query, key, value))


def test_attend_does_not_divide_by_the_root_of_the_channels():
    query, key, value = (tokens(40, c, s, scale=2.0) for c, s in ((8, 0), (8, 1), (32, 2)))
    divided = explicit(query / 8**0.5, key, value)
    assert (attention.attend(query, key, value) - divided).abs().max() > 0.1


def test_attend_without_the_map_equals_the_explicit_softmax(monkeypatch):
    monkeypatch.setattr(attention, "SMALL_MAP_BYTES", 0)
    query, key, value = (tokens(300, c, s) for c, s in ((8, 0), (8, 1), (32, 2)))
    torch.testing.assert_close(attention.attend(query, key, value), explicit(query, key, value))


def test_attend_falls_back_to_blocks_where_no_kernel_fits(monkeypatch):
    calls = []
    blocks = attention.attend_in_blocks

    def refuse(*args, **kwargs):
        raise RuntimeError("No available kernel. Aborting execution.")

    def spy(*args, **kwargs):
        calls.append(args)
        return blocks(*args, **kwargs)

    monkeypatch.setattr(attention, "SMALL_MAP_BYTES", 0)
    monkeypatch.setattr(attention, "attend_in_blocks", spy)
    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", refuse)
    query, key, value = (tokens(30, c, s) for c, s in ((8, 0), (8, 1), (32, 2)))
    torch.testing.assert_close(attention.attend(query, key, value), explicit(query, key, value))
    assert calls


@pytest.mark.parametrize("block_bytes", [0, 1000, 10**9])
def test_blocks_equal_the_explicit_softmax(block_bytes):
    query, key, value = (tokens(65, c, s) for c, s in ((8, 0), (8, 1), (32, 2)))
    torch.testing.assert_close(
        attention.attend_in_blocks(query, key, value, block_bytes), explicit(query, key, value)
    )


def test_logits_are_float32_for_16_bit_input():
    # Two keys whose logits (about 300) differ by 0.5: bfloat16 holds them only to 2.
    query = torch.tensor([[[1.0] * 8]], dtype=torch.bfloat16)
    key = torch.full((1, 2, 8), 37.5, dtype=torch.bfloat16)
    key[0, 1, 0] = 38.0
    value = torch.zeros(1, 2, 32, dtype=torch.bfloat16)
    value[0, 1] = 1.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attention.attend(query, key, value)
    assert out.dtype == torch.bfloat16
    assert float(out[0, 0, 0]) == pytest.approx(torch.sigmoid(torch.tensor(0.5)).item(), abs=0.004)


def test_gradients_of_attend():
    query, key, value = (
        tokens(5, c, s, batch=1).requires_grad_() for c, s in ((3, 0), (3, 1), (4, 2))
    )
    assert torch.autograd.gradcheck(attention.attend, (query, key, value))


def test_attention_of_a_map_twice_as_large_made_of_copies_is_unchanged():
    # Every key four times leaves each softmax average as it was; a scale that depended on the
    # number of tokens, or a mixed-up token order, would show.
    torch.manual_seed(0)
    layer = attention.SelfAttention(32, 8).double()
    x = torch.randn(1, 32, 6, 5, dtype=torch.float64)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = layer(x).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(layer(large), expected)


def test_items_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    layer = attention.SelfAttention(32, 8).double()
    x = torch.randn(3, 32, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[1:2], layer(x[1:2]))


def test_key_pooling_is_an_approximation_that_is_exact_on_flat_maps():
    torch.manual_seed(0)
    exact = attention.SelfAttention(32, 8).double()
    pooled = attention.SelfAttention(32, 8, key_pooling=2).double()
    pooled.load_state_dict(exact.state_dict())
    blocks = torch.randn(1, 32, 3, 3, dtype=torch.float64).repeat_interleave(2, 2)
    blocks = blocks.repeat_interleave(2, 3)
    torch.testing.assert_close(pooled(blocks), exact(blocks))
    rough = torch.randn(1, 32, 6, 6, dtype=torch.float64)
    assert (pooled(rough) - exact(rough)).abs().max() > 1e-3


def test_parameter_counts():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(attention.SelfAttention(32, 8)) == 2 * (32 * 8 + 8) + 32 * 32 + 32
    assert count(attention.SelfAttention(32, 8, spectral=True)) == 1584
    assert count(attention.CoordinateAttention(32)) == 856


def test_coordinate_attention_is_a_gate_per_row_times_a_gate_per_column():
    torch.manual_seed(0)
    layer = attention.CoordinateAttention(32).double().eval()
    x = torch.randn(1, 32, 9, 12, dtype=torch.float64)
    ratio = layer(x) / x
    rows, columns = layer.gates(x.mean(3, keepdim=True), x.mean(2, keepdim=True))
    assert rows.shape == (1, 32, 9, 1)
    assert columns.shape == (1, 32, 1, 12)
    torch.testing.assert_close(ratio, rows * columns)
    assert ratio.min() > 0
    assert ratio.max() < 1
    assert rows.std() > 0
    assert columns.std() > 0


def test_coordinate_attention_transposes_with_its_two_heads():
    torch.manual_seed(0)
    layer = attention.CoordinateAttention(32).double().eval()
    other = attention.CoordinateAttention(32).double().eval()
    other.load_state_dict(layer.state_dict())
    other.to_rows, other.to_columns = other.to_columns, other.to_rows
    x = torch.randn(1, 32, 9, 12, dtype=torch.float64)
    torch.testing.assert_close(other(x.transpose(2, 3)), layer(x).transpose(2, 3))


@pytest.mark.slow
def test_attention_over_24_megapixels_takes_bounded_memory():
    # 375,000 tokens: the attention map would be 560 GB. Two rows' worth of queries stand for all
    # (the time, not the memory, grows with the queries).
    resource = pytest.importorskip("resource")
    generator = torch.Generator().manual_seed(0)
    key = torch.randn(1, 375_000, 8, generator=generator)
    value = torch.randn(1, 375_000, 32, generator=generator)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.inference_mode():
        out = attention.attend(key[:, :20_000], key, value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000  # kilobytes
    torch.testing.assert_close(out[:, :20], explicit(key[:, :20], key, value), atol=1e-4, rtol=1e-4)
