"""How well the default maps beside what is simple: paired gains over held-out fires, simulated and real.

`python benchmarks/maps.py` makes a simulated world with the demo's fires in 5 folds, so that about fifty fires are held
out once, trains the default of `demo.yaml`, which is the set-up that maps, and the set-up `tutorial` with three seeds,
and runs `burnscar study` on the fires of `../shared/data/imagery/california_fires`; where these are absent it says so.
The protocol stands in `docs/evaluation.md`. `--root` keeps what was made, so that a second call measures alone;
`--data` names the data root of a study that was run. `--protocols` instead prints how the same model looks by four
protocols, of the finished world that `--data` names: of blocks, as `burnscar demo` makes it, or of folds.
"""

import argparse
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kit.figures import Bar, Figure, Report
from kit.fold_world import Training, by_name, judged_year, make_fold_world, open_world
from kit.gains import Gain, judged_maps, over_baseline, over_setup, unflagged
from kit.inner_choice import CHOSEN, choose
from kit.judging import Judging, judge_again, truly_burned
from kit.measure import environment, run
from kit.protocols import by_protocols
from kit.world import Size

from burnscar_assets.comparison.maps import MapField
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.demo.world import Scale
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.orchestration.assets.model import evaluation_spec
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import EvaluationSettings, load_settings
from burnscar_assets.setups import load_setup
from burnscar_assets.storage.contracts import MAP_SCORES
from burnscar_assets.storage.paths import OWN, DataRoot
from burnscar_assets.storage.tables import write_table

REAL_FIRES = Path(__file__).parents[2] / "shared" / "data" / "imagery" / "california_fires"
TUTORIAL = "tutorial"
DNBR, LESS_MODE, NBR = "dnbr", "dnbr_less_mode", "nbr"
GALILEO, RANDOM = "galileo", "galileo-random"


@dataclass(frozen=True)
class Scope:
    """How much is measured."""

    world: Size
    training: Training


FULL = Scope(Size(2019, 2022, fires_per_year=12), Training(5, (0, 1, 2), {}))
QUICK = Scope(
    Size(2019, 2020, fires_per_year=7, scale=Scale(granule_m=5400, fires_a_region=2.5)),
    Training(3, (0, 1), {"max_epochs": 1}),
)


def simulated_figures(world: World, folder: Path) -> Iterator[Figure]:
    """Of a simulated world whose set-ups were judged."""
    settings, year, setups = world.settings.evaluation, judged_year(world), by_name(world)
    default = world.settings.mapping.setup
    beside = judged_maps([setups[OWN], setups[default]], year)  # the world's own has the burn indices
    yield gain_figure(
        "simulated: default less dNBR less the frame's mode",
        over_baseline(beside, default, LESS_MODE, settings),
        Bar(">=", 0.05, shown=True),
    )
    yield gain_figure("simulated: default less the world's own", over_setup(beside, default, OWN, settings))
    both = judged_maps([setups[default], setups[TUTORIAL]], year)
    yield gain_figure(
        "simulated: default less tutorial", over_setup(both, default, TUTORIAL, settings), Bar(">=", 0.1, shown=True)
    )
    yield from judged_again(world, folder, year)


def judged_again(world: World, folder: Path, year: int) -> Iterator[Figure]:
    """The default's maps against what truly burned, and what it costs to judge them."""
    years = [int(key) for key in world.fire_years.get_partition_keys()]
    setups, default, scratch = by_name(world), world.settings.mapping.setup, DataRoot(folder / "true_burn")
    judged: dict[str, list[Judging]] = {}
    with truly_burned(world.root, years):
        for name, seen in ((OWN, [world]), (default, world.mapped.by_seed())):  # the world's own has the burn indices
            judged[name] = [judge_again(evaluation_spec(seeded, year)) for seeded in seen]
    again = []
    for name, seeds in judged.items():
        roots = tuple(scratch.setup(name, number) for number in range(len(seeds)))
        for root, one in zip(roots, seeds, strict=True):
            write_table(root, MAP_SCORES, one.scores, year)
        again.append(replace(setups[name], roots=roots))
    gain = over_baseline(judged_maps(again, year), default, DNBR, world.settings.evaluation)
    yield gain_figure("simulated, true burn: default less dNBR > 0.1", gain, Bar(">=", 0))
    first = judged[default][0]
    yield Figure(
        "judging over the model's arithmetic",
        first.wall_s / first.model_s,
        f"wall {first.wall_s:.1f} s over {first.model_s:.1f} s, {first.scores['frame_id'].nunique()} frames",
        bar=Bar("<=", 1.5),
    )


def real_figures(world: World) -> Iterator[Figure]:
    """Of a study that was run on real fires."""
    settings, year, setups = world.settings.evaluation, judged_year(world), by_name(world)
    after = [one for one in setups.values() if not reads_before(one, year)]
    chosen, maps = chosen_maps(after, world, year)
    yield from _with_and_without_flags("image after", chosen, maps, NBR, settings, Bar(">=", 0, shown=True))
    chosen, maps = chosen_maps([*setups.values()], world, year)
    yield from _with_and_without_flags("before and after", chosen, maps, LESS_MODE, settings, Bar(">=", 0, shown=True))
    if {GALILEO, RANDOM} <= setups.keys():
        pair = judged_maps([setups[OWN], setups[GALILEO], setups[RANDOM]], year)
        yield gain_figure(
            "real: Galileo pretrained less random", over_setup(unflagged(pair), GALILEO, RANDOM, settings)
        )


