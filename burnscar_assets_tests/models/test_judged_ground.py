"""No pixel of the frame of a judged fire is in training, whatever split the ground below a window is of."""

import shutil
import tempfile
from pathlib import Path

import geopandas as gpd
import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.classes import Fold, Split
from burnscar_assets.errors import MissingDataError
from burnscar_assets.mapping.fires import judged_fires
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.scene_frames import frames_of_fires
from burnscar_assets.models.judged_ground import judged_frames
from burnscar_assets.models.plan import choose_windows, plan_training, seen_windows
from burnscar_assets.settings import Settings, SplitSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, FOLDS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path, write_table
from burnscar_assets_tests.models.training_kit import tiny_settings
from burnscar_assets_tests.tiny_dataset import make_tiny_dataset

YEARS = (2019, 2020)
pytestmark = pytest.mark.filterwarnings("ignore:.*RANDOM WEIGHTS")


@pytest.fixture(scope="module")
def judged_world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Two fire years of 40 windows each, all with tiles."""
    root = DataRoot(tmp_path_factory.mktemp("judged") / "data")
    make_tiny_dataset(root, years=YEARS, windows_per_year=40, seed=1, packed=True)
    return root


def settings_of(seed: int) -> Settings:
    """Settings by which some fires of the tiny world are judged, among those that it trains on."""
    settings = tiny_settings()
    splits = SplitSettings(block_km=3, margin_m=75, train=0.7, val=0.15, seed=seed)
    changed = {
        "sampling": settings.sampling.model_copy(update={"splits": splits, "ring_gap_m": 0, "ring_width_m": 10.0}),
        "fire_scenes": settings.fire_scenes.model_copy(update={"margin_m": (200.0, 400.0)}),
    }
    return settings.model_copy(update=changed)


def frames_of(settings: Settings, root: DataRoot) -> list[tuple[Split, Frame]]:
    """The frames of every judged fire's scene, which its map has too."""
    fires = (judged_fires(settings, root, year, [Split.VAL, Split.TEST]) for year in YEARS)
    return [(one.split, one.frame) for some in fires for one in frames_of_fires(some, settings, root)]


def shares_a_pixel(window: pd.Series, frame: Frame) -> bool:
    size, box = window["size_px"], frame.box
    pixels = Box(window["min_col"], window["min_row"], window["min_col"] + size, window["min_row"] + size)
    assert frame.epsg == window["utm_epsg"]
    columns = min(pixels.right, box.right) - max(pixels.left, box.left)
    return columns > 0 and min(pixels.bottom, box.bottom) - max(pixels.top, box.top) > 0


@pytest.mark.parametrize("seed", [34, 41, 65])
def test_no_pixel_of_a_judged_fires_frame_is_trained_on(seed: int, judged_world: DataRoot) -> None:
    settings = settings_of(seed)
    chosen = choose_windows(settings, judged_world, YEARS)
    frames = frames_of(settings, judged_world)
    assert len(chosen.judged) and {split for split, _ in frames} == {Split.VAL, Split.TEST}
    kept = seen_windows(chosen.windows)
    for _, window in kept.iterrows():
        judges = [frame for split, frame in frames if split == Split.TEST or window["split"] == Split.TRAIN]
        assert not any(shares_a_pixel(window, frame) for frame in judges), window["window_id"]
    assert set(chosen.judged["split"]) <= {Split.TRAIN, Split.VAL}, "what is tested stays"
    near = pd.concat([chosen.windows, chosen.judged])
    assert len(near) == len(choose_windows(tiny_settings(), judged_world, YEARS).windows), "nothing else is left out"
    for _, window in chosen.judged.iterrows():
        assert any(shares_a_pixel(window, frame) for _, frame in frames), "no more than need be"


def test_the_plan_of_a_training_run_leaves_them_out_and_counts_them(judged_world: DataRoot) -> None:
    settings = settings_of(41)
    spec, chosen = plan_training(settings, judged_world, 2020), choose_windows(settings, judged_world, YEARS)
    judged = {name for names in spec.judged_windows.values() for name in names}
    assert judged == set(chosen.judged["window_id"])
    assert not judged & {name for names in spec.names.values() for name in names}
    assert not plan_training(tiny_settings(), judged_world, 2020).judged_windows


