"""The figures of a map: how much burned, how sure that is, how it compares with the perimeter, how severe it was."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.evaluation.frame_pixels import FramePixels, Reliability
from burnscar_assets.evaluation.rules import MapRules
from burnscar_assets.mapping.frame import Frame
from burnscar_assets.mapping.grid import grid_of
from burnscar_assets.mapping.ground import OLD_SCAR, OTHER_BURN, SEEN
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.severity import classify, phenology_offset, severity_ha
from burnscar_assets.publish.agreement import compare
from burnscar_assets.publish.area import SAMPLE, Area, FireRates
from burnscar_assets.publish.reference import SampledMap, estimate_area

Codes = npt.NDArray[np.uint8]


@dataclass
class Counts:
    """Pixels of a map, counted block by block.

    Inside the area that is mapped; of these, clear by an image, and with an answer; and by the codes of ground, old
    scars being outside the perimeter.
    """

    inside: int = 0
    clear: int = 0
    burnt: int = 0
    unburnt: int = 0
    seen: int = 0
    other_burns: int = 0
    old_scars: int = 0
    old_scars_burnt: int = 0

    def add(self, burned: Codes, validity: Codes, ground: Codes | None, inside: npt.NDArray[np.bool_]) -> None:
        """Count a block: (height, width) classes, `Validity`, codes of `ground`, and what lies inside."""
        self.inside += int(inside.sum())
        self.clear += int(((validity == Validity.VALID) & inside).sum())
        self.burnt += int(((burned == 1) & inside).sum())
        self.unburnt += int(((burned == 0) & inside).sum())
        if ground is not None:
            self.seen += int(((ground == SEEN) & inside).sum())
            self.other_burns += int(((ground == OTHER_BURN) & inside).sum())
            self.old_scars += int(((ground == OLD_SCAR) & inside).sum())
            self.old_scars_burnt += int(((ground == OLD_SCAR) & inside & (burned == 1)).sum())

    def share(self, count: int) -> float:
        """Of the mapped area, 0–1."""
        return count / max(self.inside, 1)


def coverage(counts: Counts) -> dict[str, float]:
    """Share of the area that is clear, and share that has an answer, 0–1."""
    return {
        "clear_fraction": counts.share(counts.clear),
        "valid_fraction": counts.share(counts.burnt + counts.unburnt),
    }


def ground_figures(counts: Counts, frame: Frame) -> dict[str, float]:
    """Shares of the area that were seen, burned otherwise in the season or are older scars; hectares of these burnt."""
    return {
        "seen": counts.share(counts.seen),
        "other_burns": counts.share(counts.other_burns),
        "old_scars": counts.share(counts.old_scars),
        "old_scars_mapped_ha": counts.old_scars_burnt * frame.pixel_ha,
    }


def area_figures(
    pixels: Counts, frame: Frame, rates: FireRates | str, sampled: SampledMap | None, confidence: float
) -> tuple[Area, dict[str, Any] | None, list[str]]:
    """Burned area as counted, corrected by a person's sample, else by rates of error, else not at all.

    `rates` is what it is corrected by without a sample, or in words why there is nothing.

    Returns:
        The area; what the sample says of the map, if it counts; and what a reader must know of them.
    """
    pixel_ha = frame.pixel_ha
    mapped_ha, unburnt_ha = pixels.burnt * pixel_ha, pixels.unburnt * pixel_ha
    counted = Area(mapped=mapped_ha)
    if not mapped_ha + unburnt_ha:
        return counted, None, ["the map has no answer anywhere, so that its area is not known"]
    notes: list[str] = []
    if sampled is not None:
        area, figures, notes = sample_figures(mapped_ha, unburnt_ha, sampled, confidence)
        if area is not None:
            return area, figures, notes
    if isinstance(rates, str):
        return counted, None, [*notes, f"the area is pixels counted, not corrected for the map's errors: {rates}"]
    if mapped_ha < rates.least_mapped_ha:
        notes.append("no map of a validation fire shows so little: how much burned is extrapolated from larger ones")
    return rates.area(mapped_ha, mapped_ha + unburnt_ha, confidence), None, notes


def sample_figures(
    mapped_ha: float, unburnt_ha: float, sampled: SampledMap, confidence: float
) -> tuple[Area | None, dict[str, Any] | None, list[str]]:
    """Burned area by a sample that a person drew on the map, and the map's accuracy by it; None if it can't be used."""
    name, points = sampled.sample.name, len(sampled.sample.row)
    if sampled.drawn_elsewhere:
        note = f"{sampled.drawn_elsewhere} of {points} points of {name} were drawn where the map says otherwise now"
        return None, None, [f"{note}, so that they are no sample of it: draw them on this map"]
    lost = sampled.without_answer
    notes = [f"{lost} of {points} points of {name} lie where the map has no answer, and don't count"] if lost else []
    estimate = estimate_area(
        dict(zip(CLASS_NAMES, (mapped_ha, unburnt_ha), strict=True)), sampled.counts, confidence=confidence
    )
    notes += [f"{name}: {note}" for note in estimate.notes]
    if not estimate.defined:
        return None, None, notes
    burnt = estimate[CLASS_NAMES[BURNT]]
    accuracy = ("users_accuracy", "users_accuracy_se", "producers_accuracy", "producers_accuracy_se")
    figures = {"file": name, "points": points - lost, **{field: _known(getattr(burnt, field)) for field in accuracy}}
    area = Area(
        mapped=mapped_ha,
        estimate=burnt.area_ha,
        low=burnt.low_ha,
        high=burnt.high_ha,
        confidence=confidence,
        corrected_by=SAMPLE,
    )
    return area, figures, notes


def agreement_figures(
    burned: Codes, probability: npt.NDArray[np.float32], frame: Frame, perimeter: shapely.Geometry
) -> dict[str, float | None]:
    """How a map agrees with an official perimeter (in the map's CRS), where it is judged: `NO_ANSWER` elsewhere."""
    found = compare(burned, perimeter, frame.transform, frame.crs, probability=probability)
    return found.figures()


def reliability_figures(
    answered: npt.NDArray[np.float32], perimeter: npt.NDArray[np.bool_], frame: Frame, rules: MapRules
) -> dict[str, Any]:
    """Whether a map's probabilities mean what they say beside the official perimeter, as `Reliability` has it.

    `answered` is not calibrated, and below 0 where the map has no answer.
    """
    pixels = FramePixels.of("", "", answered, perimeter, frame.pixel_ha)
    found = asdict(Reliability.of([pixels], rules.slope, rules.intercept))
    return found | {name: list(found[name]) for name in ("before", "after")}


def severities(
    change: npt.NDArray[np.float32], perimeter: npt.NDArray[np.bool_], frame: Frame
) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """Classes of burn severity of each pixel, and hectares of each class inside the perimeter.

    `change` is dNBR, NaN where unknown.

    Returns:
        Codes of `severity.SEVERITY_CLASSES`; and `severity_ha` with the offset that was taken off.
    """
    grid = grid_of(frame.transform, frame.crs)
    offset = phenology_offset(change, perimeter, grid)
    classes = classify(change - np.float32(0 if offset is None else offset.dnbr))
    found = severity_ha(classes, grid.pixel_ha, perimeter)
    return classes, {"severity_ha": found, "dnbr_offset": None if offset is None else offset.dnbr}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