def chosen_maps(among: list[Contestant], world: World, year: int) -> tuple[str, MapField]:
    """The maps of the set-ups that inner folds chose, and which these are, in words."""
    choice = choose(judged_maps(among, year), among, world.root, year)
    named = ", ".join(f"{choice.setups.count(name)} {name}" for name in dict.fromkeys(choice.setups))
    candidates = ", ".join(one.name for one in among if one.name in choice.field.scores)
    return f"folds chose {named} among {candidates}", choice.field


def reads_before(one: Contestant, year: int) -> bool:
    """Whether a set-up's checkpoints read an image before the fire."""
    return len(load_manifest(one.roots[0].fold(0).checkpoint(year)).every_layer) > 1


def _with_and_without_flags(
    images: str, chosen: str, maps: MapField, baseline: str, settings: EvaluationSettings, bar: Bar
) -> Iterator[Figure]:
    if baseline not in maps.baselines:
        print(f"real fires, {images}: no map of {baseline} is judged, as no image before is there", file=sys.stderr)
        return
    name = f"real, {images}: chosen set-up less {baseline}"
    for which, of, held in (("", unflagged(maps), bar), (", flagged fires too", maps, None)):
        found = over_baseline(of, CHOSEN, baseline, settings)
        yield gain_figure(f"{name}{which}", found, held, chosen)
        yield Figure(f"real, {images}: median IoU{which}", found.medians[0], f"{found.fires} fires")


def gain_figure(name: str, gain: Gain, bar: Bar | None = None, more: str = "") -> Figure:
    """A gain as a figure."""
    unit = gain.described() + (f"; {more}" if more else "")
    return Figure(name, gain.value, unit, bar=bar, interval=gain.interval)


def protocol_figures(world: World, folder: Path) -> Iterator[Figure]:
    """The same model by four protocols; a world with folds has three of them."""
    for one in by_protocols(world, folder):
        ends = None if one.interval is None else (one.interval.low, one.interval.high)
        yield Figure(f"{one.name}: F1 of burnt", one.f1, one.counted, interval=ends)
        yield Figure(f"{one.name}: IoU of burnt", one.iou, one.counted)


def _that_map() -> tuple[str, ...]:
    """The set-up that maps the demo's fires, after its members."""
    name = load_settings(CONFIGS_DIR / "demo.yaml").mapping.setup
    return (*(load_setup(name).members or ()), name)


def run_study(folder: Path) -> DataRoot:
    """`burnscar study` on the real fires; a second call goes on."""
    root = DataRoot(folder / "real")
    root.path.mkdir(parents=True, exist_ok=True)
    given = ("--images", str(REAL_FIRES), "--perimeters", str(REAL_FIRES / "perimeters.geojson"))
    command = ("-m", "burnscar_assets", "study", "--data", str(root.path), *given)
    run(command, environment(None, BURNSCAR_DATA=str(root.path)), root.path / "study.log")
    return root


def measure(options: argparse.Namespace, folder: Path, report: Report) -> None:
    """Measure everything, adding figures to the report as they are known."""
    if options.protocols:
        for figure in protocol_figures(open_world(DataRoot(options.data.resolve())).of(options.setup), folder):
            report.add(figure)
        return
    scope = QUICK if options.quick else FULL
    if options.only != "real":
        setups = (*_that_map(), TUTORIAL)
        world = make_fold_world(DataRoot(folder / "simulated"), scope.world, scope.training, setups)
        for figure in simulated_figures(world, folder):
            report.add(figure)
    if options.quick or options.only == "simulated":
        return
    if options.data is None and not REAL_FIRES.is_dir():
        print(f"real fires not found at {REAL_FIRES}: simulated ones alone are measured", file=sys.stderr)
        return
    study = run_study(folder) if options.data is None else DataRoot(options.data.resolve())
    for figure in real_figures(open_world(study)):
        report.add(figure)


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to work in, which is kept (default: a temporary one)")
    parser.add_argument("--data", type=Path, help="data root of a study that was run, or of the world of --protocols")
    parser.add_argument("--quick", action="store_true", help="a small simulated world, to see that it works")
    parser.add_argument("--only", choices=("simulated", "real"), help="one part of it (default: both)")
    parser.add_argument("--protocols", action="store_true", help="the same model by four protocols, of --data")
    parser.add_argument("--setup", help="whose model, a network's (default: the world's own)")
    options = parser.parse_args()
    if options.protocols and options.data is None:
        parser.error("--protocols is of a world that was made: name its data root with --data")
    warnings.filterwarnings("ignore")
    report = Report()
    folder = (options.root or Path(tempfile.mkdtemp(prefix="burnscar-maps-"))).resolve()
    try:
        measure(options, folder, report)
    finally:
        if options.root is None:
            shutil.rmtree(folder, ignore_errors=True)
    report.show("maps: one model by four protocols" if options.protocols else "maps: paired gains over held-out fires")
    return int(bool(report.missed()) and not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
