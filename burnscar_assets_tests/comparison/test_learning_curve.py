"""A learning curve is told by the fires that all of its points were judged on, with gains from point to point."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from burnscar_assets.comparison.learning_curve import curve_rows, curve_table, doubling, plot_curve
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.report import MODEL
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import MAP_SCORES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table
from burnscar_assets_tests.evaluation.map_score_tables import scores_of

SETTINGS = EvaluationSettings(bootstrap_samples=200)
FEW = [0.2, 0.3, 0.4, 0.5, 0.3, 0.4, 0.2, 0.5]


def point(root: DataRoot, size: int, *seeds: list[float]) -> Contestant:
    """A point whose seeds' maps have these IoU."""
    roots = tuple(root.curve("unet", size, seed) for seed in range(len(seeds)))
    for seed, (place, ious) in enumerate(zip(roots, seeds, strict=True)):
        write_table(place, MAP_SCORES, scores_of({MODEL: ious}, seed=seed), 2020)
    return Contestant(f"{size} fires", "U-Net", "fine_tuned", tuple(range(len(seeds))), roots)


def manifests(windows: int) -> list[Any]:
    return [SimpleNamespace(windows={"train": {2020: {"burnt": windows}}})]


def test_points_double_up_to_all_fires() -> None:
    assert doubling(16) == (2, 4, 8, 16)
    assert doubling(17) == (2, 4, 8, 16, 17)
    assert doubling(2) == (2,) and doubling(1) == (1,)


def test_points_are_of_the_same_fires_and_gains_are_paired(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    more = [iou + 0.1 + 0.01 * (number % 3) for number, iou in enumerate(FEW)]
    missing = [*more[:-1], np.nan]
    points = {2: point(root, 2, FEW, FEW), 4: point(root, 4, more, more), 8: point(root, 8, missing, more)}
    table = curve_table(points, {2: manifests(5), 4: manifests(9), 8: manifests(20)}, "unet", 2020, SETTINGS)
    assert table["fires"].tolist() == [7, 7, 7], "a fire that one checkpoint wasn't judged on is left out for all"
    assert table["iou"].tolist() == pytest.approx([np.mean(FEW[:-1]), np.mean(more[:-1]), np.mean(more[:-1])])
    assert np.isnan(table["gain"][0]) and table["gain"][1] == pytest.approx(np.mean(more[:-1]) - np.mean(FEW[:-1]))
    assert 0 < table["gain_low"][1] < table["gain"][1] < table["gain_high"][1], "paired, they hardly vary"
    assert table["gain"][2] == 0 and table["training_windows"].tolist() == [5, 9, 20]
    assert len(curve_rows(table)) == 3 and curve_rows(table)[0][-1] == ""
    figure = plot_curve(table, simulated=True)
    assert "simulated" in figure.axes[0].get_title()


def test_a_point_without_a_judged_map_is_named(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    points = {2: point(root, 2, [np.nan] * 8), 4: point(root, 4, FEW)}
    with pytest.raises(InputError, match="judged with 2 training fires of unet"):
        curve_table(points, {2: manifests(1), 4: manifests(1)}, "unet", 2020, SETTINGS)
