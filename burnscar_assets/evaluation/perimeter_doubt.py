"""Perimeters that the images of their fire speak against: nothing changed within, or the burn goes on beside.

What changed is told by a burn index alone, no model: dNBR less the mode of the frame's unburned ground above 0.1, or,
where there is no image before, NBR below Otsu's cut of the frame, which takes other dark ground for burned too. Ground
within 30 m of the outline is left out, as a line drawn by hand is no nearer than that.

A fire is listed if less of its perimeter changed than of nine in ten other fires', or more beside it. So it is a list
of what a person should look at first, never empty for long and no judgement: nothing leaves the score by it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import Split
from burnscar_assets.evaluation.label_noise import EDGE_M
from burnscar_assets.evaluation.map_baselines import INDICES, BurnImages, FrameIndices
from burnscar_assets.evaluation.map_scores import Mask, ground_of
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.progress import Progress
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import LABEL_DOUBTS
from burnscar_assets.storage.tables import table_crs

NOTHING_CHANGED, GOES_ON = "nothing_changed", "goes_on"
"""What is doubtful about a perimeter."""

BEFORE_AFTER, AFTER, NO_EVIDENCE = "before_after", "after", "none"
"""Images that the evidence is from."""

BESIDE_M: Final = 150.0
"""How far from the outline ground lies beside a fire."""

TAIL: Final = 0.1
"""Share of the reference fires beyond which a figure is odd, at each end."""

FEWEST_REFERENCES: Final = 5
"""Fewer fires tell no bounds."""

SET_BOUND: Final = 0.5
"""Least share within and most share beside where there are too few reference fires."""

_INDEX: Final = {
    kind: next(one for one in INDICES if one.name == name)
    for kind, name in ((BEFORE_AFTER, "dnbr_less_mode"), (AFTER, "nbr_otsu"))
}
_FIGURES: Final = ("changed_inside", "changed_beside")


@dataclass(frozen=True)
class Evidence:
    """What the images of a fire say of its perimeter.

    Attributes:
        evidence: `BEFORE_AFTER`, `AFTER` or `NO_EVIDENCE`.
        reason: why there is none; empty if there is.
        changed_inside: share of the land within the perimeter that changed, or looks burned, 0–1; NaN without evidence.
        changed_beside: the same of the land 30 to 150 m outside it.
    """

    evidence: str
    reason: str = ""
    changed_inside: float = float("nan")
    changed_beside: float = float("nan")

    @classmethod
    def of(cls, frame: FrameIndices) -> "Evidence":
        """Weigh a fire's frame."""
        if frame.ground.reason:
            return cls(NO_EVIDENCE, frame.ground.reason)
        kind = AFTER if frame.nbr_before is None else BEFORE_AFTER
        values = _INDEX[kind].of(frame)
        if values is None:
            return cls(NO_EVIDENCE, "too little land is clear")
        inside, beside = _places(frame)
        known = np.isfinite(values)
        if not ((inside & known).any() and (beside & known).any()):
            return cls(NO_EVIDENCE, f"no land lies farther than {EDGE_M:.0f} m from the outline")
        changed = values > _INDEX[kind].threshold
        return cls(kind, "", *(float(changed[place & known].mean()) for place in (inside, beside)))


@dataclass(frozen=True)
class DoubtSummary:
    """What became of the perimeters that were looked at.

    Attributes:
        fires: judged fires.
        with_before: of them, those with evidence from images before and after.
        without_evidence: those without any.
        nothing_changed, goes_on: listed for this; a fire can be for both.
        remarked_and_listed: listed fires that the source remarks something on; remarked: all with a remark.
    """

    fires: int
    with_before: int
    without_evidence: int
    nothing_changed: int
    goes_on: int
    remarked_and_listed: int
    remarked: int


