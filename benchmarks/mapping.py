"""What a map costs: ours beside `rslearn model predict` on the same windows, with the same model.

`python benchmarks/mapping.py` makes a simulated scene and a checkpoint of OlmoEarth v1.2 Nano (patch 4), and maps a
square with windows of 32 px that overlap by half. Ours is the whole of it: search, reading the scene, the model, the
map's folder. The peer is given the windows with their pixels on disk, in its default layout, and predicts with the
number of worker processes that serves it best; what it took to get there is not counted. Every run is a process of its
own, start included. The peer's answers, averaged as ours are, must give our map. A smaller square shows whether memory
grows.

100 x 100 km are 390,000 windows: too many to run here; the figures are of the squares that they name.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
import yaml
from kit.bench_place import Measures, Place, open_place, told
from kit.datasets import write_config
from kit.figures import Bar, Figure, Report
from kit.map_windows import BATCH, LATTICE, area_in, frame_of, windows_over
from kit.measure import Cost, adopt_orphans
from kit.scenes import FIRE_YEAR, scenes
from kit.training_runs import Counts, make_dataset, make_spec
from numpy.typing import NDArray

TABLE = "map"
OUTPUT = "output"
PROBABILITY = "probability"


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        scene_px: side of the scene.
        side_km: side of the square that both map.
        small_km: side of the square that ours maps alone.
        workers: processes that load windows which are tried for the peer.
        trained: windows that the checkpoint is trained on.
    """

    scene_px: int
    side_km: float
    small_km: float
    workers: tuple[int, ...]
    trained: Counts


FULL = Size(3000, 24, 8, (0, 2), Counts(64, 32))
QUICK = Size(300, 1, 0.5, (0,), Counts(32, 32))


