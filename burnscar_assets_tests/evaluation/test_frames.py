"""Rules of maps by a real checkpoint on whole frames: fixed on validation fires alone, kept with the champion, told."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from burnscar_assets.classes import Split
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.champion_record import serving
from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.evaluation.frame_pixels import BURNT, FramePixels
from burnscar_assets.evaluation.frames import count_frames, fix_rules_of_maps, old_scars, predict_frame
from burnscar_assets.evaluation.held_out_maps import NO_IMAGE_BEFORE, evaluate_held_out, lacks_before
from burnscar_assets.evaluation.map_scores import ScoredGround, blocks_of, ground_of
from burnscar_assets.evaluation.rules import FRAMES, WINDOWS, MapRules
from burnscar_assets.evaluation.spec import EvaluationSpec, load_report
from burnscar_assets.mapping.fire_scenes import FireScene, read_fire_scenes
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.inference import Lattice, predict_block
from burnscar_assets.mapping.scene_frames import frames_of_fires
from burnscar_assets.mapping.scene_making import make_fire_scenes
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import seen_windows, windows_of
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.progress import silent
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS, FIRE_SCENES, MAP_SCORES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, table_path, write_table
from burnscar_assets_tests.evaluation.test_land_cover import cover
from burnscar_assets_tests.evaluation.tiny_world import spec_of
from burnscar_assets_tests.mapping.test_fire_scenes import burns_of, fires_of, settings_of
from burnscar_assets_tests.publish.map_kit import SmallScene, degrees
from burnscar_assets_tests.tiny_dataset import LAYER, SIZE_PX

YEAR = 2020
VAL, TEST = degrees(250, -900, 800, -300), degrees(900, -1500, 1500, -900)


def add_scenes(root: DataRoot, *fires: tuple[str, Split], year: int = YEAR, before: str = "") -> None:
    """Frames of fires over a small archive, put into a world that was trained; `before`: the same ground earlier."""
    here = DataRoot(root.path.parent / f"archive-{year}")
    scenes = [SmallScene("after", time=f"{year}-08-10T18:50:00Z")]
    if before:
        scenes.append(SmallScene("before", time=before))
    settings = settings_of(here, *scenes)
    splits = settings.sampling.splits.model_copy(update={"block_km": 0.2, "train": 1e-9, "val": 0.5})
    parts = {
        "windows": settings.windows.model_copy(update={"size_px": SIZE_PX}),
        "sampling": settings.sampling.model_copy(update={"splits": splits}),
    }
    settings = settings.model_copy(update=parts)
    days = {"alarm_date": datetime(year, 7, 28, tzinfo=UTC), "containment_date": datetime(year, 8, 1, tzinfo=UTC)}
    table = fires_of(*(VAL if split == Split.VAL else TEST for _, split in fires), fire_year=year, **days)
    names = [name for name, _ in fires]
    of_fires = {"fire_id": names, "cluster_id": names, "split": [split.value for _, split in fires]}
    rows, _ = make_fire_scenes(
        frames_of_fires(table.assign(**of_fires), settings, here), burns_of(), year, settings, here
    )
    shutil.copytree(here.fire_scenes, root.fire_scenes, dirs_exist_ok=True)
    write_table(root, FIRE_SCENES, rows, year)


def of_maps(root: DataRoot, spec: EvaluationSpec | None = None) -> MapRules:
    """The rules of maps of the checkpoint of 2020."""
    folder, report = root.checkpoint(YEAR), load_report(root, YEAR)
    manifest = verify_checkpoint(folder)
    seen = seen_windows(windows_of(root, manifest, LAYER))
    return fix_rules_of_maps(spec or spec_of(root), folder, manifest, report.held_out.rules, seen, silent)


def test_rules_of_maps_are_fixed_on_validation_frames_kept_and_told(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL), ("t", Split.TEST))
    report = evaluate(spec_of(world))
    rules = report.held_out.rules.maps
    assert rules is not None and rules.fixed_on == FRAMES and rules.note == ""
    assert [(error.fire_id, error.cluster_id) for error in rules.errors] == [("v", "v")]
    assert load_report(world, YEAR) == report and serving(world, YEAR).rules.maps == rules
    assert report.maps is not None and report.maps.fires == 1, "the test fire's frame"
    assert report.season.judgement is not None
    assert report.season.judgement.rules == serving(world, YEAR - 1).rules, "the season has the rules that served"
    text = (world.evaluation(YEAR) / "MODEL_CARD.md").read_text()
    assert f"called burnt above {rules.threshold:.3f} (fixed on validation frames of 1 fires" in text
    assert "Reliability on the frames of 1 held-out fires" in text and "of validation windows" not in text
    card = json.loads((world.evaluation(YEAR) / "model_card.json").read_text())
    assert card["held_out"]["rules"]["maps"]["errors"][0]["fire_id"] == "v"
    assert card["maps"]["after"][0]["share"] > 0


def test_validation_fires_that_a_person_took_out_fix_no_rule(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL), ("t", Split.TEST))
    evaluate(spec_of(world))
    assert of_maps(world).fixed_on == FRAMES
    assert of_maps(world, spec_of(world, fires_out=("v",))).note == "no validation fire has an image"


def test_held_out_frames_are_scored_beside_baselines_on_the_same_pixels(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL), ("t", Split.TEST))
    report = evaluate(spec_of(world))
    scores = read_table(world, MAP_SCORES, YEAR)
    assert report.map_scores_hash == MAP_SCORES.content_hash(scores)
    season = scores["predictor"] == "season"
    assert set(scores.loc[season, "frame_id"]) == {"t", "v"}, "the season is of all fires with frames"
    metrics = read_table(world, EVALUATION_METRICS, YEAR)
    assert set(metrics.loc[metrics["scope"] == "season_maps", "fires"]) == {int(scores.loc[season, "judged"].sum())}
    scores = scores[~season]
    without_change = {"model", "all_burnt", "ellipse", "nbr", "nbr_otsu"}
    assert set(scores["predictor"]) == without_change and set(scores["frame_id"]) == {"t"}
    assert scores["judged"].all() and scores["judged_ha"].nunique() == 1 and not scores["with_before"].any()
    rules = report.held_out.rules.for_maps
    model = scores[scores["predictor"] == "model"].iloc[0]
    assert model["threshold"] == rules.threshold and model["seed"] == verify_checkpoint(world.checkpoint(YEAR)).seed
    full = scores[scores["predictor"] == "all_burnt"].iloc[0]
    assert full["iou"] == pytest.approx(full["burnt_ha"] / full["judged_ha"]) and full["omission"] == 0


def test_maps_are_scored_by_a_raster_of_land_cover_and_the_card_says_if_there_is_none(
    world: DataRoot, tmp_path: Path
) -> None:
    add_scenes(world, ("v", Split.VAL), ("t", Split.TEST))
    evaluate(spec_of(world))
    card = world.evaluation(YEAR) / "MODEL_CARD.md"
    assert "no land cover is set (`evaluation.land_cover`)" in card.read_text()
    (scene,) = read_fire_scenes(world, YEAR, [Split.TEST])
    codes = np.full(scene.frame.shape, 30, np.uint8)
    cover(tmp_path / "cover.tif", codes, f"EPSG:{scene.frame.epsg}", scene.frame.transform)
    evaluate(spec_of(world, land_cover=tmp_path / "cover.tif"))
    scores = read_table(world, MAP_SCORES, YEAR)
    of_test = scores[(scores["frame_id"] == "t") & (scores["predictor"] != "season")]
    assert [list(names) for names in of_test["cover"]] == [["grass"]] * len(of_test)
    assert [ha for (ha,) in of_test["cover_mapped_ha"]] == pytest.approx(of_test["mapped_ha"].tolist())
    text = card.read_text()
    assert "0% of the ground that counts has no known class" in text and "| grass | 1 |" in text
    with pytest.raises(InputError, match=r"gone\.tif can't be read"):
        evaluate(spec_of(world, land_cover=tmp_path / "gone.tif"))


def test_old_scars_are_no_burn_of_a_judged_map_and_are_counted(
    world: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_scenes(world, ("t", Split.TEST), before=f"{YEAR}-07-10T18:50:00Z")
    (scene,) = read_fire_scenes(world, YEAR, [Split.TEST])
    spec, folder = spec_of(world), world.checkpoint(YEAR)
    manifest = verify_checkpoint(folder)
    everything = MapRules(1.0, 0.0, -0.5, FRAMES)
    nothing_seen = gpd.GeoDataFrame({"split": []}, geometry=[], crs=table_crs())

    def judged(rules: MapRules) -> pd.Series:
        scores = evaluate_held_out(spec, folder, manifest, rules, nothing_seen, silent).scores
        return scores[scores["predictor"] == "model"].iloc[0]

    read, before = list[Box | None](), FireScene.before
    monkeypatch.setattr(FireScene, "before", lambda self, box=None: read.append(box) or before(self, box))
    plain = judged(everything)
    assert len(read) == len(set(read)) > 0, "scars, severity and burn indices come of one reading"
    ruled = judged(replace(everything, scar_bound=0.0))
    assert ruled["judged"] and ruled["with_before"] and np.isnan(plain["old_scars_ha"])
    scars = old_scars(spec, scene, replace(everything, scar_bound=0.0))
    assert scars is not None and scars.any() and old_scars(spec, scene, everything) is None
    answered = predict_frame(spec, load_model(folder), scene) >= 0
    assert ruled["old_scars_ha"] == pytest.approx((scars & answered & (scene.truth() != 255)).sum() / 100)
    assert ruled["mapped_ha"] == pytest.approx(plain["mapped_ha"] - ruled["old_scars_ha"])
    assert ruled["judged_ha"] == plain["judged_ha"], "a rule of maps changes nothing of what is judged"


def test_a_map_of_ground_that_was_trained_on_is_not_judged(world: DataRoot) -> None:
    add_scenes(world, ("t", Split.TEST))
    (scene,) = read_fire_scenes(world, YEAR, [Split.TEST])
    folder, rules = world.checkpoint(YEAR), load_report(world, YEAR).held_out.rules.for_maps
    ground = project(scene.frame.footprint, "EPSG:4326", table_crs())
    seen = gpd.GeoDataFrame(geometry=[ground], crs=table_crs())
    scores = evaluate_held_out(spec_of(world), folder, verify_checkpoint(folder), rules, seen, silent).scores
    model = scores[scores["predictor"] == "model"].iloc[0]
    assert not model["judged"] and "trained on its ground" in model["reason"]
    assert scores.loc[scores["predictor"] != "model", "judged"].all()


def test_no_pixel_that_an_earlier_year_s_checkpoint_has_seen_is_judged_in_a_later_season(world: DataRoot) -> None:
    add_scenes(world, ("t", Split.TEST))
    (scene,) = read_fire_scenes(world, YEAR, [Split.TEST])
    frame, whole = scene.frame, ground_of(scene, EvaluationSettings())
    part = Box(frame.box.left + 10, frame.box.top, frame.box.left + 20, frame.box.top + 10)
    window = project(frame.metres(part), f"EPSG:{frame.epsg}", table_crs())
    seen = gpd.GeoDataFrame(geometry=[window.buffer(50)], crs=table_crs())
    ground = ground_of(scene, EvaluationSettings(), off=seen)
    assert whole.judged[:14, 10:20].any() and not ground.judged[:14, 10:20].any()
    np.testing.assert_array_equal(ground.judged[20:], whole.judged[20:])


def test_a_model_of_change_is_judged_only_where_enough_of_the_fire_is_seen_before_too() -> None:
    truth, clear = np.zeros((40, 40), np.uint8), np.ones((40, 40), bool)
    truth[10:30, 10:30] = BURNT
    before = np.zeros_like(clear)
    before[:, :18] = True
    scene = cast(FireScene, SimpleNamespace(layer=LAYER, moments_before=(datetime(2020, 7, 1, tzinfo=UTC),)))
    one, both = (
        cast(Predictor, SimpleNamespace(layers=dict.fromkeys(names))) for names in ([LAYER], [LAYER, f"{LAYER}_before"])
    )
    little, enough = (ScoredGround.of(truth, clear, seen, clear, 10, 0.5) for seen in (before, clear))
    assert not little.reason and lacks_before(both, scene, little) == NO_IMAGE_BEFORE
    assert lacks_before(both, scene, enough) == lacks_before(one, scene, little) == lacks_before(None, scene, little)


def test_held_out_frames_decide_nothing(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL), ("t", Split.TEST))
    expected = of_maps(world)
    rows = read_table(world, FIRE_SCENES, YEAR)
    write_table(world, FIRE_SCENES, rows[rows["split"] == Split.VAL], YEAR)
    shutil.rmtree(world.fire_scenes / "windows" / str(YEAR) / "t")
    assert of_maps(world) == expected


def test_pixels_are_answered_as_maps_answer_them_off_what_was_trained_on(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL))
    (scene,) = read_fire_scenes(world, YEAR, [Split.VAL])
    spec, folder = spec_of(world), world.checkpoint(YEAR)
    lattice, frame = Lattice(SIZE_PX, 16), scene.frame
    model = load_model(folder)
    seen = scene.images(model.layers, lattice.reach(frame.box))
    assert seen is not None
    answer = predict_block(model, seen, frame.box, lattice, min_clear_share=0.75, batch_size=64)
    trained_on = Box(frame.box.left, frame.box.top, frame.box.left + 40, frame.box.top + 30)
    ground = project(frame.metres(trained_on).buffer(-0.1), f"EPSG:{frame.epsg}", table_crs())
    left_out = gpd.GeoDataFrame(geometry=[ground], crs=table_crs())
    truth = scene.truth()
    truth[:30, :40] = 255
    expected = FramePixels.of("v", "v", answer, truth, 0.01)
    (found,) = count_frames(spec, folder, [scene], left_out, silent)
    np.testing.assert_array_equal(found.counts.sum(axis=1), expected.counts.sum(axis=1))
    assert np.abs(found.called_burnt() - expected.called_burnt()).max() <= 0.001 * expected.counts.sum()


def test_frames_of_years_before_join_where_the_year_has_few(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL))
    add_scenes(world, ("w", Split.VAL), year=2019)
    errors = of_maps(world).errors
    assert [error.fire_id for error in errors] == ["v", "w"]
    assert {error.cluster_id for error in errors} == {"v"}, "ground that burned in both years is one cluster"
    one = spec_of(world).model_copy(update={"settings": EvaluationSettings(validation_frames=1)})
    assert [error.fire_id for error in of_maps(world, one).errors] == ["v"]


def test_of_a_large_frame_some_blocks_are_drawn_by_its_name() -> None:
    frame = Frame(32610, 10, Box(0, 0, 2000, 1500))
    drawn = blocks_of(frame, "fire", 60)
    assert len(drawn) == 2 and drawn == blocks_of(frame, "fire", 60) != blocks_of(frame, "other", 60)
    assert sum(box.width * box.height for box in blocks_of(frame, "fire", 400)) == 2000 * 1500
    assert len(blocks_of(frame, "fire", 1)) == 1


@pytest.mark.parametrize(("splits", "why"), [((), "no validation fire has an image"), ((Split.TEST,), "no validation")])
def test_without_a_frame_the_rules_of_windows_stand_in_and_the_card_says_so(
    world: DataRoot, splits: tuple[Split, ...], why: str
) -> None:
    if splits:
        add_scenes(world, *(("t", split) for split in splits))
    report = evaluate(spec_of(world))
    rules = report.held_out.rules.for_maps
    assert rules.fixed_on == WINDOWS and why in rules.note
    assert (report.maps is not None and report.maps.fires) == len(splits)
    text = (world.evaluation(YEAR) / "MODEL_CARD.md").read_text()
    assert "Calibration and threshold of maps are those of validation windows" in text


def test_frames_of_another_layer_than_the_set_up_reads_fix_nothing(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL))
    table = read_table(world, FIRE_SCENES, YEAR)
    write_table(world, FIRE_SCENES, table.assign(layer="sentinel2_other"), YEAR)
    rules = of_maps(world)
    assert rules.fixed_on == WINDOWS and "sentinel2_other" in rules.note


def test_a_year_without_fire_scenes_names_the_command(world: DataRoot) -> None:
    table_path(world, FIRE_SCENES, YEAR).unlink()
    with pytest.raises(MissingDataError, match="burnscar refresh"):
        evaluate(spec_of(world))