def test_a_year_without_windows_judges_a_fold_too(judged_world: DataRoot, tmp_path: Path) -> None:
    shutil.copytree(judged_world.path, tmp_path / "data")
    root, settings = DataRoot(tmp_path / "data"), tiny_settings()
    windows, fires = (read_table(root, table, 2020) for table in (WINDOWS, FIRE_PERIMETERS))
    scene = fires[fires["fire_id"] == "train_2020_0"].assign(fire_id="judged", fire_year=2019)
    write_table(root, FIRE_PERIMETERS, scene, 2019)
    for table in (WINDOWS, TILES):
        table_path(root, table, 2019).unlink()
    fold_of = {"train": "fold_0", "val": "fold_1", "test": "fold_2"}
    write_table(root, WINDOWS, windows.assign(split=windows["split"].map(fold_of)), 2020)
    every = pd.concat([fires, scene], ignore_index=True)
    folds = every["fire_id"].str.partition("_")[0].map(fold_of).fillna("fold_1")
    dealt = every[["fire_id", "fire_year", "geometry"]].assign(group_id=every["fire_id"], fold=folds)
    write_table(root, FOLDS, dealt, None)
    splits = settings.sampling.splits.model_copy(update={"folds": 3})
    settings = settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"splits": splits})})
    chosen = choose_windows(settings, root, [2020], fold=Fold(1, 3))
    frame = next(one.frame for one in frames_of_fires(judged_fires(settings, root, 2019, ["fold_1"]), settings, root))
    kept = seen_windows(chosen.windows)
    assert not any(shares_a_pixel(window, frame) for _, window in kept.iterrows())
    assert any(shares_a_pixel(window, frame) for _, window in chosen.judged.iterrows())


def in_folds(root: DataRoot, settings: Settings, folds: int, deal: int) -> Settings:
    """Deal the fires of both years into folds, each with its windows; returns the settings of that world."""
    fires = pd.concat([read_table(root, FIRE_PERIMETERS, year) for year in YEARS], ignore_index=True)
    drawn = np.random.default_rng(deal).integers(folds, size=len(fires))
    of_fire = dict(zip(fires["fire_id"], (f"fold_{number}" for number in drawn), strict=True))
    rows = fires[["fire_id", "fire_year", "geometry"]]
    write_table(root, FOLDS, rows.assign(group_id=rows["fire_id"], fold=rows["fire_id"].map(of_fire)), None)
    for year in YEARS:
        windows = read_table(root, WINDOWS, year)
        write_table(root, WINDOWS, windows.assign(split=windows["fire_id"].map(of_fire).fillna("fold_0")), year)
    splits = settings.sampling.splits.model_copy(update={"folds": folds})
    return settings.model_copy(update={"sampling": settings.sampling.model_copy(update={"splits": splits})})


@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
@given(
    folds=st.integers(3, 5),
    seed=st.integers(0, 99),
    seen_years=st.sampled_from([(2019,), (2020,), YEARS]),
    dealt_in_folds=st.booleans(),
)
def test_no_checkpoint_of_any_world_sees_a_pixel_of_a_frame_that_judges_it(
    folds: int, seed: int, seen_years: tuple[int, ...], dealt_in_folds: bool, judged_world: DataRoot
) -> None:
    settings = settings_of(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = DataRoot(shutil.copytree(judged_world.path, Path(folder) / "data"))
        if dealt_in_folds:
            settings = in_folds(root, settings, folds, seed)
        for fold in settings.sampling.splits.members or (None,):
            chosen = choose_windows(settings, root, seen_years, fold=fold)
            role_of = {} if fold is None else fold.roles
            frames = [
                (role_of.get(planned.split, planned.split), planned.frame)
                for year in (YEARS if dealt_in_folds else seen_years)
                for planned in frames_of_fires(
                    judged_fires(settings, root, year, settings.sampling.splits.judged), settings, root
                )
            ]
            for _, window in seen_windows(chosen.windows).iterrows():
                judges = {Split.TEST, Split.VAL} if window["split"] == Split.TRAIN else {Split.TEST}
                seen = [frame for role, frame in frames if role in judges and shares_a_pixel(window, frame)]
                assert not seen, f"{window['window_id']} of {fold or seen_years}"


def test_frames_are_those_of_judged_fires_alone(judged_world: DataRoot) -> None:
    settings = settings_of(41)
    frames = judged_frames(settings, judged_world, YEARS)
    assert len(frames) == len(frames_of(settings, judged_world)) and set(frames["split"]) == {"val", "test"}
    assert judged_frames(tiny_settings(), judged_world, YEARS).empty
    fires = pd.concat([read_table(judged_world, FIRE_PERIMETERS, year) for year in YEARS]).set_index("fire_id")
    inside = gpd.GeoSeries(fires.loc[frames["fire_id"]].geometry.to_numpy(), crs=frames.crs)
    assert np.asarray(inside.within(frames.geometry.buffer(1))).all()


def test_a_year_without_perimeters_is_an_error(judged_world: DataRoot, tmp_path: Path) -> None:
    shutil.copytree(judged_world.path, tmp_path / "data")
    root = DataRoot(tmp_path / "data")
    table_path(root, FIRE_PERIMETERS, 2019).unlink()
    with pytest.raises(MissingDataError, match="fire_perimeters"):
        choose_windows(tiny_settings(), root, YEARS)