def doubt_perimeters(
    scenes: Sequence[FireScene],
    perimeters: gpd.GeoDataFrame,
    sensor: Sensor,
    settings: EvaluationSettings,
    progress: Progress,
) -> tuple[gpd.GeoDataFrame, DoubtSummary]:
    """Weigh the perimeters of judged fires against their images, and list those that are odd.

    Args:
        scenes: frames of fires of all years; those without fire, or of a fire that is no label any more, are passed
            over.
        perimeters: labels of these years, contract FIRE_PERIMETERS.
        sensor: of the images.
        settings: least coverage, and how much of a large frame is looked at.
        progress: reports frames.

    Returns:
        Contract LABEL_DOUBTS, and what it comes to.

    Raises:
        MissingDataError: an image is gone.
    """
    facts = perimeters.set_index(["fire_year", "fire_id"])[["fire_name", "area_ha", "flag", "geometry"]]
    of_fires = [scene for scene in scenes if (scene.fire_year, scene.fire_id) in facts.index]
    rows = []
    for number, scene in enumerate(of_fires):
        progress("perimeters weighed", number, len(of_fires))
        known = {"fire_year": scene.fire_year, "fire_id": scene.fire_id, "frame_id": scene.name, "split": scene.split}
        found = asdict(_evidence(scene, sensor, settings))
        rows.append(known | found | dict(facts.loc[(scene.fire_year, scene.fire_id)]))
    progress("perimeters weighed", len(of_fires), len(of_fires))
    if not rows:
        return LABEL_DOUBTS.empty(), DoubtSummary(0, 0, 0, 0, 0, 0, 0)
    weighed = gpd.GeoDataFrame(rows, geometry="geometry", crs=table_crs())
    table = LABEL_DOUBTS.conform(list_doubts(weighed.assign(flag=weighed["flag"].fillna(""))))
    return table, _summary(table)


def list_doubts(weighed: pd.DataFrame) -> pd.DataFrame:
    """Say of each fire which bounds hold for it, and what is doubtful.

    Bounds are from fires with evidence of the same images: of all folds but its own, or, in a world of blocks, of
    validation fires. So no test fire has a part in them.

    Args:
        weighed: split, evidence, changed_inside and changed_beside of fires.

    Returns:
        The same with least_inside, most_beside, reference_fires and doubts, as in contract LABEL_DOUBTS.
    """
    bounds = pd.DataFrame([_bounds(weighed, row) for _, row in weighed.iterrows()], index=weighed.index)
    nothing = weighed["changed_inside"] < bounds["least_inside"]
    goes_on = weighed["changed_beside"] > bounds["most_beside"]
    doubts = [
        [name for name, holds in ((NOTHING_CHANGED, low), (GOES_ON, high)) if holds]
        for low, high in zip(nothing, goes_on, strict=True)
    ]
    return weighed.join(bounds).assign(doubts=doubts)


def _evidence(scene: FireScene, sensor: Sensor, settings: EvaluationSettings) -> Evidence:
    if scene.reason:
        return Evidence(NO_EVIDENCE, scene.reason)
    ground = ground_of(scene, settings)
    return Evidence(NO_EVIDENCE, ground.reason) if ground.reason else Evidence.of(
        BurnImages.read(scene, sensor, settings).indices(ground)
    )  # fmt: skip


def _places(frame: FrameIndices) -> tuple[Mask, Mask]:
    """(height, width) land within the perimeter, and beside it, both off the outline."""
    ground = frame.ground
    off = ground.off_outline(EDGE_M) & frame.land
    near = (ground.outline_px - 0.5) * ground.resolution_m <= BESIDE_M
    return off & ground.burnt, off & ~ground.burnt & near


def _bounds(weighed: pd.DataFrame, row: pd.Series) -> dict[str, Any]:
    """Bounds for a fire, from fires of other folds, or from validation fires, with evidence of the same images."""
    splits = weighed["split"]
    others = splits == Split.VAL if splits.isin([Split.VAL, Split.TEST]).any() else splits != row["split"]
    reference = weighed.loc[others & (weighed["evidence"] == row["evidence"]), list(_FIGURES)]
    if row["evidence"] == NO_EVIDENCE:
        return {"least_inside": np.nan, "most_beside": np.nan, "reference_fires": 0}
    if len(reference) < FEWEST_REFERENCES:
        return {"least_inside": SET_BOUND, "most_beside": SET_BOUND, "reference_fires": 0}
    return {
        "least_inside": reference["changed_inside"].quantile(TAIL),
        "most_beside": reference["changed_beside"].quantile(1 - TAIL),
        "reference_fires": len(reference),
    }


def _summary(table: pd.DataFrame) -> DoubtSummary:
    listed, remarked = table["doubts"].map(len) > 0, table["flag"] != ""

    def counts() -> Iterator[int]:
        yield len(table)
        yield int((table["evidence"] == BEFORE_AFTER).sum())
        yield int((table["evidence"] == NO_EVIDENCE).sum())
        for what in (NOTHING_CHANGED, GOES_ON):
            yield int(table["doubts"].map(lambda found, what=what: what in found).sum())
        yield int((listed & remarked).sum())
        yield int(remarked.sum())

    return DoubtSummary(*counts())
