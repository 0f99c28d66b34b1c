"""One file of a scene: what it gives to the scene's windows, and which of its cells they need when."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from burnscar_assets.reader.cells import Cell, Rectangle, cells_of, rectangles
from burnscar_assets.reader.files import UNREADABLE, Header, ImageFile, failure_of
from burnscar_assets.reader.fitting import Fitting
from burnscar_assets.reader.grids import IntArray, Way
from burnscar_assets.reader.origin import Bands, Correction, TimeRange
from burnscar_assets.reader.radiometry import Conversion, Statement
from burnscar_assets.reader.request import Failure
from burnscar_assets.reader.resample import Cutter

STEP = 32
"""Windows by which batches grow."""

LARGEST_READ = 32 << 20
"""Decoded bytes of one read at most, about."""


@dataclass
class FileWork:
    """What one file of a scene gives to the scene's windows; windows are in the scene's order."""

    file: ImageFile
    bands: Bands
    bounds: IntArray
    """(windows, 4) pixel bounds within the file's footprint."""
    meets: npt.NDArray[np.bool_]
    failure: Failure | None = None
    correction: Correction | None = None
    conversion: Conversion | None = None
    times: list[TimeRange] | None = None
    header: Header | None = None
    fitting: Fitting | None = None
    statements: list[Statement] = field(default_factory=list)
    samples: dict[str, np.ma.MaskedArray] = field(default_factory=dict)
    cutter: Cutter | None = None
    boxes: IntArray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int64))


class Need:
    """Which steps of a scene's windows need which cells of a file."""

    def __init__(self, work: FileWork, steps: int) -> None:
        self._steps = steps
        self._cells: IntArray = np.zeros(0, dtype=np.int64)
        self._first = self._last = self._bytes = self._cells
        self.bytes_by_step = np.zeros(steps, dtype=np.int64)
        if work.cutter is None or work.cutter.way is Way.FROM_FILE:
            return
        header = work.cutter.header
        places = np.flatnonzero(work.meets)
        windows, numbers = cells_of(work.boxes[places], header)
        step = places[windows] // STEP
        self._cells, inverse = np.unique(numbers, return_inverse=True)
        self._first = np.full(len(self._cells), steps)
        self._last = np.zeros(len(self._cells), dtype=np.int64)
        np.minimum.at(self._first, inverse, step)
        np.maximum.at(self._last, inverse, step)
        self._wide = -(-header.width // header.cell[1])
        self._cell_bytes = header.cell[0] * header.cell[1] * header.count * header.dtype.itemsize
        np.add.at(self.bytes_by_step, self._first, self._cell_bytes)

    def plan(self, batch_of_step: IntArray) -> list[tuple[list[Rectangle], list[Cell], int, int]]:
        """For each batch: what is read, what is dropped after it, and the bytes of both."""
        count = int(batch_of_step[-1]) + 1
        if not len(self._cells):
            return [([], [], 0, 0)] * count
        first, last = batch_of_step[self._first], batch_of_step[self._last]
        most = max(LARGEST_READ // self._cell_bytes, 1)
        result = []
        for batch in range(count):
            new, done = self._places(first == batch), self._places(last == batch)
            result.append((rectangles(new, most), done, len(new) * self._cell_bytes, len(done) * self._cell_bytes))
        return result

    def _places(self, chosen: npt.NDArray[np.bool_]) -> list[Cell]:
        numbers = self._cells[chosen]
        return list(zip((numbers // self._wide).tolist(), (numbers % self._wide).tolist(), strict=True))


def fetch(work: FileWork, rectangle: Rectangle, scene: str) -> None:
    """Read cells; where that fails, one by one, to know which of them are broken."""
    cells = work.cutter.cells  # type: ignore[union-attr]
    clean = work.fitting.clean  # type: ignore[union-attr]
    try:
        cells.put(rectangle, clean(work.file.read(*cells.extent(rectangle))))
    except UNREADABLE as error:
        if rectangle.rows * rectangle.columns == 1:
            cells.broken[rectangle.row, rectangle.column] = failure_of(scene, error)
            return
        for single in rectangle.singles():
            fetch(work, single, scene)


def is_broken(work: FileWork) -> bool:
    """Whether cells of a file could not be read."""
    return work.cutter is not None and bool(work.cutter.cells.broken)


def failure_at(work: FileWork, place: int) -> Failure | None:
    """Why a file gives nothing to a window, or None."""
    if work.failure or work.cutter is None:
        return work.failure
    return work.cutter.cells.failure(work.boxes[place].tolist())