class Mapping:
    """The benchmark's runs.

    Args:
        place: where to work.
        size: how much.
    """

    def __init__(self, place: Place, size: Size) -> None:
        self._place, self._size = place, size
        self._scene = scenes(place.archive.side_px, 1, 1)[0]
        self._root = place.folder / "world"
        write_config(self._root / "dataset", f"{place.server}/local", packed=True)
        trained = make_dataset(place.folder / "trained", size.trained, packed=True)
        self._spec = make_spec(place.folder, "model", trained, size.trained, 1)
        place.python("-m", "burnscar_assets.models.trainer", self._spec.write(place.folder / "model.json"))

    def figures(self) -> Iterator[Figure]:
        """All figures."""
        side, small = self._size.side_km, self._size.small_km
        area = area_in(self._scene, side * 1000)
        ours, folder = self._ours(area, "ours")
        peers, answers = self._peers(area)
        best = min(peers, key=lambda workers: peers[workers].wall_s)
        thrifty = min(peer.cpu_s for peer in peers.values())
        said = told(ours)
        windows = f"{side:g} x {side:g} km, {said['windows']:.0f} windows, process start included"
        tried = ", ".join(f"{side**2 / peer.wall_s:.3g} with {workers}" for workers, peer in peers.items())
        yield _speed("km2 per second against rslearn predict", side, ours.wall_s, peers[best].wall_s,
                     f"km2 per s of wall, {windows}; peer's workers: {tried}", Bar(">=", 2))  # fmt: skip
        yield _speed("km2 per CPU second", side, ours.cpu_s, thrifty, f"km2 per CPU s, {windows}")
        yield Figure(
            "share of model arithmetic in the time",
            said["model_s"] / said["wall_s"],
            f"of our wall time, modules imported, {windows}",
        )
        mapped = _probability(folder)
        inside = mapped >= 0
        difference = float(np.abs(mapped - self._from_peer(area, answers))[inside].max())
        yield Figure(
            "largest difference of a pixel's probability", difference, f"0-1, {inside.sum()} pixels",
            bar=Bar("<=", 1e-3),
        )  # fmt: skip
        less, _ = self._ours(area_in(self._scene, small * 1000), "small")
        yield _speed(f"km2 per second, {small:g} x {small:g} km", small, less.wall_s, None, "km2 per s of wall")
        mib = [cost.peak_bytes / 2**20 for cost in (ours, less)]
        yield Figure(
            "peak memory of ours, larger over smaller square", mib[0] / mib[1],
            f"MiB resident: {mib[0]:.0f} over {mib[1]:.0f}, for {(side / small) ** 2:g} times the area",
        )  # fmt: skip

    def _ours(self, area: shapely.Geometry, name: str) -> tuple[Cost, Path]:
        """Our map of an area, and where it is."""
        folder = self._place.folder / name
        folder.mkdir()
        wkt = folder / "area.wkt"
        wkt.write_text(shapely.to_wkt(area, rounding_precision=-1), encoding="utf-8")
        day = self._scene.acquired.replace(hour=0, minute=0, second=0, microsecond=0)
        cost = self._place.script(
            "our_map", self._root, self._spec.checkpoint, wkt, day.isoformat(), folder, memory=True
        )
        return cost, folder / "map"

    def _peers(self, area: shapely.Geometry) -> tuple[dict[int, Cost], dict[str, float]]:
        """What predicting took rslearn, by its worker processes, and its answer for each window."""
        rows = windows_over(area, self._scene)
        table = self._place.write_table(TABLE, rows)
        dataset = self._place.our_tiles(table, name="peer", packed=False).dataset
        content = json.loads((dataset / "config.json").read_text(encoding="utf-8"))
        content["layers"][OUTPUT] = {"type": "vector"}
        (dataset / "config.json").write_text(json.dumps(content), encoding="utf-8")
        costs = {workers: self._predict(dataset, workers) for workers in self._size.workers}
        layers = dataset / "windows" / str(FIRE_YEAR)
        return costs, {name: _answer(layers / name / "layers" / OUTPUT) for name in rows["window_id"]}

    def _predict(self, dataset: Path, workers: int) -> Cost:
        """`rslearn model predict` as its users run it."""
        config = yaml.safe_load((self._spec.checkpoint / "model.yaml").read_text(encoding="utf-8"))
        data = config["data"]["init_args"]
        data |= {"path": str(dataset), "batch_size": BATCH, "num_workers": workers, "use_in_memory_dataset": False}
        data["default_config"]["groups"] = [str(FIRE_YEAR)]
        data["task"]["init_args"]["prob_property"] = PROBABILITY
        writer = "rslearn.train.prediction_writer.RslearnWriter"
        in_own_folder = [one for one in config["trainer"]["callbacks"] if one["class_path"].endswith("InOwnFolder")]
        output = {"class_path": writer, "init_args": {"output_layer": OUTPUT}}
        config["trainer"]["callbacks"] = [*in_own_folder, output]
        path = self._spec.checkpoint / "predict.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return self._place.python("-m", "rslearn.main", "model", "predict", "--config", path)

    def _from_peer(self, area: shapely.Geometry, answers: dict[str, float]) -> NDArray[np.float64]:
        """The map that the peer's answers make when they are averaged as ours are."""
        from burnscar_assets.mapping.inference import average, logit

        box = frame_of(area).box
        shape = len(LATTICE.starts(box.top, box.bottom)), len(LATTICE.starts(box.left, box.right))
        logits = logit(np.array(list(answers.values()))).reshape(shape)
        mean, _ = average(logits, np.ones(shape), LATTICE, box)
        return np.asarray(1 / (1 + np.exp(-mean)))


def _speed(name: str, side_km: float, ours_s: float, peer_s: float | None, unit: str, bar: Bar | None = None) -> Figure:
    area = side_km**2
    peer = None if peer_s is None else area / peer_s
    return Figure(name, area / ours_s, unit, peer, None if peer is None else area / ours_s / peer, bar)


def _answer(layer: Path) -> float:
    """Probability of burnt that rslearn wrote for a window."""
    content = json.loads(next(layer.glob("*.geojson")).read_text(encoding="utf-8"))
    return float(content["features"][0]["properties"][PROBABILITY][0])


def _probability(folder: Path) -> NDArray[np.float32]:
    with rasterio.open(folder / "probability.tif") as source:
        return np.asarray(source.read(1))


def main() -> int:
    """Measure and print; 1 if a bar was missed, which says nothing of the small version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to work in (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="a small square, to see that it works")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="burnscar-mapping-", dir=options.root)).resolve()
    size, report = QUICK if options.quick else FULL, Report()
    adopt_orphans()
    try:
        with open_place(folder, Measures(size.scene_px, 1, 1)) as place:
            for figure in Mapping(place, size).figures():
                report.add(figure)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.show("mapping: OlmoEarth v1.2 Nano, patch 4, windows of 32 px at a stride of 16 (simulated), CPU")
    return int(bool(report.missed()) and not options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
