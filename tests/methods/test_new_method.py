"""What `ghostless methods --new` writes is a method that keeps the contract from the first line."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.methods import test_every_method as contract

from ghostless import cli, methods
from ghostless.errors import OptionError
from ghostless.methods import METHODS, Method
from ghostless.research.commands.new_method import CHECKOUT, new_method


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a checkout as a new method is written to."""
    for name in ("src/ghostless/methods", "tests/methods", "docs/methods"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("src/ghostless/methods/table.py", "docs/README.md"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    return tmp_path


def load(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=[False, True], ids=["average", "toy-net"])
def added(
    request: pytest.FixtureRequest, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Method, Path]:
    """A method written and put into the table, and the checkout it was written to."""
    network = request.param
    name = "toy-net" if network else "average"
    if network:
        pytest.importorskip("torch")
    new_method(name, network=network, checkout=checkout)
    folder = checkout / "src" / "ghostless" / "methods"
    stem = name.replace("-", "_")
    table = load("ghostless.methods.changed_table", folder / "table.py", monkeypatch)
    monkeypatch.setitem(METHODS, name, table.METHODS[name])
    module = load(f"ghostless.methods.{stem}", folder / f"{stem}.py", monkeypatch)
    monkeypatch.setattr(methods, stem, module, raising=False)
    return METHODS[name], checkout


def test_it_keeps_what_the_table_promises(added: tuple[Method, Path], tmp_path: Path) -> None:
    method, _ = added
    for check in contract.CHECKS:
        if not (check is contract.check_masks and method.needs_extra):
            check(method, tmp_path)


def test_its_own_test_passes(added: tuple[Method, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    method, checkout = added
    stem = method.name.replace("-", "_")
    own = load("its_test", checkout / f"tests/methods/test_{stem}.py", monkeypatch)
    tests = [value for name, value in vars(own).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_its_page_is_found_and_has_the_form_of_the_others(added: tuple[Method, Path]) -> None:
    method, checkout = added
    page = (checkout / "docs" / "methods" / f"{method.name}.md").read_text()
    for heading in ("The paper says", "We built", "Use it", "We measured"):
        assert f"\n## {heading}\n" in page
    assert f"<!-- facts: {method.name} -->\n" in page
    assert f"(methods/{method.name}.md)" in (checkout / "docs" / "README.md").read_text()
    assert not method.facts()["paper"]


@pytest.mark.parametrize("name", ["mertens", "auto", "Average", "a--b", "", "class", "in-turn"])
def test_names_that_are_taken_or_none_are_refused(name: str, checkout: Path) -> None:
    (checkout / "src/ghostless/methods/in_turn.py").write_text("")
    before = sorted(checkout.rglob("*"))
    with pytest.raises(OptionError, match="new: expected"):
        new_method(name, checkout=checkout)
    assert sorted(checkout.rglob("*")) == before


def test_outside_of_a_checkout_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="checkout"):
        new_method("average", checkout=tmp_path)
    assert not list(tmp_path.iterdir())


def test_network_goes_with_a_new_name_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", "--network"]) == 2
    assert "--new NAME" in capsys.readouterr().err
