"""A map's folder: rasters, outlines, STAC item and, last of all, `map.json` with figures and provenance."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import StorageError
from burnscar_assets.evaluation.rules import MapRules
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.ground import REFUSED_SCAR, WITHOUT_ANSWER, Ground
from burnscar_assets.mapping.mosaic import NO_SCENE, Validity
from burnscar_assets.mapping.scenes import ImageFacts, SceneFacts
from burnscar_assets.mapping.severity import classify, severity_ha
from burnscar_assets.mapping.spec import MAP_FILE, MapSpec, MapTask
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.publish import rasters
from burnscar_assets.publish.aoi import polygons_of
from burnscar_assets.publish.area import FireRates, rates_of_fires
from burnscar_assets.publish.figures import (
    Counts,
    agreement_figures,
    area_figures,
    coverage,
    ground_figures,
    reliability_figures,
    severities,
)
from burnscar_assets.publish.map_scars import MapScars
from burnscar_assets.publish.polygons import polygons_by_blocks, write_polygons
from burnscar_assets.publish.rasters import BlockStore, MadeBlock, Raster, RasterWriter, empty_block
from burnscar_assets.publish.reference import MapSample, SampledMap
from burnscar_assets.publish.stac import ITEM_FILE, map_item
from burnscar_assets.sensors.indices import dnbr, nbr
from burnscar_assets.storage.atomic import atomic_folder, read_json, storage_errors, write_json
from burnscar_assets.storage.hashing import hash_file, hash_json

FORMAT: Final = 8
"""Raised when the same inputs come to give another folder."""

NO_OFFSET: Final = (
    "severity is of the ground that the map calls burned, and no offset for season and haze is taken off dNBR: without "
    "a perimeter no ground is known to be unburnt"
)

OF_AREAS: Final = (
    "errors of fires' maps don't hold for an area of interest; to estimate its area, draw a sample of points on this "
    "map, look at them, and give them with --reference"
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SWIR, _NIR = rasters.AFTER.bands.index("swir2"), rasters.AFTER.bands.index("nir")


@dataclass(frozen=True)
class MapInputs:
    """Everything that a map follows from.

    `judged` are the (height, width) pixels that agreement and reliability count; without it, all with an answer.
    """

    task: MapTask
    spec: MapSpec
    frame: Frame
    manifest: CheckpointManifest
    rules: MapRules
    images: ImageFacts
    ground: Ground | None
    boxes: tuple[Box, ...]
    sample: MapSample | None = None
    judged: npt.NDArray[np.bool_] | None = None

    @cached_property
    def digest(self) -> str:
        """Hash of all of it but of where it lies."""
        task = self.task.model_dump(mode="json", exclude={"folder", "work"})
        settings = {name: value for name, value in self.spec.settings.decisive().items() if name != "reference"}
        how = [settings, self.spec.size_px, self.spec.confidence, self.spec.setup]
        images = [[[s.name, s.acquired.isoformat(), s.baseline] for s in some] for some in self.images[:2]]
        known = [
            self.rates if isinstance(self.rates, str) else self.rates.identity,
            None if self.sample is None else self.sample.digest,
            None if (of := self.ground) is None else [part.wkb_hex for part in (of.seen, of.other_burns, of.old_scars)],
            None if self.judged is None else hashlib.sha256(np.packbits(self.judged).tobytes()).hexdigest(),
        ]
        place = [self.frame.epsg, self.frame.resolution_m, self.frame.box.bounds, [box.bounds for box in self.boxes]]
        rules = [self.rules.slope, self.rules.intercept, self.rules.threshold, self.rules.scar_bound, self.rules.note]
        judge = [self.manifest.weights_sha256, rules, self.spec.simulated, self.spec.sensor.digest()]
        return hash_json([FORMAT, task, how, images, self.images.pixels, known, place, judge])

    @cached_property
    def rates(self) -> FireRates | str:
        """What the area is corrected by, or in words why it is not; rates of fires hold for no other area."""
        return OF_AREAS if self.task.fire_id is None else rates_of_fires(self.rules.errors)

    @property
    def simulated(self) -> bool:
        """Whether imagery or perimeter is simulated."""
        return self.spec.simulated or self.task.simulated_perimeter


def is_whole(folder: Path, digest: str) -> bool:
    """Whether a folder is the map of these inputs, with all its files as they were written."""
    record = read_json(folder / MAP_FILE)
    return record.get("inputs_sha256") == digest and not damaged_files(folder, record)


def damaged_files(folder: Path, record: dict[str, Any]) -> list[str]:
    """Names of a map's files that are missing or not what `map.json` says."""
    files = record.get("files") or {}
    return [
        name
        for name, sha256 in sorted(files.items())
        if not (folder / name).is_file() or hash_file(folder / name) != sha256
    ]


