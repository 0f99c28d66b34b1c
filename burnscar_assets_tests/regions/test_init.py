"""burnscar init: settings of a new world that load, say their region, and are never written over."""

from pathlib import Path

import pytest

from burnscar_assets.cli import main
from burnscar_assets.environment import CONFIGS_DIR, settings_path, shipped_files
from burnscar_assets.regions.load import FOLDER
from burnscar_assets.settings import load_settings
from burnscar_assets.setups import load_setups


@pytest.fixture(autouse=True)
def _undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands set in the environment is undone."""
    monkeypatch.setenv("BURNSCAR_CONFIG", "")
    monkeypatch.setenv("BURNSCAR_DATA", "")


@pytest.mark.parametrize("region", [path.stem for path in shipped_files(FOLDER)])
def test_each_shipped_region_gives_settings_that_load(
    region: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--region", region]) == 0
    text = Path(f"{region}.yaml").read_text(encoding="utf-8")
    assert load_settings(Path(f"{region}.yaml")).ground.name == region and text.count("#") > 8
    assert ("2019-07-01" in text) == (region == "new-south-wales")
    assert main(["init", "--region", region]) == 1
    assert "is there already" in capsys.readouterr().err
    assert Path(f"{region}.yaml").read_text(encoding="utf-8") == text


def test_a_data_root_gets_settings_that_its_commands_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["init", "--region", "greece", "--data", str(tmp_path / "root")]) == 0
    monkeypatch.setenv("BURNSCAR_CONFIG", "")
    assert load_settings(settings_path(tmp_path / "root")).region == "greece"


def test_a_region_of_ones_own_lies_beside_the_new_settings(tmp_path: Path) -> None:
    (tmp_path / "regions").mkdir()
    (tmp_path / "regions" / "mine.yaml").write_text(shipped_files(FOLDER)[0].read_text(encoding="utf-8"))
    assert main(["init", str(tmp_path / "world.yaml"), "--region", "mine"]) == 0
    assert load_settings(tmp_path / "world.yaml").ground.name == "mine"


def test_set_ups_that_want_other_layers_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    settings = load_settings(Path("california.yaml"))
    own = load_settings(CONFIGS_DIR / "california.yaml")
    assert {*load_setups(settings)} == {*load_setups(own)}, "those of the shipped world"


def test_an_unknown_region_is_named_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "mine.yaml"), "--region", "atlantis"]) == 1
    assert "no region 'atlantis'" in " ".join(capsys.readouterr().err.split()) and not list(tmp_path.iterdir())
