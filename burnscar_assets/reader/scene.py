"""All windows' shares of one scene: which batches they are read in, and what each batch reads of each file."""

import threading
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import rasterio

# Loaded only where tiles are made, which takes rslearn in any case.
from rasterio.enums import Resampling
from rslearn.config import BandSetConfig  # noqa: TID253
from rslearn.data_sources import Item  # noqa: TID253
from rslearn.utils.geometry import Projection  # noqa: TID253

from burnscar_assets.errors import InputError
from burnscar_assets.reader.cells import STEP, Cell, CellStore, FileWork, Need, Rectangle, failure_at, fetch, is_broken
from burnscar_assets.reader.files import UNREADABLE, Header, ImageFile, Patience, failure_of
from burnscar_assets.reader.fitting import Fitting, sample_pixels, sampled_bands
from burnscar_assets.reader.grids import IntArray, Way, boxes, way_of
from burnscar_assets.reader.origin import Bands, Origin, corrected
from burnscar_assets.reader.pixels import equals_nodata
from burnscar_assets.reader.request import Failure
from burnscar_assets.reader.resample import Cutter, Pixels, Region, Share, warp_from, warp_masked
from burnscar_assets.sensors.sensor import Sensor

STRIP_PX = 512
"""Windows are read in strips of this height, from west to east in each, so that few cells are held for the next."""

Key = tuple[int, int, int, int]
"""A window's number, its group's, its band set's, and the scene's in the group."""


@dataclass
class Batch:
    """Windows of a scene that are read together.

    Attributes:
        start, end: their range in the scene's order.
        reads: what is read of each file.
        drops: cells that no later batch needs, of each file.
        new_bytes, freed_bytes: memory that it takes, and gives back when it is done.
        stack: (windows, bands, height, width), if all are of one size.
        pixels: (bands, height, width) of each window.
        regions: what files gave to each.
        failures: why a window has none.
    """

    scene: "Scene"
    start: int
    end: int
    reads: list[list[Rectangle]]
    drops: list[list[Cell]]
    new_bytes: int
    freed_bytes: int
    stack: Pixels | None = None
    pixels: list[Pixels] = field(default_factory=list)
    regions: list[list[Region]] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def last(self) -> bool:
        """Whether it is the scene's last."""
        return self.end == len(self.scene.keys)

    def prepare(self) -> None:
        """Make room for the windows, if there is none yet."""
        with self.lock:
            if not self.regions:
                self._make_room()

    def _make_room(self) -> None:
        scene = self.scene
        known = 0 if scene.nodata is None else scene.nodata
        dtype = scene.dtype
        bands = len(scene.band_set.bands)
        sizes = scene.bounds[self.start : self.end, 2:] - scene.bounds[self.start : self.end, :2]
        self.regions = [[] for _ in range(self.start, self.end)]
        if len(sizes) and (sizes == sizes[0]).all():
            width, height = sizes[0].tolist()
            self.stack = np.full((len(sizes), bands, height, width), known, dtype)
            self.pixels = list(self.stack)
        else:
            self.pixels = [np.full((bands, height, width), known, dtype) for width, height in sizes.tolist()]

    def shares(self) -> list[tuple[Key, Share | None, Failure | None]]:
        """What came of each window: its share, or why there is none."""
        return [
            (key, None if place in self.failures else Share(self.pixels[place], self.regions[place]),
             self.failures.get(place))
            for place, key in enumerate(self.scene.keys[self.start : self.end])
        ]  # fmt: skip