def write_map(inputs: MapInputs, store: BlockStore, work: Path) -> dict[str, Any]:
    """Put a map's folder together from its blocks; returns what `map.json` says.

    Raises:
        StorageError: it can't be written, or a block has vanished; the folder that was there stays.
    """
    task = inputs.task
    plain = work / "rasters"
    with storage_errors(plain):
        shutil.rmtree(plain, ignore_errors=True)
        plain.mkdir(parents=True)
    try:
        with atomic_folder(task.folder) as new:
            record = _Writer(inputs, store, plain).write(new)
            record["files"] = {path.name: hash_file(path) for path in sorted(new.iterdir())}
            write_json(new / ITEM_FILE, map_item(record, inputs.frame, new, task.folder))
            record["files"][ITEM_FILE] = hash_file(new / ITEM_FILE)
            write_json(new / MAP_FILE, record)
    finally:
        shutil.rmtree(plain, ignore_errors=True)
    return record


class _Writer:
    """Writes the files of one map but the item and `map.json`."""

    def __init__(self, inputs: MapInputs, store: BlockStore, plain: Path) -> None:
        self._inputs, self._store, self._plain = inputs, store, plain
        self._frame, self._task = inputs.frame, inputs.task
        self._counts = Counts()
        self._used: set[int] = set()
        shape = inputs.frame.shape if self._task.fire_id else (0, 0)
        self._burned = np.full(shape, NO_ANSWER, np.uint8)
        self._answered = np.full(shape, -1, np.float32)
        self._change = np.full(shape, np.nan, np.float32) if self._task.fire_id and inputs.images.before else None
        self._is_scar = np.zeros(shape, bool)
        self._severity_ha: dict[str, float] = {}
        self._sampled = None if inputs.sample is None else SampledMap(inputs.sample)
        parts = ((block, self._inside(box)) for box, block in (self._blocks() if inputs.images.before else ()))
        pixel_ha, has_red = inputs.frame.pixel_ha, inputs.spec.sensor.has("red")
        self._scars = MapScars(inputs.rules.scar_bound, parts, pixel_ha, has_red=has_red)

    def write(self, folder: Path) -> dict[str, Any]:
        """Write rasters and outlines; returns the record without `files`."""
        tags = {"SIMULATED": "yes"} if self._inputs.simulated else {}
        severity: dict[str, Any] = {}
        with RasterWriter(self._plain, self._frame, tags).writing() as writer:
            for box, block in self._blocks():
                self._write_block(writer, box, block)
            if self._change is not None:
                classes, severity = severities(self._change, self._perimeter_pixels(), self._frame)
                change = np.where(np.isnan(self._change), np.float32(rasters.DNBR.nodata or 0), self._change)
                writer.write(rasters.DNBR, self._frame.box, change)
                writer.write(rasters.SEVERITY, self._frame.box, classes)
        writer.finish(folder)
        self._write_outlines(folder)
        return self._record({"severity_ha": self._severity_ha or None, "dnbr_offset": None} | severity)

    def _blocks(self) -> Iterator[tuple[Box, MadeBlock]]:
        mapped = set(self._inputs.boxes)
        for box in self._frame.blocks(self._inputs.spec.settings.block_px):
            block = self._store.read(box) if box in mapped else empty_block(box)
            if block is None:
                raise StorageError(f"a finished block of {self._task.title} is gone: run the same again")
            yield box, block

    def _write_block(self, writer: RasterWriter, box: Box, block: MadeBlock) -> None:
        inputs, task = self._inputs, self._task
        inside = self._inside(box)
        ground = None if inputs.ground is None or inputs.ground.is_empty else inputs.ground.codes(self._frame, box)
        validity = np.where(inside, block.validity, Validity.NO_DATA).astype(np.uint8)
        answered = np.where(inside, block.probability, np.float32(-1))
        probability = inputs.rules.calibrate(answered)
        known = (probability >= 0) & (validity == Validity.VALID)
        if task.fire_id and ground is not None:
            known &= ~np.isin(ground, WITHOUT_ANSWER)
        scars = self._scars.of(block)
        burned = np.where(known, inputs.rules.burnt(answered, scars), NO_ANSWER).astype(np.uint8)
        refused = known & (probability > inputs.rules.threshold) & (burned != 1)
        days = np.array([(scene.acquired - _EPOCH).days for scene in inputs.images.after] + [0], np.uint16)
        acquired = np.where(inside, days[block.scene], 0).astype(np.uint16)
        planes: dict[Raster, npt.NDArray[Any]] = {
            rasters.PROBABILITY: probability,
            rasters.BURNED: burned,
            rasters.ACQUIRED: acquired,
            rasters.VALIDITY: validity,
            self._named(rasters.AFTER): block.after,
        }
        if ground is not None or scars is not None:
            planes[rasters.GROUND] = np.where(refused, REFUSED_SCAR, 0 if ground is None else ground).astype(np.uint8)
        for raster, pixels in planes.items():
            writer.write(raster, box, pixels)
        self._counts.add(burned, validity, ground, inside)
        self._scars.count(refused)
        if self._sampled is not None:
            self._sampled.look(box, self._frame, burned)
        self._used |= set(np.unique(block.scene[inside]).tolist()) - {NO_SCENE}
        if task.fire_id:
            place = box.slices_in(self._frame.box)
            self._burned[place], self._answered[place] = burned, np.where(known, answered, np.float32(-1))
            self._is_scar[place] = False if scars is None else scars
            if self._change is not None and block.before.size:
                writer.write(self._named(rasters.BEFORE), box, block.before)
                self._change[place] = _change(block)
        elif block.before.size:
            change = np.where(inside, _change(block), np.float32(np.nan))
            self._write_change(writer, box, block, change, burned == 1)

    def _inside(self, box: Box) -> npt.NDArray[np.bool_]:
        task = self._task
        return np.ones((box.height, box.width), bool) if task.fire_id else self._frame.covers(task.geometry, box)

    def _named(self, raster: Raster) -> Raster:
        """A raster of the image with its bands as the sensor calls them."""
        return replace(raster, bands=self._inputs.spec.sensor.shown)

    def _write_change(
        self,
        writer: RasterWriter,
        box: Box,
        block: MadeBlock,
        change: npt.NDArray[np.float32],
        burned: npt.NDArray[np.bool_],
    ) -> None:
        """Severity of a block of an area of interest, where no perimeter tells which ground is unburnt."""
        classes = classify(change)
        writer.write(self._named(rasters.BEFORE), box, block.before)
        writer.write(rasters.DNBR, box, np.where(np.isnan(change), np.float32(rasters.DNBR.nodata or 0), change))
        writer.write(rasters.SEVERITY, box, classes)
        for name, area_ha in severity_ha(classes, self._frame.pixel_ha, burned).items():
            self._severity_ha[name] = self._severity_ha.get(name, 0.0) + area_ha

    def _write_outlines(self, folder: Path) -> None:
        settings = self._inputs.spec.settings
        polygons = polygons_by_blocks(
            folder, self._frame, settings.block_px, min_area_ha=settings.min_area_ha, min_hole_ha=settings.min_hole_ha
        )
        perimeter = gpd.GeoSeries([self._task.geometry], crs=GEOGRAPHIC_CRS) if self._task.fire_id else None
        write_polygons(polygons, folder, perimeter=perimeter, simulated=self._inputs.simulated)

    def _record(self, severity: dict[str, Any]) -> dict[str, Any]:
        inputs, task, spec, counts = self._inputs, self._task, self._inputs.spec, self._counts
        area, sample, notes = area_figures(counts, self._frame, inputs.rates, self._sampled, spec.confidence)
        rules = inputs.rules
        agreement = reliability = None
        if task.fire_id:
            judged = np.True_ if inputs.judged is None else inputs.judged
            burned = np.where(judged, self._burned, NO_ANSWER).astype(np.uint8)
            answered = np.where(judged, self._answered, np.float32(-1))
            agreement = agreement_figures(burned, rules.calibrate(answered), self._frame, self._perimeter())
            meant = np.where(self._is_scar, np.float32(-1), answered)
            reliability = reliability_figures(meant, self._perimeter_pixels(), self._frame, rules)
        return {
            "fire_id": task.fire_id,
            "fire_name": task.title if task.fire_id else None,
            "fire_year": task.fire_year,
            "aoi_name": None if task.fire_id else task.title,
            "start": f"{task.start:%Y-%m-%d}",
            "end": f"{task.end - timedelta(seconds=1):%Y-%m-%d}",
            "source": task.source,
            "perimeter_producer": None if task.perimeter_producer is None else task.perimeter_producer.model_dump(),
            "simulated": inputs.simulated,
            "crs": f"EPSG:{self._frame.epsg}",
            "transform": list(self._frame.transform)[:6],
            "shape": list(self._frame.shape),
            "resolution_m": self._frame.resolution_m,
            "imagery": spec.sensor.told(),
            "setup": spec.setup,
            "checkpoint": {
                "fire_year": spec.checkpoint_year,
                "weights_sha256": inputs.manifest.weights_sha256,
                "notice": inputs.manifest.notice,
            },
            "trained_on_fire_years": list(inputs.manifest.fire_years),
            "data_versions": spec.data_versions,
            "scenes": [_described(inputs.images.after[number]) for number in sorted(self._used)],
            "scenes_before": [_described(scene) for scene in inputs.images.before],
            "threshold": rules.threshold,
            "calibration": {"slope": rules.slope, "intercept": rules.intercept, "fixed_on": rules.fixed_on},
            **coverage(counts),
            "area_ha": asdict(area),
            "sample": sample,
            "agreement": agreement,
            "reliability": reliability,
            **severity,
            "ground": None if inputs.ground is None else ground_figures(counts, self._frame),
            "old_scars": self._scars.figures(),
            "notes": [
                *notes,
                *self._rules_notes(),
                *self._ground_notes(),
                *self._scars.notes(),
                *self._severity_notes(),
            ],
            "inputs_sha256": inputs.digest,
        }

    def _rules_notes(self) -> list[str]:
        rules = self._inputs.rules
        return [f"threshold and temperature are those of {rules.fixed_on}: {rules.note}"] if rules.note else []

    def _ground_notes(self) -> list[str]:
        counts, fire = self._counts, self._task.fire_id
        if self._inputs.ground is None:
            return ["what ground the checkpoint was trained on is not known here"]
        found = ground_figures(counts, self._frame)
        left_out = "it has no answer there" if fire else "figures count it all the same"
        scars = f"figures count it, and {found['old_scars_mapped_ha']:,.1f} ha of it are mapped burnt"
        told = {
            "seen": f"is ground that the checkpoint was trained on: {left_out}",
            "other_burns": f"burned otherwise in the season: {left_out}",
            "old_scars": f"lies outside the perimeter and burned in an earlier season: {scars}",
        }
        return [f"{found[name]:.1%} of the area {what}" for name, what in told.items() if found[name]]

    def _severity_notes(self) -> list[str]:
        """What a reader must know of severity in an area of interest."""
        if self._task.fire_id or self._task.before is None:
            return []
        lacking = "no image from before the fire was found: severity is not known"
        return [NO_OFFSET if self._inputs.images.before else lacking]

    def _perimeter(self) -> shapely.Geometry:
        """The official perimeter in the map's CRS."""
        return polygons_of(project(self._task.geometry, GEOGRAPHIC_CRS, f"EPSG:{self._frame.epsg}"))

    def _perimeter_pixels(self) -> npt.NDArray[np.bool_]:
        return self._frame.covers(self._task.geometry, self._frame.box)


def _change(block: MadeBlock) -> npt.NDArray[np.float32]:
    """Change of NBR where both images show the ground, else NaN."""
    change = dnbr(*(nbr(image[_NIR], image[_SWIR]) for image in (block.before, block.after)))
    clear = block.before_clear & (block.validity == Validity.VALID)
    return np.where(clear, change, np.float32(np.nan))


def _described(scene: SceneFacts) -> dict[str, str]:
    return {"item": scene.name, "acquired": scene.acquired.isoformat(), "baseline": scene.baseline}
