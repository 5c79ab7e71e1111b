"""What attention does where something changed: the measure tells one attention from another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless.errors import OptionError  # noqa: E402
from ghostless.nn.chen_chuang import ChenChuangArchitecture, Generator  # noqa: E402
from ghostless.nn.weights import WeightsInfo, save_weights  # noqa: E402
from ghostless.research.bench.papers import attention  # noqa: E402
from ghostless.research.bench.papers.place import PaperSettings, Place  # noqa: E402
from ghostless.research.bench.papers.printed import tables_of  # noqa: E402

from ..scenes import expose, make_radiance  # noqa: E402
from ..train.test_photographed import save  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TABLES = {table.id: table for table in tables_of("chen-chuang")}


def network_of(**switches: Any) -> Generator:
    torch.manual_seed(0)
    network = Generator(ChenChuangArchitecture(channels=4, **switches)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2)
    return network


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("attention")
    weights = folder / "chen-chuang.safetensors"
    network = network_of(adds_to="local fusion", gate=True)
    assert network.gate is not None
    with torch.no_grad():
        network.gate.answer.conv.bias[0] = -4  # shut but where it is bound to pass
    save_weights(network, weights, WeightsInfo("chen-chuang"))
    for scene in range(2):
        light = make_radiance(120, 160, seed=scene)
        for number, stops in enumerate((-2, 1)):
            save(expose(light, stops), folder / "sice" / f"s{scene}" / f"{number}.png")
    folders = {"sice": folder / "sice"}
    return Place("chen-chuang", folder, PaperSettings(folders, weights=weights, scenes=1))


def ratios(place: Place, monkeypatch: pytest.MonkeyPatch, seen: Any) -> dict[str, float]:
    """Of an attention that is a function of the darker, the brighter and its still frame."""
    pairs = {
        id(pair.under): pair
        for _, some in attention.pasted_pairs(place, TABLES["attention"])
        for pair in some
    }
    kept = list(pairs.values())  # so that no identity is used twice
    monkeypatch.setattr(attention, "pasted_pairs", lambda *_: [("s0", kept)])
    monkeypatch.setattr(
        attention, "attention_on", lambda _, under, over: seen(pairs[id(under)], over)
    )
    monkeypatch.setattr(attention, "_registered", lambda place, pair, over: pair.over)
    table = attention.suppression(TABLES["attention"], place)
    return {row.name: row.values["ratio"].mean for row in table.rows if "ratio" in row.values}


def test_an_attention_that_knows_and_one_that_weighs_by_brightness(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knowing(pair: attention.PastedPair, over: Any) -> Any:
        return np.where(attention.differs(over, pair.still), np.float32(0.2), np.float32(0.8))

    def by_brightness(pair: attention.PastedPair, over: Any) -> Any:
        grey = over.display() @ np.float32([0.299, 0.587, 0.114])
        return np.asarray(1 - 0.7 * np.floor(grey * 16) / 16, np.float32)

    with monkeypatch.context() as patched:
        found = ratios(place, patched, knowing)
    assert set(found) == {row.name for row in TABLES["attention"].rows}
    assert all(ratio == pytest.approx(0.25, abs=1e-3) for ratio in found.values())
    with monkeypatch.context() as patched:
        found = ratios(place, patched, by_brightness)
    assert all(ratio == pytest.approx(1, abs=0.05) for ratio in found.values())


def test_what_lies_apart_and_is_registered_again_is_where_it_was(place: Place) -> None:
    ((_, (pair, *_)),) = attention.pasted_pairs(place, TABLES["attention"])
    apart = attention._apart(pair, 0)
    changed = attention.differs(pair.over, pair.still)
    assert 0 < changed.mean() < 0.4
    assert attention.differs(apart, pair.still).mean() > 1.5 * changed.mean()
    # The darker frame and the still one show the piece at one place.
    assert pair.under.pixels.shape == pair.still.pixels.shape


def test_without_attention_everything_passes_for_a_while() -> None:
    under, over = torch.rand(2, 1, 3, 128, 128)
    gated = network_of(adds_to="local fusion", gate=True)
    gated.gate.train()  # in noise nobody could tell what changed, and at use all would pass
    with torch.no_grad():
        whole = gated(under, over)
        with attention.without_attention(gated):
            plain = gated(under, over)
        assert float((whole - plain).abs().max()) > 1e-3
        torch.testing.assert_close(gated(under, over), whole)
        with attention.without_attention(gated, really=False):
            torch.testing.assert_close(gated(under, over), whole)
    papers = network_of()
    maps: list[Any] = []
    papers.attention.map.register_forward_hook(lambda module, inputs, out: maps.append(out))
    with torch.no_grad():
        papers(under, over)
        with attention.without_attention(papers):
            papers(under, over)
    assert float(maps[0].std()) > 1e-4
    assert float(maps[1].std()) < 1e-6
    with (
        pytest.raises(OptionError, match="with attention"),
        attention.without_attention(network_of(attention=False)),
    ):
        pass


def test_inside_what_changed_with_and_without(place: Place) -> None:
    table = attention.with_and_without(TABLES["pasted"], place)
    with_it, without = table.rows
    assert set(with_it.values) == set(TABLES["pasted"].metrics)
    # Without attention the two truths are one.
    for where in ("inside", "outside"):
        own, common = (without.values[f"PSNR_{where}{end}"].mean for end in ("", "_common"))
        assert own == common
        assert with_it.values[f"PSNR_{where}"].mean != own
    ((_, (pair, *_)),) = attention.pasted_pairs(place, TABLES["pasted"])
    shown = attention.attention_on(attention._network(place), pair.under, pair.over)
    assert shown.shape == (120, 160)
    assert 0 < shown.min() < shown.max() < 1
