"""Set-ups without a network, trained and judged on a small dataset by the evaluator that judges networks."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from burnscar_assets.cost import read_cost
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import CheckpointError, InputError
from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.models.baselines import pixel_examples
from burnscar_assets.models.baselines.features import feature_names, window_features
from burnscar_assets.models.baselines.model import TREES_FILE
from burnscar_assets.models.baselines.plots import plot_baseline
from burnscar_assets.models.baselines.threshold import burn_index, fit_threshold
from burnscar_assets.models.baselines.trainer import TrainedBaseline, train_baseline
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.model import load_model
from burnscar_assets.sensors.indices import nbr
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.setups import Setup, ThresholdParameters
from burnscar_assets.storage.contracts import PREDICTIONS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.evaluation.tiny_world import SETTINGS, spec_of
from burnscar_assets_tests.tiny_dataset import LAYER, make_tiny_dataset, tiny_image

SENTINEL2 = default_sensor()
FEATURES = feature_names(SENTINEL2)
THRESHOLD = Setup(name="nbr", title="NBR", kind="threshold")
TREES = Setup(name="trees", title="Trees", kind="trees", trees={"rounds": 40, "min_windows_in_leaf": 3})  # type: ignore[arg-type]
PIXEL_TREES = Setup(name="pixels", title="Pixels", kind="trees", trees={"per": "pixel", "rounds": 10})  # type: ignore[arg-type]
BEFORE = "sentinel2_l2a_pre"
BOTH = pytest.mark.parametrize("setup", [THRESHOLD, TREES], ids=["threshold", "trees"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Two fire years of windows and perimeters."""
    root = DataRoot(tmp_path_factory.mktemp("baselines") / "data")
    make_tiny_dataset(root, years=(2019, 2020), windows_per_year=50, seed=3)
    return root


def train(world: DataRoot, setup: Setup, year: int = 2020, seed: int = 0, place: str = "") -> TrainedBaseline:
    settings = setup.applied_to(SETTINGS, seed)
    return train_baseline(setup, settings, world.setup(place or setup.name), year, {})


def images(count: int) -> np.ndarray:
    return np.stack([tiny_image("burnt" if n % 2 else "unburnt", np.random.default_rng(n)) for n in range(count)])


@BOTH
def test_it_is_trained_judged_and_asked_as_a_network_is(world: DataRoot, setup: Setup) -> None:
    for year in (2019, 2020):
        trained = train(world, setup, year)
    root = world.setup(setup.name)
    manifest = verify_checkpoint(root.checkpoint(2020))
    assert manifest == trained.manifest and manifest.kind == setup.kind and manifest.encoder is None
    assert manifest.fire_years == (2019, 2020) and manifest.parameters > 0
    evaluate(spec_of(world, part=root.part, fire_year=2019, year_before=None))
    report = evaluate(spec_of(world, part=root.part))
    assert report.summary.f1_burnt is not None and report.summary.f1_burnt > 0.75
    assert report.season.judgement is not None and report.held_out.separation.nearest_m > 0
    assert set(read_table(root, PREDICTIONS, 2020)["split"]) == {"test"}
    assert (root.evaluation(2020) / "MODEL_CARD.md").read_text().startswith("# Model card")
    assert not world.evaluation(2020).exists(), "results of a set-up lie in its own place"
    cost = read_cost(root.evaluation(2020))
    assert cost.train_seconds and cost.predict_windows_per_s and cost.parameters == manifest.parameters
    assert plot_baseline(trained, title="t", simulated=True).axes


