"""burnscar init: settings of a new world that load, say their region, and are never written over."""

from pathlib import Path

import pytest

from burnscar_assets.cli import main
from burnscar_assets.environment import settings_path, shipped_files
from burnscar_assets.regions.load import FOLDER
from burnscar_assets.settings import load_settings


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
    monkeypatch.setenv("BURNSCAR_DATA", "")  # so that what the command sets is undone
    monkeypatch.delenv("BURNSCAR_CONFIG", raising=False)
    assert main(["init", "--region", "greece", "--data", str(tmp_path / "root")]) == 0
    assert load_settings(settings_path(tmp_path / "root")).region == "greece"


def test_an_unknown_region_is_named_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "mine.yaml"), "--region", "atlantis"]) == 1
    assert "no region 'atlantis'" in " ".join(capsys.readouterr().err.split()) and not list(tmp_path.iterdir())
