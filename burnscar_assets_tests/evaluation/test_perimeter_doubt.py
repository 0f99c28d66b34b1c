"""Perimeters that images speak against: what is found on hand-made frames, by bounds of which fires, and the page."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from burnscar_assets.evaluation.map_baselines import FrameIndices
from burnscar_assets.evaluation.map_scores import ScoredGround
from burnscar_assets.evaluation.perimeter_doubt import (
    AFTER,
    BEFORE_AFTER,
    GOES_ON,
    NO_EVIDENCE,
    NOTHING_CHANGED,
    SET_BOUND,
    Evidence,
    doubt_perimeters,
    list_doubts,
)
from burnscar_assets.mapping.fire_scenes import read_frames
from burnscar_assets.progress import silent
from burnscar_assets.publish.pages.doubts import write_doubts
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs
from burnscar_assets_tests.evaluation.test_frames import TEST, YEAR, Split, add_scenes

SIDE, PERIMETER = 120, (slice(20, 70), slice(20, 70))


def frame_of(burned: tuple[slice, slice], *, with_before: bool = True) -> FrameIndices:
    """A frame of 10 m pixels whose season moved dNBR by 0.13; what burned may be other ground than the perimeter."""
    generator = np.random.default_rng(3)
    truth, change = np.zeros((SIDE, SIDE), np.uint8), generator.normal(0.13, 0.02, (SIDE, SIDE))
    truth[PERIMETER] = 1
    change[burned] += 0.4
    clear = np.ones((SIDE, SIDE), bool)
    ground = ScoredGround.of(truth, clear, clear if with_before else None, clear, 10.0, 0.5)
    before = np.full((SIDE, SIDE), 0.5, np.float32)
    return FrameIndices((before - change).astype(np.float32), before if with_before else None, ~clear, ground)


@pytest.mark.parametrize("with_before", [True, False])
def test_evidence_is_what_changed_within_and_beside_off_the_outline(with_before: bool) -> None:
    good = Evidence.of(frame_of(PERIMETER, with_before=with_before))
    assert good.evidence == (BEFORE_AFTER if with_before else AFTER)
    assert good.changed_inside > 0.95 and good.changed_beside < 0.02
    displaced = Evidence.of(frame_of((slice(23, 73), slice(23, 73)), with_before=with_before))
    assert displaced.changed_inside > 0.95 and displaced.changed_beside < 0.02, "30 m are no doubt"
    on = Evidence.of(frame_of((slice(20, 70), slice(20, 120)), with_before=with_before))
    assert on.changed_inside > 0.95 and on.changed_beside > 0.15
    nothing = Evidence.of(frame_of((slice(95, 118), slice(20, 100)), with_before=with_before))
    assert nothing.changed_inside < 0.02


def test_a_frame_that_cant_be_judged_tells_nothing() -> None:
    frame = frame_of(PERIMETER)
    found = Evidence.of(replace(frame, ground=replace(frame.ground, reason="cloud")))
    assert (found.evidence, found.reason) == (NO_EVIDENCE, "cloud") and np.isnan(found.changed_inside)


def weighed(*rows: tuple[str, float, float], evidence: str = AFTER) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["split", "changed_inside", "changed_beside"])
    return table.assign(evidence=evidence)


def test_bounds_are_of_other_folds_or_of_validation_fires() -> None:
    others = [("fold_0", 0.90 + number / 100, number / 100) for number in range(6)]
    odd = [("fold_1", 0.5, 0.0), ("fold_1", 1.0, 0.9), ("fold_1", 1.0, 0.0)]
    found = list_doubts(weighed(*others, *odd))
    assert found["doubts"].tolist()[6:] == [[NOTHING_CHANGED], [GOES_ON], []]
    assert set(found["reference_fires"][6:]) == {6} and set(found["least_inside"][:6]) == {SET_BOUND}
    same = list_doubts(weighed(*others, *odd[:2], ("fold_1", 0.0, 1.0)))
    assert same.loc[6, "least_inside"] == found.loc[6, "least_inside"], "no fire of its own fold has a part in it"
    blocks = [("val", inside, beside) for _, inside, beside in others] + [("test", 0.5, 0.0), ("test", 0.0, 0.0)]
    tested = list_doubts(weighed(*blocks))
    assert tested["least_inside"].nunique() == 1 and tested["doubts"].tolist()[6:] == [[NOTHING_CHANGED]] * 2


def test_evidence_of_other_images_is_no_reference() -> None:
    table = pd.concat(
        [weighed(*[("fold_0", 0.9, 0.0)] * 6, evidence=BEFORE_AFTER), weighed(("fold_1", 0.6, 0.0))], ignore_index=True
    )
    last = list_doubts(table).iloc[-1]
    assert last["reference_fires"] == 0 and last["least_inside"] == SET_BOUND and last["doubts"] == []
    nothing = list_doubts(weighed(("fold_0", np.nan, np.nan), evidence=NO_EVIDENCE)).iloc[0]
    assert nothing["doubts"] == [] and np.isnan(nothing["least_inside"])


def test_frames_are_weighed_and_the_page_shows_images_and_perimeter_of_listed_fires(root: DataRoot) -> None:
    add_scenes(root, ("t", Split.TEST), ("v", Split.VAL))
    frames = read_frames(root, YEAR, [Split.VAL, Split.TEST])
    ground = gpd.GeoSeries([shapely.box(*TEST.bounds)], crs="EPSG:4326").to_crs(table_crs()).iloc[0]
    facts = {"fire_id": ["t", "v"], "fire_name": ["<T>", "V"], "area_ha": 36.0, "flag": [None, "odd"]}
    rows = gpd.GeoDataFrame(facts | {"fire_year": YEAR}, geometry=[ground, ground], crs=table_crs())
    empty = FIRE_PERIMETERS.empty()
    perimeters = rows.reindex(columns=empty.columns)
    doubts, summary = doubt_perimeters(frames, perimeters, default_sensor(), EvaluationSettings(), silent)
    assert list(doubts["fire_id"]) == ["t", "v"] and (doubts["evidence"] == AFTER).all()
    assert (summary.fires, summary.remarked) == (2, 1)
    assert doubts["changed_inside"].between(0, 1).all() and doubts["changed_beside"].between(0, 1).all()
    fewer, _ = doubt_perimeters(frames, perimeters[1:], default_sensor(), EvaluationSettings(), silent)
    assert list(fewer["fire_id"]) == ["v"], "a frame that is older than the labels may be of a fire that is gone"
    listed = doubts.assign(doubts=[[GOES_ON], []])
    folder = root.label_doubts
    page = write_doubts(folder, listed, frames, default_sensor(), simulated=True).read_text()
    assert "&lt;T&gt;" in page and ">V " not in page and "1 of 2 judged fires" in page and "Simulated" in page
    assert [path.name for path in folder.glob("*.webp")] == [f"{YEAR}-t-after.webp"]
    assert f'href="{YEAR}-t-after.webp"' in page and 'class="perimeter" d="M' in page
    nameless = write_doubts(folder, listed.assign(fire_name=pd.NA), frames, default_sensor(), simulated=True)
    assert f">t {YEAR}: " in nameless.read_text()
    write_doubts(folder, doubts.assign(doubts=[[], []]), frames, default_sensor(), simulated=True)
    assert not [*folder.glob("*.webp")], "pictures of fires that are listed no more go"