@BOTH
def test_cloudy_windows_are_not_trained_on(world: DataRoot, setup: Setup, tmp_path: Path) -> None:
    root = DataRoot(shutil.copytree(world.path, tmp_path / "own"))
    before = train(root, setup).manifest
    windows, tiles = read_table(root, WINDOWS, 2020), read_table(root, TILES, 2020)
    cloudy = windows.loc[windows["split"] == "train", "window_id"].iloc[:6]
    tiles["clear_fraction"] = np.where(tiles["window_id"].isin(cloudy), 0.4, 0.95)
    write_table(root, TILES, tiles, 2020)
    manifest = train(root, setup).manifest
    assert manifest.cloudy_windows == {"train": 6} and manifest.min_clear_fraction == 0.9
    seen, seen_before = (sum(found.windows["train"][2020].values()) for found in (manifest, before))
    assert seen == seen_before - 6
    assert manifest.seen_hash != before.seen_hash
    write_table(root, TILES, read_table(root, TILES, 2019).assign(clear_fraction=0.4), 2019)
    assert train(root, setup).manifest.fire_years == (2019, 2020), "judged frames of the year count all the same"


@BOTH
def test_the_same_windows_give_the_same_model(world: DataRoot, setup: Setup) -> None:
    one, again = (train(world, setup, place=f"{setup.name}-{n}").manifest for n in range(2))
    assert one.weights_sha256 == again.weights_sha256 and one.run_hash == again.run_hash
    other = train(world, setup, seed=1, place=f"{setup.name}-2").manifest
    assert (other.weights_sha256 == one.weights_sha256) == (setup.kind == "threshold"), (
        "a threshold has no chance in it"
    )


@BOTH
def test_probabilities_of_any_window(world: DataRoot, setup: Setup) -> None:
    train(world, setup)
    model = load_model(world.setup(setup.name).checkpoint(2020))
    given = images(40)
    given[0] = 0
    given[1, :, :16] = 0
    when = [datetime(2020, 9, 1, tzinfo=UTC)] * 40
    found = model.predict_windows({LAYER: given}, {LAYER: when})
    assert found.shape == (40,) and np.isnan(found[0]) and ((found[1:] >= 0) & (found[1:] <= 1)).all()
    assert found[3::2].mean() > found[2::2].mean() + 0.2
    assert np.array_equal(model.predict_windows({LAYER: given[5:9]}, {LAYER: when[:4]}), found[5:9])
    assert model.per_pixel == (setup.kind == "threshold")
    assert model.predict_windows({LAYER: given[:0]}, {LAYER: []}).shape == (0,)
    with pytest.raises(ValueError, match="12"):
        model.predict_windows({LAYER: given[:, :3]}, {LAYER: when})


