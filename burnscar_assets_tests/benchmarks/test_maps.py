"""Gains are paired over fires, choices are made by validation alone, and the benchmark prints all its figures."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from kit import inner_choice
from kit.figures import Bar, Figure
from kit.gains import judged_maps, over_baseline, over_setup, unflagged
from kit.inner_choice import CHOSEN, choose

from burnscar_assets.comparison.maps import MapField
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.evaluation.report import MODEL
from burnscar_assets.evaluation.rules import FrameErrors
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import FOLDS, MAP_SCORES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table
from burnscar_assets_tests.benchmarks.quick_run import quick_figures
from burnscar_assets_tests.evaluation.map_score_tables import scores_of

SETTINGS = EvaluationSettings(bootstrap_samples=200)
IOUS = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
DNBR = [0.1, 0.3, 0.3, 0.5, 0.5, np.nan, np.nan, 0.8]


def contestant(root: DataRoot, name: str, *seeds: dict[str, list[float]], **columns: object) -> Contestant:
    roots = tuple(root.setup(name, seed) for seed in range(len(seeds)))
    for place, ious in zip(roots, seeds, strict=True):
        write_table(place, MAP_SCORES, scores_of(ious, **columns), 2020)
    return Contestant(name, name, "fine_tuned", tuple(range(len(seeds))), roots)


def two(root: DataRoot) -> tuple[list[Contestant], MapField]:
    better = [iou + 0.1 for iou in IOUS[:-1]] + [0.9]
    ours = contestant(root, "ours", {MODEL: IOUS, "dnbr": DNBR}, {MODEL: better, "dnbr": DNBR})
    theirs = contestant(root, "theirs", {MODEL: [0.2] * 8})
    return [ours, theirs], judged_maps([ours, theirs], 2020)


def test_gains_are_means_over_the_fires_that_both_were_judged_on_and_over_seeds(tmp_path: Path) -> None:
    _, maps = two(DataRoot(tmp_path))
    over = over_setup(maps, "ours", "theirs", SETTINGS)
    mean = (np.array(IOUS) + np.array([0.1] * 7 + [0]) / 2).mean()
    assert over.value == pytest.approx(mean - 0.2) and over.fires == 8
    assert over.interval[0] < over.value < over.interval[1] and over.medians == pytest.approx((0.6, 0.2))
    index = over_baseline(maps, "ours", "dnbr", SETTINGS)
    assert index.fires == 6, "the others have no map by it"
    assert index.ious[1] == pytest.approx(np.nanmean(DNBR))


def test_fires_with_a_remark_are_left_out(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    table = scores_of({MODEL: IOUS, "dnbr": DNBR})
    table["flag"] = np.where(table["fire_id"] == "f0", "doubtful", "")
    write_table(root.setup("ours"), MAP_SCORES, table, 2020)
    maps = unflagged(judged_maps([Contestant("ours", "ours", "trees", (), (root.setup("ours"),))], 2020))
    assert len(maps.fires) == 7 and over_baseline(maps, "ours", "dnbr", SETTINGS).fires == 5


def test_inner_folds_choose_by_validation_fires_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = DataRoot(tmp_path)
    both, maps = two(root)
    folds = pd.DataFrame({"fire_id": [f"f{n}" for n in range(8)], "fire_year": 2020, "group_id": "g"})
    folds["fold"] = [f"fold_{n % 2}" for n in range(8)]
    write_table(root, FOLDS, gpd.GeoDataFrame(folds, geometry=[shapely.Point(0, 0)] * 8, crs="EPSG:3310"), None)
    validated = {"ours": (50.0, 30.0), "theirs": (40.0, 60.0)}  # by fold: theirs, the worse on test fires, wins one

    def report(place: DataRoot, year: int) -> Any:
        name = place.part.split("/")[1]
        alone = [FrameErrors("alone", "c", 100, 0, 0, 0)] if name == "ours" else []  # maps that the other lacks
        alone.append(FrameErrors("nothing burned on clear ground", "c", 0, 0, 0, 9))
        of_fold = [(*alone, FrameErrors("v", "c", hits, 0, 100 - hits, 0)) for hits in validated[name]]
        rules = [SimpleNamespace(for_maps=SimpleNamespace(errors=errors)) for errors in of_fold]
        return SimpleNamespace(judgements=[SimpleNamespace(rules=each) for each in rules])

    monkeypatch.setattr(inner_choice, "load_report", report)
    choice = choose(maps, both, root, 2020)
    assert choice.setups == ("ours", "theirs")
    first, second = choice.field.scores[CHOSEN]
    assert first["iou"].tolist() == pytest.approx([0.2, 0.2, 0.4, 0.2, 0.6, 0.2, 0.8, 0.2])
    assert second["iou"].tolist()[::2] == pytest.approx([0.3, 0.5, 0.7, 0.9])


def test_a_bar_on_a_gain_wants_the_mean_and_the_lower_end() -> None:
    bar = Bar(">=", 0.05, shown=True)
    assert Figure("gain", 0.06, "", bar=bar, interval=(0.01, 0.1)).holds
    assert not Figure("gain", 0.04, "", bar=bar, interval=(0.01, 0.1)).holds
    assert not Figure("gain", 0.06, "", bar=bar, interval=(-0.01, 0.1)).holds
    assert not Figure("gain", 0.06, "", bar=bar, interval=(np.nan, np.nan)).holds, "too few fires show nothing"
    assert Figure("gain", 0.06, "", bar=bar, interval=(np.nan, 0.5)).line()["interval"] == [None, 0.5]


@pytest.mark.slow
def test_every_figure_of_the_simulated_world_has_its_line_and_its_protocols(tmp_path: Path) -> None:
    figures = quick_figures("maps.py", tmp_path)
    assert {name for name in figures if figures[name]["bar"]} == {
        "simulated: default less dNBR less the frame's mode", "simulated: default less tutorial",
        "simulated, true burn: default less dNBR > 0.1",
        "judging over the model's arithmetic",
    }  # fmt: skip
    assert figures["judging over the model's arithmetic"]["ours"] > 1
    protocols = quick_figures("maps.py", tmp_path, "--protocols", "--data", str(tmp_path / "simulated"))
    assert {name.partition(":")[0] for name in protocols} == {
        "random windows", "pure windows of held-out fires", "maps of held-out fires",
    }, "folds know no held-out year"  # fmt: skip
