"""How hard the simulated stage is: what tells a burn on simulated fires and on real ones, on the same terms.

`python benchmarks/stage.py` draws the demo's fires as chips before and after (with the demo's own drawing functions, at
20 m, five bands) and reads the real chips of `../shared/data/imagery/california_fires`; where these are absent it says
so and measures the simulated ones alone. Three tellers are held against the perimeter of each fire: dNBR > 0.1, dNBR
less the frame's median > 0.1, and boosted trees of pixels (5 folds by groups of fires more than 10 km apart). The
simulated world is accepted if their medians lie within 0.07 of 0.53, 0.68 and 0.82, as measured once on 22 real fires,
of which 17 lie here. `--root` names the data root of a demo whose maps are scored against perimeters and true burns.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kit.burn_tellers import by_dnbr, by_dnbr_less_median, by_trees, iou
from kit.figures import Bar, Figure, Report
from kit.fire_chips import Chip, real_chips, simulated_chips
from kit.map_scores import score_maps

from burnscar_assets.demo.acquisitions import season_scenes
from burnscar_assets.demo.ignitions import simulate_fires
from burnscar_assets.demo.regions import choose_regions
from burnscar_assets.demo.world import DEFAULT_SCALE
from burnscar_assets.settings import DemoSettings, SplitSettings
from burnscar_assets.storage.paths import DataRoot

REAL_CHIPS = Path(__file__).parents[2] / "shared" / "data" / "imagery" / "california_fires"
NEAR = 0.07
"""How near the medians must come to those of real fires: two groups of 12 real fires differ by as much."""

TELLERS = {"dNBR > 0.1": 0.53, "dNBR less its median > 0.1": 0.68, "boosted trees": 0.82}
"""What tells a burn, and the median IoU with the perimeter that it reached on 22 real fires."""

SMALL_HA = 40
"""Smaller than all real chips."""

DEMO_YEARS = range(2019, 2023)
QUICK_YEARS = range(2019, 2021)


@dataclass(frozen=True)
class Outside:
    """dNBR of the unburned ground of a chip: its median, its spread (as of a normal's quartiles), share above 0.1."""

    offset: float
    spread: float
    above: float


class Stage:
    """Chips of fires and what was measured on them."""

    def __init__(self, chips: Sequence[Chip]) -> None:
        self.chips = chips
        found = [by_dnbr(chip) for chip in chips], [by_dnbr_less_median(chip) for chip in chips], by_trees(chips)
        self.ious = {
            teller: np.array([_iou(mask, chip) for mask, chip in zip(masks, chips, strict=True)])
            for teller, masks in zip(TELLERS, found, strict=True)
        }
        self.outside = [_outside(chip) for chip in chips]

    def median(self, teller: str) -> float:
        """Median IoU over fires."""
        return float(np.median(self.ious[teller]))

    def median_of_small(self, teller: str) -> float:
        """Median IoU over fires below SMALL_HA."""
        small = [chip.perimeter_ha < SMALL_HA for chip in self.chips]
        return float(np.median(self.ious[teller][small]))

    def offsets(self) -> tuple[float, float, float]:
        """Median of the chips' offsets, and their 5th and 95th percentile."""
        middle, least, most = np.percentile([outside.offset for outside in self.outside], [50, 5, 95])
        return float(middle), float(least), float(most)


def figures(simulated: Stage, real: Stage | None) -> Iterator[Figure]:
    """All figures; those of real fires stand as the peer's."""
    count = f"{len(simulated.chips)} simulated fires" + (f", {len(real.chips)} real ones" if real else "; real: absent")
    for teller, target in TELLERS.items():
        ours, theirs = simulated.median(teller), real.median(teller) if real else None
        yield Figure(f"median IoU with the perimeter, {teller}", ours, f"{count}; 22 real fires: {target}", theirs)
        yield Figure(f"distance to real fires, {teller}", abs(ours - target), f"to {target}", bar=Bar("<=", NEAR))
        small = simulated.median_of_small(teller)
        yield Figure(f"median IoU with the perimeter, {teller}, small fires", small, f"below {SMALL_HA} ha, simulated")
    offset, least, most = simulated.offsets()
    unit = f"dNBR, of each chip's median; 5th to 95th percentile {least:.3f} to {most:.3f}"
    if real:
        unit += "; real {1:.3f} to {2:.3f}".format(*real.offsets())
    yield Figure("offset of dNBR outside the perimeter", offset, unit, real.offsets()[0] if real else None)
    for name, key, unit in (
        ("spread of dNBR outside the perimeter", "spread", "median chip, interquartile range / 1.35"),
        ("share above 0.1 outside the perimeter", "above", "median chip"),
    ):
        mine = [getattr(outside, key) for outside in simulated.outside]
        others = [getattr(outside, key) for outside in real.outside] if real else []
        means = f"mean {np.mean(mine):.3f}" + (f", real {np.mean(others):.3f}" if others else "")
        yield Figure(name, float(np.median(mine)), f"{unit}; {means}", float(np.median(others)) if others else None)
    true = [_iou(chip.burned, chip) for chip in simulated.chips if chip.burned is not None]
    low = np.percentile(true, 10)
    yield Figure("median IoU of true burn and perimeter", float(np.median(true)), f"10th percentile {low:.2f}")
    unburned = [1 - float(c.burned[c.perimeter].mean()) for c in simulated.chips if c.burned is not None]
    high = np.percentile(unburned, 90)
    yield Figure("unburned share of a perimeter", float(np.median(unburned)), f"median; ninth decile {high:.2f}")


def map_figures(root: DataRoot) -> Iterator[Figure]:
    """Maps of a demo against perimeters and against what truly burned."""
    scores = score_maps(root)
    if not scores:
        print(f"no maps in {root.path}: run burnscar demo there to have them scored", file=sys.stderr)
        return
    count = f"{len(scores)} maps"
    yield Figure("median IoU of maps with the perimeter", float(np.median([s.perimeter for s in scores])), count)
    yield Figure("median IoU of maps with the true burn", float(np.median([s.burned for s in scores])), count)
    pairs = [score.over_dnbr for score in scores if score.over_dnbr is not None]
    if pairs:
        ours, beside = (float(np.mean(ious)) for ious in zip(*((p.model, p.beside) for p in pairs), strict=True))
        unit = f"IoU with the true burn, mean over {len(pairs)} fires: maps {ours:.3f}, dNBR {beside:.3f}"
        yield Figure("maps less dNBR > 0.1", float(np.mean([pair.gain for pair in pairs])), unit)


def draw_demo(fire_years: range) -> list[Chip]:
    """Chips of the demo's fires of some years, each fire once."""
    demo, splits, scale = DemoSettings(), SplitSettings(), DEFAULT_SCALE
    regions = choose_regions(splits, demo.fires_per_year, scale.granule_m, scale.fires_a_region)
    fires = simulate_fires(demo.seed, regions, list(fire_years), demo.fires_per_year)
    scenes = season_scenes(demo.seed, regions, fires, fire_years)
    granules = tuple(granule for region in regions for granule in region.granules)
    return list({chip.name: chip for chip in simulated_chips(demo.seed, granules, fires, scenes)}.values())


def _iou(found: np.ndarray, chip: Chip) -> float:
    return iou(found, chip.perimeter, np.isfinite(chip.dnbr))


def _outside(chip: Chip) -> Outside:
    dnbr = chip.dnbr[np.isfinite(chip.dnbr) & ~chip.perimeter]
    first, middle, third = np.percentile(dnbr, [25, 50, 75])
    return Outside(float(middle), float(third - first) / 1.35, float((dnbr > 0.1).mean()))


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="data root of a demo, whose maps are scored too")
    parser.add_argument("--quick", action="store_true", help="two years, no real fires, to see that it works")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
    report = Report()
    simulated = Stage(draw_demo(QUICK_YEARS if options.quick else DEMO_YEARS))
    real = None
    if not options.quick and REAL_CHIPS.is_dir():
        real = Stage(real_chips(REAL_CHIPS))
    elif not options.quick:
        print(f"real fires not found at {REAL_CHIPS}: simulated ones alone are measured", file=sys.stderr)
    for figure in figures(simulated, real):
        report.add(figure)
    if options.root:
        for figure in map_figures(DataRoot(options.root.resolve())):
            report.add(figure)
    report.show("stage: simulated fires beside real ones")
    return int(bool(report.missed()) and not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
