"""Maps over a small archive: what is in a folder, no trace of blocks, going on after a kill, and what has no map."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from burnscar_assets.cli.maps import told
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.rules import WINDOWS, MapRules
from burnscar_assets.mapping.frame import frame_around
from burnscar_assets.mapping.inference import Lattice, taper
from burnscar_assets.mapping.severity import classify, severity_ha
from burnscar_assets.mapping.spec import MapSpec, MapTask
from burnscar_assets.models.predictor import Images
from burnscar_assets.publish.folder import damaged_files, is_whole
from burnscar_assets.publish.making import MapOutcome, make_map
from burnscar_assets.publish.pages.records import ReadMap, read_maps
from burnscar_assets.publish.reference import Reference, SampledMap, estimate_area, read_reference
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog import small_archive
from burnscar_assets_tests.catalog.small_archive import LEFT, TOP, write_scene
from burnscar_assets_tests.publish import map_kit
from burnscar_assets_tests.publish.map_kit import (
    AS_ANSWERED,
    INSIDE,
    SIZE_PX,
    FormulaModel,
    SmallScene,
    degrees,
    ground_of,
    judge_of,
    make_archive,
    spec_of,
    task_of,
)

BEFORE = SmallScene("before", time="2022-07-01T18:50:00Z", surface=1)


def pixels(folder: Path, name: str) -> np.ndarray:
    with rasterio.open(folder / f"{name}.tif") as source:
        return source.read()[0] if source.count == 1 else source.read()


def make(root: DataRoot, spec: MapSpec, model: FormulaModel | None = None, **judge: object) -> MapOutcome:
    return make_map(spec.tasks[0], spec, judge_of(model or FormulaModel(), **judge))


def fire_spec(root: DataRoot, **changes: object) -> MapSpec:
    """A fire with an image before and one after it."""
    imagery = make_archive(root, SmallScene("one"), BEFORE)
    fire = {"fire_id": "f1", "fire_year": 2022, "title": "FIRE", "buffer_m": 100.0}
    days = {"before_start": "2022-06-15T00:00:00Z", "before_end": "2022-07-15T00:00:00Z"}
    task = task_of(root.path, degrees(500, -1100, 1200, -500))
    return spec_of(root, imagery, task.model_validate(task.model_dump() | fire | days), **changes)


def test_a_folder_holds_rasters_of_one_grid_outlines_and_a_record_that_pages_read(root: DataRoot) -> None:
    outcome = make(root, fire_spec(root))
    folder, record = outcome.task.folder, outcome.record
    assert record is not None and outcome.made
    grids = set()
    for path in folder.glob("*.tif"):
        with rasterio.open(path) as source:
            grids.add((source.crs.to_epsg(), source.transform, source.shape))
            assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and source.tags()["SIMULATED"] == "yes"
    assert len(grids) == 1
    assert {"dnbr.tif", "severity.tif", "before.tif", "burned_area.gpkg", "item.json"} <= set(record["files"])
    assert not damaged_files(folder, record) and json.loads((folder / "map.json").read_text()) == record
    assert [type(found) for found in read_maps(folder.parent)] == [ReadMap]
    assert record["simulated"] and record["clear_fraction"] == record["valid_fraction"] == 1
    assert record["scenes"] == [{"item": "one", "acquired": "2022-08-10T18:50:00+00:00", "baseline": "02.14"}]
    mapped_ha = (pixels(folder, "burned") == 1).sum() / 100
    area = record["area_ha"]
    assert area["mapped"] == pytest.approx(mapped_ha) and area["low"] < area["estimate"] < area["high"]
    assert area["corrected_by"] == "validation_fires" and area["shared"] == 1 / 8
    assert record["sample"] is None
    agreement = record["agreement"]
    assert agreement["official_ha"] == pytest.approx(42, rel=0.03) and agreement["mapped_ha"] == pytest.approx(
        mapped_ha
    )
    severe = sum(record["severity_ha"].values())
    assert severe == pytest.approx(42, rel=0.03)
    item = json.loads((folder / "item.json").read_text())
    assert set(item["assets"]) == {*record["files"], "map.json"} - {"item.json"}


def test_probabilities_of_maps_are_calibrated_and_told_beside_those_of_the_model(root: DataRoot) -> None:
    spec = fire_spec(root)
    first = make(root, spec)
    plain = pixels(first.task.folder, "probability")
    rules = MapRules(0.5, -1.0, 0.25, WINDOWS, "there is no validation frame")
    outcome = make(root, spec, rules=rules)
    folder, record = outcome.task.folder, outcome.record
    assert first.record is not None and outcome.made and record is not None
    found, burned = pixels(folder, "probability"), pixels(folder, "burned")
    expected = 1 / (1 + np.exp(1 - 0.5 * np.log(plain / (1 - plain))))
    assert np.allclose(found, expected, atol=1e-6) and np.array_equal(burned == 1, found > 0.25)
    assert record["threshold"] == 0.25 and record["calibration"]["slope"] == 0.5
    assert any("there is no validation frame" in note for note in record["notes"]) and not any(
        "threshold and temperature" in note for note in first.record["notes"]
    )
    reliability, before = record["reliability"], first.record["reliability"]
    assert reliability["before"] == before["before"] == before["after"] != reliability["after"]
    official = outcome.frame.covers(outcome.task.geometry, outcome.frame.box)
    for one in reliability["after"]:
        low, high = (float(end) for end in one["bin"].split("–"))
        inside = (found >= low) & (found < high)
        assert one["share"] == pytest.approx(inside.mean(), abs=0.01)
        assert one["burnt_share"] == pytest.approx(official[inside].mean(), abs=0.02)
        assert one["mean_probability"] == pytest.approx(found[inside].mean(), abs=0.01)


def test_without_error_rates_pixels_are_counted_and_the_reason_is_given(root: DataRoot) -> None:
    rules = replace(AS_ANSWERED, threshold=0.3, errors=AS_ANSWERED.errors[:5])
    record = make(root, fire_spec(root), rules=rules).record
    assert record is not None and record["area_ha"]["mapped"] > 0
    assert all(record["area_ha"][name] is None for name in ("estimate", "low", "high", "corrected_by"))
    assert any("pixels counted" in note and "5.0 effective clusters" in note for note in record["notes"])


def test_a_fire_whose_map_shows_nothing_has_an_upper_end(root: DataRoot) -> None:
    record = make(root, fire_spec(root), rules=replace(AS_ANSWERED, threshold=0.999)).record
    assert record is not None and record["area_ha"]["mapped"] == 0
    assert 0 < record["area_ha"]["low"] < record["area_ha"]["estimate"] < record["area_ha"]["high"]
    assert any("extrapolated" in note for note in record["notes"])


def sample_of(folder: Path, task: MapTask, seen: list[str], **fields: object) -> Reference:
    """Points in a row over a map, from west to east."""
    west, south, east, north = task.geometry.bounds
    places = [shapely.Point(x, (south + north) / 2) for x in np.linspace(west, east, len(seen) + 2)[1:-1]]
    gpd.GeoDataFrame({"seen": seen} | fields, geometry=places, crs=4326).to_file(folder / "reference.gpkg")
    return read_reference(folder / "reference.gpkg", of_fires="fire_id" in fields)


def test_an_area_of_interest_is_corrected_by_a_sample_drawn_on_it_and_by_nothing_else(root: DataRoot) -> None:
    spec = spec_of(root, make_archive(root), task_of(root.path))
    counted = make(root, spec, rules=replace(AS_ANSWERED, threshold=0.45)).record
    assert counted is not None and counted["area_ha"]["estimate"] is None
    assert any("--reference" in note for note in counted["notes"])
    assert [line for line in told(counted, made=True) if line.startswith("burned")][1:] == []
    reference = sample_of(root.path, spec.tasks[0], ["burnt", "unburnt"] * 40)
    outcome = make(root, spec, rules=replace(AS_ANSWERED, threshold=0.45), reference=reference)
    record, burned = outcome.record, pixels(outcome.task.folder, "burned")
    assert outcome.made and record is not None and record["inputs_sha256"] != counted["inputs_sha256"]
    area, sample = record["area_ha"], record["sample"]
    assert area["corrected_by"] == "sample" and area["low"] < area["estimate"] < area["high"]
    assert (area["rates"], area["shared"]) == (None, 0), "this map shares its errors with none"
    assert sample["file"] == "reference.gpkg" and sample["points"] == 80 and 0 < sample["users_accuracy"] < 1
    found = SampledMap(reference.on(outcome.frame, spec.tasks[0]))
    found.look(outcome.frame.box, outcome.frame, burned)
    mapped_ha = {"burnt": (burned == 1).sum() / 100, "unburnt": (burned == 0).sum() / 100}
    assert area["estimate"] == pytest.approx(estimate_area(mapped_ha, found.counts)["burnt"].area_ha)
    assert any("as estimated" in line for line in told(record, made=True))
    assert not make(root, spec, rules=replace(AS_ANSWERED, threshold=0.45), reference=reference).made


def test_a_sample_of_another_map_tells_nothing_and_that_is_said(root: DataRoot) -> None:
    spec = fire_spec(root)
    fields = {"fire_id": ["f1"] * 40, "stratum": ["burnt"] * 40}
    record = make(
        root,
        spec,
        rules=replace(AS_ANSWERED, threshold=0.999),
        reference=sample_of(root.path, spec.tasks[0], ["burnt"] * 40, **fields),
    ).record
    assert record is not None and record["area_ha"]["corrected_by"] == "validation_fires" and record["sample"] is None
    assert any(
        "40 of 40 points of reference.gpkg were drawn where the map says otherwise" in n for n in record["notes"]
    )


def test_a_map_is_kept_where_points_were_drawn_on_another(root: DataRoot) -> None:
    spec = fire_spec(root)
    first = make(root, spec)
    of_another = sample_of(root.path, spec.tasks[0], ["burnt"] * 40, fire_id=["f2"] * 40)
    named = spec.model_copy(update={"settings": spec.settings.model_copy(update={"reference": "reference.gpkg"})})
    kept = make(root, named, reference=of_another)
    assert not kept.made and kept.record == first.record
    of_this = sample_of(root.path, spec.tasks[0], ["burnt", "unburnt"] * 20, fire_id=["f1"] * 40)
    again = make(root, named, reference=of_this)
    assert again.made and again.record is not None and again.record["area_ha"]["corrected_by"] == "sample"


def scenes_before(root: DataRoot, *scenes: SmallScene, fire: bool = True) -> list[str]:
    """Scenes of the image before, of a map with its days in June and July."""
    imagery = make_archive(root, SmallScene("one"), *scenes)
    days = {"before_start": "2022-06-01T00:00:00Z", "before_end": "2022-07-30T00:00:00Z"}
    changes = {"fire_id": "f1", "fire_year": 2022, "title": "FIRE"} if fire else {}
    task = task_of(root.path, degrees(500, -1100, 1200, -500))
    spec = spec_of(root, imagery, task.model_validate(task.model_dump() | days | changes))
    record = make(root, spec).record
    assert record is not None
    return [scene["item"] for scene in record["scenes_before"]]


def test_the_image_before_is_the_last_clear_one_not_the_least_cloudy(root: DataRoot) -> None:
    earlier = SmallScene("earlier", "2022-06-10T18:50:00Z", cloud=0.0)
    later = SmallScene("later", "2022-07-20T18:50:00Z", cloud=9.0)
    cloudy = SmallScene("cloudy", "2022-07-28T18:50:00Z", cloud=30.0)
    found = scenes_before(root, earlier, later, cloudy)
    assert found == ["later", "earlier", "cloudy"], "a pixel is of the first of these that shows it"


def test_a_fire_without_a_clear_image_before_has_one_of_the_same_season_a_year_earlier(root: DataRoot) -> None:
    cloudy = SmallScene("cloudy", "2022-07-28T18:50:00Z", cloud=30.0)
    season, another = (SmallScene(f"{month}", f"2021-{month}-10T18:50:00Z", cloud=0.0) for month in ("08", "04"))
    assert scenes_before(root, cloudy, season, another)[0] == "08"


def test_an_area_gets_an_image_of_the_days_that_were_named_or_none(root: DataRoot) -> None:
    season = SmallScene("season", "2021-08-10T18:50:00Z", cloud=0.0)
    cloudy = SmallScene("cloudy", "2022-07-28T18:50:00Z", cloud=30.0)
    assert scenes_before(root, cloudy, season, fire=False) == ["cloudy"]


def test_severity_of_an_area_is_of_what_the_map_calls_burned(root: DataRoot) -> None:
    days = {"before_start": "2022-06-15T00:00:00Z", "before_end": "2022-07-15T00:00:00Z"}
    imagery = make_archive(root, SmallScene("one"), BEFORE)
    area = shapely.union(degrees(200, -1400, 800, -800), degrees(800, -800, 1500, -200))
    task = task_of(root.path, area)
    spec = spec_of(root, imagery, task.model_validate(task.model_dump() | days))
    outcome = make(root, spec, rules=replace(AS_ANSWERED, threshold=0.3))
    folder, record = outcome.task.folder, outcome.record
    assert record is not None and record["dnbr_offset"] is None and record["agreement"] is None
    change, classes, burned = pixels(folder, "dnbr"), pixels(folder, "severity"), pixels(folder, "burned")
    known = change != -9999
    assert known.any() and np.array_equal(classes[known], classify(change[known])) and not classes[~known].any()
    outside = ~outcome.frame.covers(area, outcome.frame.box)
    assert outside.any() and not known[outside].any(), "nothing is told of ground beyond the area"
    found = severity_ha(classes, 0.01, burned == 1)
    assert sum(found.values()) > 0 and record["severity_ha"] == pytest.approx(found)
    assert any("no offset" in note for note in record["notes"])
    assert any(line.startswith("severity: ") and " ha " in line for line in told(record, made=True))
    assert not damaged_files(folder, record)


def test_an_area_without_an_image_before_says_so(root: DataRoot) -> None:
    days = {"before_start": "2021-06-15T00:00:00Z", "before_end": "2021-07-15T00:00:00Z"}
    imagery, task = make_archive(root), task_of(root.path)
    outcome = make(root, spec_of(root, imagery, task.model_validate(task.model_dump() | days)))
    assert outcome.record is not None and outcome.record["severity_ha"] is None
    assert any("no image from before" in note for note in outcome.record["notes"])
    assert not (outcome.task.folder / "severity.tif").exists()


@pytest.mark.parametrize("per_pixel", [False, True])
def test_probabilities_are_those_of_a_loop_over_windows_whatever_the_blocks(root: DataRoot, per_pixel: bool) -> None:
    imagery = make_archive(root)
    maps = []
    for block_px in (64, 97):
        task = task_of(root.path / str(block_px))
        spec = spec_of(root, imagery, task, block_px=block_px)
        outcome = make(root, spec, FormulaModel(per_pixel=per_pixel))
        maps.append(pixels(outcome.task.folder, "probability"))
    assert maps[0].shape == maps[1].shape and np.abs(maps[0] - maps[1]).max() < 1e-6
    assert np.allclose(maps[0], by_hand(root, per_pixel=per_pixel), atol=1e-5)


def by_hand(root: DataRoot, *, per_pixel: bool) -> np.ndarray:
    """The same map from the scene's own file, window by window."""
    frame = frame_around(INSIDE, 10)
    lattice = Lattice(SIZE_PX, SIZE_PX // 2)
    reach = lattice.reach(frame.box)
    with rasterio.open(root.path / "archive" / "one" / f"{BANDS[0]}.tif") as source:
        left, top = reach.left - LEFT // 10, reach.top + TOP // 10
        scene = source.read(1)[top : top + reach.height, left : left + reach.width] / 6000
    total, behind = np.zeros(scene.shape), np.zeros(scene.shape)
    weight = np.outer(taper(SIZE_PX), taper(SIZE_PX))
    for y in range(0, reach.height - SIZE_PX + 1, SIZE_PX // 2):
        for x in range(0, reach.width - SIZE_PX + 1, SIZE_PX // 2):
            place = slice(y, y + SIZE_PX), slice(x, x + SIZE_PX)
            answer = np.clip(scene[place] * 0.8 + 10 / 310, 0.01, 0.99)
            answer = answer if per_pixel else np.full_like(answer, answer.mean())
            total[place] += weight * np.log(answer / (1 - answer))
            behind[place] += weight
    rows, columns = frame.box.slices_in(reach)
    probability = 1 / (1 + np.exp(-(total / behind)[rows, columns]))
    return np.where(frame.covers(INSIDE, frame.box), probability, -1)


def test_a_killed_mapper_goes_on_and_comes_to_the_same_map(root: DataRoot) -> None:
    imagery = make_archive(root)
    whole = make(root, spec_of(root, imagery, task_of(root.path / "undisturbed")), count := FormulaModel())
    spec = spec_of(root, imagery, task_of(root.path / "killed"))
    with pytest.raises(KeyboardInterrupt):
        make(root, spec, first := FormulaModel(fail_after=3))
    assert not spec.tasks[0].folder.exists() and first.windows > 0
    outcome = make(root, spec, second := FormulaModel())
    assert first.windows + second.windows == count.windows, "no finished block is judged twice"
    assert whole.record is not None and outcome.record is not None
    rasters = {name: sha for name, sha in whole.record["files"].items() if name.endswith(".tif")}
    assert rasters.items() <= outcome.record["files"].items()
    assert not list((spec.tasks[0].work / "blocks").rglob("*.npz"))


def test_a_map_is_kept_until_its_inputs_change_or_a_file_is_damaged(root: DataRoot) -> None:
    spec = fire_spec(root)
    first = make(root, spec)
    kept = make(root, spec, model := FormulaModel())
    assert not kept.made and model.windows == 0 and kept.record == first.record
    assert make(root, spec, rules=replace(AS_ANSWERED, threshold=0.6)).made
    assert make(root, spec).made, "back to the first threshold"
    (first.task.folder / "burned.tif").write_bytes(b"cut short")
    assert make(root, spec).made
    assert first.record is not None and is_whole(first.task.folder, first.record["inputs_sha256"])
    write_scene(root.path / "archive", SmallScene("one", surface=2))
    assert make(root, spec).made and not make(root, spec).made, "a file of its scene is another"


def test_ground_that_was_trained_on_has_no_answer_in_a_fire_and_says_so(root: DataRoot) -> None:
    spec = fire_spec(root)
    shape = frame_around(spec.tasks[0].geometry, 10, 100).shape
    codes = np.zeros(shape, np.uint8)
    codes[:10], codes[-10:] = 1, 2
    outcome = make(root, spec, ground=ground_of(10, 10))
    burned = pixels(outcome.task.folder, "burned")
    assert (burned[:10] == 255).all() and (burned[-10:] == 255).all() and (burned[10:-10] != 255).all()
    assert np.array_equal(pixels(outcome.task.folder, "ground"), codes)
    assert outcome.record is not None
    assert outcome.record["ground"]["seen"] == pytest.approx(10 / shape[0])
    assert any("trained on" in note for note in outcome.record["notes"])


def test_older_scars_have_an_answer_and_are_told_apart(root: DataRoot) -> None:
    spec = fire_spec(root)
    plain = make(root, spec).record
    outcome = make(root, spec, ground=ground_of(0, 3, 60))
    codes, burned = (pixels(outcome.task.folder, name) for name in ("ground", "burned"))
    own = outcome.frame.covers(spec.tasks[0].geometry, outcome.frame.box)
    assert own[:, :60].any(), "the scar reaches into the perimeter"
    assert not codes[own].any(), "inside its own perimeter ground burned again, whatever else burned there"
    scar = codes == 3
    assert scar[:-3, :60][~own[:-3, :60]].all() and (codes[-3:][~own[-3:]] == 2).all() and not scar[:, 60:].any()
    assert (burned[scar] != 255).all() and (burned[codes == 2] == 255).all()
    assert plain is not None and outcome.record is not None
    told = outcome.record["ground"]
    assert told["old_scars"] == pytest.approx(scar.mean())
    assert told["old_scars_mapped_ha"] == pytest.approx((burned[scar] == 1).sum() / 100)
    assert told["other_burns"] == pytest.approx((codes == 2).mean())
    assert any("burned in an earlier season: figures count it" in note for note in outcome.record["notes"])
    assert plain["ground"] is None


def test_of_an_area_only_what_lies_in_it_is_mapped_and_beyond_the_scene_there_is_no_answer(root: DataRoot) -> None:
    area = shapely.union(degrees(1800, -700, 3200, -200), degrees(1800, -1500, 2000, -200))
    outcome = make(root, spec_of(root, make_archive(root), task_of(root.path, area)))
    folder, frame = outcome.task.folder, outcome.frame
    inside = frame.covers(area, frame.box)
    burned, validity, acquired = (pixels(folder, name) for name in ("burned", "validity", "acquired"))
    assert (burned[~inside] == 255).all() and (pixels(folder, "probability")[~inside] == -1).all()
    beyond = inside & (np.arange(frame.box.left, frame.box.right) * 10 >= LEFT + 2400)
    assert (validity[beyond] == 2).all() and (burned[beyond] == 255).all() and (acquired[beyond] == 0).all()
    assert (acquired[inside & ~beyond] == 19_214).all(), "2022-08-10"
    assert outcome.record is not None and outcome.record["clear_fraction"] == pytest.approx(
        1 - beyond.sum() / inside.sum()
    )


def test_each_pixel_is_of_the_least_cloudy_scene_that_has_it(root: DataRoot) -> None:
    scenes = SmallScene("east", time="2022-08-20T18:50:00Z", cloud=5, east_m=1000), SmallScene("one")
    outcome = make(root, spec_of(root, make_archive(root, *scenes), task_of(root.path)))
    days = pixels(outcome.task.folder, "acquired")
    inside = outcome.frame.covers(INSIDE, outcome.frame.box)
    easting = np.arange(outcome.frame.box.left, outcome.frame.box.right) * 10
    east = np.broadcast_to(easting >= LEFT + 1000, days.shape)
    assert set(days[inside & east]) == {19_224} and set(days[inside & ~east]) == {19_214}


def test_a_fire_of_which_nothing_is_mapped_has_an_iou_of_0(root: DataRoot) -> None:
    record = make(root, fire_spec(root), rules=replace(AS_ANSWERED, threshold=0.999)).record
    assert record is not None and record["agreement"]["mapped_ha"] == 0
    assert record["agreement"]["iou"] == 0 and record["agreement"]["omission"] == 1


def test_what_has_no_scene_or_only_cloudy_ones_has_no_map_and_a_reason(root: DataRoot) -> None:
    imagery = make_archive(root, SmallScene("one", cloud=90))
    assert make(root, spec_of(root, imagery, task_of(root.path))).reason == "too_cloudy"
    far = task_of(root.path, degrees(90_000, -91_000, 91_000, -90_000))
    outcome = make(root, spec_of(root, imagery, far))
    assert (outcome.record, outcome.reason) == (None, "no_scene") and not far.folder.exists()


def test_a_scene_whose_file_is_broken_is_an_error_that_names_it(root: DataRoot) -> None:
    imagery = make_archive(root, retries=0)
    (root.path / "archive" / "one" / "B08.tif").write_bytes(b"II*")
    with pytest.raises(InputError, match=r"B08\.tif"):
        make(root, spec_of(root, imagery, task_of(root.path)))


def test_memory_does_not_grow_with_the_area(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are read a few at a time, no farther ahead than the next few."""
    from burnscar_assets.mapping import mosaic

    read: list[int] = []
    reading = mosaic._Reader.read
    monkeypatch.setattr(mosaic._Reader, "read", lambda self, boxes: read.append(len(boxes)) or reading(self, boxes))
    ahead: list[int] = []

    class Watching(FormulaModel):
        def prepare(self, images: Images) -> dict[str, np.ndarray]:
            ahead.append(sum(read) - len(ahead))
            return super().prepare(images)

    make(root, spec_of(root, make_archive(root), task_of(root.path), block_px=64), Watching())
    assert len(ahead) >= 4 and max(ahead) <= 2 * mosaic.BLOCKS_AT_ONCE and max(read) <= mosaic.BLOCKS_AT_ONCE


@pytest.mark.parametrize("southern", [32755, 32718])
def test_a_map_of_the_southern_hemisphere_is_the_northern_one_in_another_place(
    southern: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for epsg in (small_archive.EPSG, southern):
        for module in (small_archive, map_kit):
            monkeypatch.setattr(module, "EPSG", epsg)
        root = DataRoot(tmp_path / str(epsg))
        spec = spec_of(root, make_archive(root, SmallScene("one")), task_of(root.path, degrees(203, -1397, 1497, -203)))
        outcome = make(root, spec)
        assert outcome.record is not None and outcome.record["crs"] == f"EPSG:{epsg}"
        made.append({path.name: pixels(outcome.task.folder, path.stem) for path in outcome.task.folder.glob("*.tif")})
    north, south = made
    assert north.keys() == south.keys() and "probability.tif" in north
    for name, expected in north.items():
        np.testing.assert_array_equal(south[name], expected, err_msg=name)