@pytest.mark.parametrize("setup", [THRESHOLD, TREES, PIXEL_TREES], ids=["threshold", "trees", "trees per pixel"])
def test_pixels_that_are_not_clear_teach_nothing(setup: Setup, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_dataset(root, years=(2020,), windows_per_year=40, seed=3)
    read, tiles = pixel_examples.read_tiles, read_table(root, TILES, 2020)

    def weights(number: int, unclear: str) -> str:
        """Of a checkpoint of images whose upper half has one number."""

        def clouded(dataset: Path, rows: pd.DataFrame, layer: str, bands: tuple[str, ...]) -> Iterator[np.ndarray]:
            for tile in read(dataset, rows, layer, bands):
                image = np.array(tile)
                image[:, :16] = number if layer == LAYER else image[:, :16]
                yield image

        monkeypatch.setattr(pixel_examples, "read_tiles", clouded)
        write_table(root, TILES, tiles.assign(unclear=unclear), 2020)
        return train(root, setup).manifest.weights_sha256

    assert weights(9000, "0+512") == weights(0, "") != weights(9000, "")


def test_a_changed_file_is_not_loaded(world: DataRoot) -> None:
    train(world, TREES, place="broken")
    folder = world.setup("broken").checkpoint(2020)
    (folder / TREES_FILE).write_text((folder / TREES_FILE).read_text().replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(CheckpointError, match="hash"):
        load_model(folder)


def test_the_probability_of_a_threshold_falls_with_the_index() -> None:
    index = np.array([-0.3, -0.1, 0.05, 0.2, 0.4, np.nan])
    model = fit_threshold(index, np.array([True, True, True, False, False, False]))
    shades = np.zeros((5, 12, 2, 2), dtype=np.uint16)
    shades[:, 3], shades[:, 9] = 1000, np.array([2000, 1500, 900, 600, 400])[:, None, None]
    found = model.predict(SENTINEL2, shades)
    assert (np.diff(found) < 0).all() and found[0] > 0.5 > found[-1]
    with pytest.raises(InputError):
        fit_threshold(index, np.ones(6, dtype=bool))


def add_image_before(root: DataRoot, year: int) -> None:
    """An unburnt image of the year before for all windows of a year but the first."""
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_array import RasterArray
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from upath import UPath

    tiles = read_table(root, TILES, year)
    windows = sorted(Dataset(UPath(root.dataset)).load_windows(groups=[str(year)]), key=lambda window: window.name)
    for number, window in enumerate(windows[1:]):
        moment = window.time_range[0] - timedelta(days=365)
        image = tiny_image("unburnt", np.random.default_rng([year, number]))
        with window.data.open_layer_writer(BEFORE) as writer:
            raster = RasterArray(chw_array=image, time_range=(moment, moment))
            writer.write_raster(list(BANDS), GeotiffRasterFormat(), window.projection, window.bounds, raster)
        window.mark_layer_completed(BEFORE)
    before = tiles.assign(layer=BEFORE, complete=tiles["window_id"] != windows[0].name)
    write_table(root, TILES, pd.concat([tiles, before], ignore_index=True), year)


def test_a_change_is_judged_where_the_image_before_is_there(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "data")
    make_tiny_dataset(root, years=(2020,), windows_per_year=40, seed=3)
    config = json.loads((root.dataset / "config.json").read_text())
    config["layers"][BEFORE] = {"type": "raster", "band_sets": [{"dtype": "uint16", "bands": list(BANDS)}]}
    (root.dataset / "config.json").write_text(json.dumps(config))
    add_image_before(root, 2020)
    for index in ("dnbr", "rbr"):
        parameters = ThresholdParameters(index=index, before_layer=BEFORE)  # type: ignore[arg-type]
        setup = Setup(name=index, title=index, kind="threshold", threshold=parameters)
        manifest = train(root, setup).manifest
        assert manifest.every_layer == ("sentinel2_l2a", BEFORE)
        report = evaluate(spec_of(root, part=root.setup(index).part))
        assert report.summary.f1_burnt is not None and report.summary.f1_burnt > 0.75
        with pytest.raises(ValueError, match=BEFORE):
            load_model(root.setup(index).checkpoint(2020)).predict_windows(
                {LAYER: images(2)}, {LAYER: [datetime(2020, 9, 1)] * 2}
            )
    after, before = images(4), np.stack([tiny_image("unburnt", np.random.default_rng(9))[[3, 9]]] * 4)
    change = burn_index("nbr", SENTINEL2, after) - [nbr(b[0], b[1]).mean() for b in before]
    assert burn_index("dnbr", SENTINEL2, after, before) == pytest.approx(change, abs=1e-3)


def test_features_leave_out_pixels_without_data() -> None:
    whole = images(3)
    holed = whole.copy()
    holed[0, 3, 0, 0] = 0
    assert window_features(whole, SENTINEL2).shape == (3, len(FEATURES))
    pixels = whole[0].reshape(12, -1)[:, 1:].astype(float)
    assert window_features(holed, SENTINEL2)[0, FEATURES.index("B02_mean")] == pytest.approx(pixels[0].mean())
    nbr = (pixels[3] - pixels[9]) / (pixels[3] + pixels[9])
    assert window_features(holed, SENTINEL2)[0, FEATURES.index("nbr_q90")] == pytest.approx(np.quantile(nbr, 0.9))
    assert np.isnan(window_features(np.zeros_like(whole[:1]), SENTINEL2)).all()


@pytest.mark.slow
def test_neither_training_nor_judging_imports_torch() -> None:
    program = (
        "import sys, lightgbm; from burnscar_assets.models.baselines import model, trainer;"
        "import burnscar_assets.evaluation.evaluator, burnscar_assets.models.model; print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