class Scene:
    """One scene, for one band set, in one projection."""

    def __init__(
        self,
        item: Item,
        band_set: BandSetConfig,
        projection: Projection,
        nodata: float | None,
        resampling: Resampling,
        sensor: Sensor,
    ) -> None:
        self.item = item
        self.band_set = band_set
        self.projection = projection
        self.nodata = nodata
        self.resampling = resampling
        self.dtype = np.dtype(band_set.dtype.get_numpy_dtype())
        self.sensor = sensor
        of_sensor = set(band_set.bands) <= set(sensor.names)
        self.is_judged = self.dtype.kind in "iu" and self.dtype.itemsize > 1 and of_sensor
        self.keys: list[Key] = []
        self.bounds: IntArray = np.zeros((0, 4), dtype=np.int64)
        self.files: list[FileWork] = []
        self._rows: list[tuple[int, int, int, int]] = []

    def add(self, key: Key, bounds: tuple[int, int, int, int]) -> None:
        """Have the scene read for a window."""
        self.keys.append(key)
        self._rows.append(bounds)

    def sort(self) -> None:
        """Put the windows in the order in which they are read."""
        bounds = np.asarray(self._rows, dtype=np.int64).reshape(-1, 4)
        order = np.lexsort((bounds[:, 0], (bounds[:, 1] - bounds[:, 1].min()) // STRIP_PX))
        self.bounds = bounds[order]
        self.keys = [self.keys[place] for place in order]
        self._rows = []

    def open(self, origin: Origin, bands: Bands, patience: Patience, is_known: bool = False) -> FileWork:
        """Open one of the scene's files; one that can't be has its failure set.

        Args:
            origin: where the file is.
            bands: of the file.
            patience: tries again.
            is_known: whether the scene's radiometry is known already.

        Raises:
            SourceUnavailableError: the archive does not answer.
            InputError: the offset of its pixels is unknown.
        """
        file = ImageFile(lambda: origin.address(self.item, bands[0]), patience, origin.hosts)
        work = FileWork(file, bands, self.bounds, np.ones(len(self.bounds), dtype=np.bool_))
        try:
            footprint = np.asarray(patience.attempt(lambda: origin.footprint(self.item, bands[0], self.projection)))
            work.bounds = np.hstack(
                [np.maximum(self.bounds[:, :2], footprint[:2]), np.minimum(self.bounds[:, 2:], footprint[2:])]
            )
            work.meets = np.all(work.bounds[:, :2] < work.bounds[:, 2:], axis=1)
            if not work.meets.any():
                return work
            work.header = header = file.open()
            work.fitting = self._fitting(header)
            is_fixed = self.sensor.radiometry.rule == "fixed"
            if self.is_judged and not is_fixed and not (is_known and header.tells_its_unit):
                self._gather(work, work.fitting, origin, patience)
            if not self.is_judged:
                work.correction = patience.attempt(lambda: origin.correction(self.item, bands[0]))
            work.times = origin.times(self.item, bands[0])
            self._plan(work, work.fitting.header(header))
        except UNREADABLE as error:
            work.failure = failure_of(self.item.name, error)
        return work

    def look(self, origin: Origin, bands: Bands, patience: Patience) -> FileWork:
        """What the radiometry of the scene is told by, from one of its files, which is closed again.

        Nothing is read for windows. A file that can't be read has its failure set.

        Raises:
            SourceUnavailableError: the archive does not answer.
        """
        file = ImageFile(lambda: origin.address(self.item, bands[0]), patience, origin.hosts)
        work = FileWork(file, bands, self.bounds, np.ones(0, dtype=np.bool_))
        try:
            work.header = file.open()
            work.fitting = self._fitting(work.header)
            self._gather(work, work.fitting, origin, patience)
        except (*UNREADABLE, InputError) as error:
            work.failure = failure_of(self.item.name, error)
        finally:
            file.close()
        return work

    def _fitting(self, header: Header) -> Fitting:
        """What a file needs; one of the sensor's that names no value without data has the sensor's."""
        silent = self.is_judged and header.nodata is None and self.sensor.nodata != self.nodata
        known = replace(header, nodata=self.sensor.nodata) if silent else header
        is_fixed = self.is_judged and self.sensor.radiometry.rule == "fixed"
        return Fitting.of(known, self.dtype, self.nodata, self.is_judged, trusted=is_fixed)

    def _gather(self, work: FileWork, fitting: Fitting, origin: Origin, patience: Patience) -> None:
        """Take what the radiometry of the scene is told by, if the file has bands that tell it."""
        work.statements = patience.attempt(lambda: origin.statements(self.item, work.bands[0]))
        wanted = sampled_bands(self.sensor, self.band_set.bands)
        _, sources, targets = work.bands
        for source_band, target in zip(sources, targets, strict=True):
            if (band := self.band_set.bands[target]) in wanted:
                work.samples[band] = work.file.use(partial(sample_pixels, fitting=fitting, band=source_band))

    def _plan(self, work: FileWork, header: Header) -> None:
        way = way_of(header, self.projection, self.resampling)
        inside = np.where(work.meets[:, None], work.bounds, self.bounds)
        work.boxes = boxes(way, inside, header, self.projection, self.resampling)
        work.cutter = Cutter(way, header, CellStore(header), self.projection, self.resampling)

    def forget(self) -> None:
        """Let go of what was needed to read the scene."""
        self.files = []
        self.keys = []
        self.bounds = self.bounds[:0]

    def batches(self, most_bytes: int) -> list[Batch]:
        """Cut the scene's windows into batches of so many bytes, about; a few windows are always read together."""
        steps = -(-len(self.keys) // STEP)
        needs = [Need(work, steps) for work in self.files]
        sizes = (self.bounds[:, 2:] - self.bounds[:, :2]).prod(axis=1) * len(self.band_set.bands)
        sizes = sizes * self.dtype.itemsize
        grown = np.add.reduceat(sizes, np.arange(0, len(sizes), STEP))
        for need in needs:
            grown += need.bytes_by_step
        number = np.zeros(steps, dtype=np.int64)
        held = 0
        for step in range(steps):
            held += grown[step]
            full = step and held > most_bytes
            number[step] = number[step - 1] + 1 if full else (number[step - 1] if step else 0)
            held = grown[step] if full else held
        plans = [need.plan(number) for need in needs]
        result = []
        for batch in range(int(number[-1]) + 1):
            chosen = np.flatnonzero(number == batch)
            start, end = int(chosen[0]) * STEP, min((int(chosen[-1]) + 1) * STEP, len(self.keys))
            reads, drops, taken, freed = (
                zip(*(plan[batch] for plan in plans), strict=True) if plans else ((), (), (), ())
            )
            own = int(sizes[start:end].sum())
            result.append(Batch(self, start, end, list(reads), list(drops), own + sum(taken), own + sum(freed)))
        return result

    def read(self, batch: Batch, number: int) -> None:
        """Read what a batch, after those before it, needs of the file of a number, and cut its windows."""
        batch.prepare()
        work = self.files[number]
        if work.cutter is not None and not work.failure:
            for rectangle in batch.reads[number]:
                fetch(work, rectangle, self.item.name)
        for group in _groups(work, batch):
            self._cut(number, batch, group)
        if work.cutter is not None:
            work.cutter.cells.drop(batch.drops[number])
        if batch.last:
            work.file.close()

    def _cut(self, number: int, batch: Batch, chosen: list[int]) -> None:
        """Cut windows whose parts within the file are of one size."""
        work = self.files[number]
        cutter = work.cutter
        checked = work.failure or is_broken(work)
        failures = {place: why for place in chosen if (why := failure_at(work, place))} if checked else {}
        whole = [place for place in chosen if place not in failures]
        with batch.lock:
            batch.failures.update({place - batch.start: why for place, why in failures.items()})
        if cutter is None or work.fitting is None or not whole:
            return
        try:
            if cutter.way is Way.FROM_FILE:
                pixels = np.stack([self._from_file(work, place) for place in whole])
            else:
                pixels = cutter.cut(work.bounds[whole], work.boxes[whole].tolist())
            pixels = work.fitting.fit(corrected(pixels, work.correction), work.conversion)
        except UNREADABLE as error:
            failure = failure_of(self.item.name, error)
            with batch.lock:
                batch.failures.update(dict.fromkeys((place - batch.start for place in whole), failure))
            return
        self._lay(number, batch, np.asarray(whole), pixels)

    def _lay(self, number: int, batch: Batch, places: IntArray, pixels: Pixels) -> None:
        """Lay what a file has of windows into them."""
        work = self.files[number]
        _, sources, targets = work.bands
        height, width = pixels.shape[2:]
        offsets = work.bounds[places, :2] - self.bounds[places, :2]
        if batch.stack is not None and batch.stack.shape[2:] == (height, width):
            region = Region(number, slice(0, height), slice(0, width), targets, work.times)
            for source_band, target_band in zip(sources, targets, strict=True):
                batch.stack[places - batch.start, target_band] = pixels[:, source_band]
            for place in (places - batch.start).tolist():
                batch.regions[place].append(region)
            return
        for place, window, (left, top) in zip((places - batch.start).tolist(), pixels, offsets.tolist(), strict=True):
            region = Region(number, slice(top, top + height), slice(left, left + width), targets, work.times)
            target = batch.pixels[place][:, region.rows, region.columns]
            for source_band, target_band in zip(sources, targets, strict=True):
                target[target_band] = window[source_band]
            batch.regions[place].append(region)

    def _from_file(self, work: FileWork, place: int) -> Pixels:
        left, top, right, bottom = work.bounds[place].tolist()
        header, fitting = work.header, work.fitting
        assert header is not None  # noqa: S101 - files that could not be opened are not read
        assert fitting is not None  # noqa: S101 - likewise

        def read(source: rasterio.DatasetReader) -> Pixels:
            box = (left, top, right, bottom)
            if header.masked:
                return fitting.clean(warp_masked(source, self.projection, box, self.resampling, fitting.fill))
            pixels = without(source, box, fitting.fill)
            second = fitting.second_value(header)
            if second is None or self.resampling is Resampling.nearest:
                return fitting.clean(pixels)
            # Numbers may be interpolated to the layer's value: another look tells which of them have data.
            return np.where(
                equals_nodata(without(source, box, second), second), header.dtype.type(fitting.fill), pixels
            )

        def without(source: rasterio.DatasetReader, box: tuple[int, int, int, int], nodata: float | None) -> Pixels:
            extras = {} if nodata == header.nodata else {"src_nodata": nodata, "nodata": nodata}
            return warp_from(source, self.projection, box, self.resampling, **extras)

        return work.file.use(read)


def _groups(work: FileWork, batch: Batch) -> list[list[int]]:
    """Windows of a batch that meet a file, by the size of their part in it."""
    places = np.flatnonzero(work.meets[batch.start : batch.end]) + batch.start
    sizes = work.bounds[places, 2:] - work.bounds[places, :2]
    if not len(sizes):
        return []
    if (sizes == sizes[0]).all():
        return [places.tolist()]
    _, kind = np.unique(sizes, axis=0, return_inverse=True)
    return [places[kind == number].tolist() for number in range(int(kind.max()) + 1)]
