"""Names that a formula or a format would break are drawn as they are, in every picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from burnscar_assets.comparison.plots import plot_comparison
from burnscar_assets.dataset.tile_plots import plot_matches
from burnscar_assets.dataset.window_plots import plot_windows
from burnscar_assets.evaluation.plots import plot_evaluation
from burnscar_assets.evaluation.report import evaluate_predictions
from burnscar_assets.labels.plots import plot_history, plot_perimeters, plot_release, plot_season
from burnscar_assets.models.baselines.plots import plot_threshold, plot_trees
from burnscar_assets.models.plots import plot_learning_curves
from burnscar_assets.publish.images import Bands, read_images
from burnscar_assets.publish.index_map import map_images
from burnscar_assets.publish.plots import plot_index_map, plot_maps
from burnscar_assets.sampling.plots import plot_points
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    IN_SEASON_RECORDS,
    RELEASE_RECORDS,
    SCENE_MATCHES,
)
from burnscar_assets_tests.dataset.window_tables import FIRES, windows_of
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions
from burnscar_assets_tests.publish.image_files import bands, disc, write_image
from burnscar_assets_tests.sampling.fire_worlds import perimeters_of, sample

NAMES = ["$\\frac{$", "$$", "$x$ and $y$", "\\alpha_{", "100 % {}", "\\$5$"]
_LOSSES = [{"epoch": 0, "train_loss": 1.0, "val_loss": 1.0}, {"epoch": 1, "train_loss": 0.5, "val_loss": 0.6}]


def _comparison(name: str) -> Figure:
    quality = {"scope": "quality", "metric": "f1_burnt", "value": 0.8, "low": 0.7, "high": 0.9, "seed_low": 0.7}
    quality |= {"seed_high": 0.9, "verdict": "better", "difference": 0.1, "difference_low": 0.0, "difference_high": 0.2}
    cost = {"scope": "cost", "metric": "train_seconds", "value": 9.0}
    table = pd.DataFrame([{"setup": "a", "title": name} | row for row in (quality, cost)])
    return plot_comparison(table, title=name, simulated=True)


def _evaluation(name: str) -> Figure:
    predictions = make_predictions(fires=2)
    predictions["fire_id"] = predictions["fire_id"].replace("fire0", name)
    metrics = evaluate_predictions(predictions, EvaluationSettings(bootstrap_samples=100), 2021)
    return plot_evaluation(predictions, metrics, title=name, simulated=True)


def _maps(name: str) -> Figure:
    areas = {"mapped_ha": 9.0, "low_ha": 8.0, "high_ha": 10.0, "iou": 0.9}
    return plot_maps(pd.DataFrame([{"fire_name": name, "complete": True} | areas]), title=name, simulated=False)


def _windows(name: str) -> Figure:
    perimeters = perimeters_of(FIRES).assign(fire_name=name)
    return plot_windows(windows_of(), perimeters, title=name, simulated=True)


def _windows_without_names(name: str) -> Figure:
    windows = windows_of().assign(fire_id=name)
    return plot_windows(windows, FIRE_PERIMETERS.empty(), title=name, simulated=False)


def _points(name: str) -> Figure:
    sampled = sample(FIRES)
    return plot_points(sampled.points, perimeters_of(FIRES), title=name, simulated=True, losses=sampled.losses)


def _threshold(name: str) -> Figure:
    index = pd.DataFrame({"value": np.linspace(-1, 1, 9), "category": "burnt"})
    return plot_threshold(index, 0.1, title=name, simulated=True)


PICTURES: dict[str, Callable[[str], Figure]] = {
    "comparison": _comparison,
    "evaluation": _evaluation,
    "maps": _maps,
    "windows": _windows,
    "windows of fires without a name": _windows_without_names,
    "points": _points,
    "threshold": _threshold,
    "trees": lambda name: plot_trees(_LOSSES, 1, {name: 1.0}, title=name, simulated=False),
    "learning curves": lambda name: plot_learning_curves(_LOSSES, title=name, simulated=True),
    "matches": lambda name: plot_matches(SCENE_MATCHES.empty(), title=name, simulated=True),
    "release": lambda name: plot_release(RELEASE_RECORDS.empty(), title=name, simulated=True),
    "season": lambda name: plot_season(IN_SEASON_RECORDS.empty(), title=name),
    "perimeters": lambda name: plot_perimeters(FIRE_PERIMETERS.empty(), FIRE_PERIMETER_REJECTS.empty(), title=name),
    "history": lambda name: plot_history(BURN_HISTORY.empty(), title=name, simulated=False),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("picture", PICTURES)
def test_names_are_drawn_as_they_are(picture: str, name: str) -> None:
    assert_drawn(PICTURES[picture](name), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_by_an_index_is_named_as_it_is(tmp_path: Path, name: str) -> None:
    images = read_images(write_image(tmp_path / "after.tif", bands(disc(), 1, offset=1000)), bands=Bands(offset=1000))
    assert_drawn(plot_index_map(map_images(images), name), name)


def assert_drawn(figure: Figure, name: str) -> None:
    """See that a name is somewhere on a figure that can be drawn, and no formula but on axes of powers."""
    FigureCanvasAgg(figure).draw()
    powers = {id(text) for axes in figure.axes if axes.get_xscale() == "log" for text in _labels(axes.xaxis)}
    shown = [text._preprocess_math(text.get_text()) for text in figure.findobj(Text) if id(text) not in powers]
    assert not [said for said, formula in shown if formula]
    assert any(name[:8] in said for said, _ in shown)


def _labels(axis: object) -> list[Text]:
    ticks: list[Tick] = axis.majorTicks + axis.minorTicks  # type: ignore[attr-defined]
    return [label for tick in ticks for label in (tick.label1, tick.label2)]
