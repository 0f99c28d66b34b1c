"""Cells of a file of a scene: which ones the scene's windows need and when, how they are read, those that are held.

A cell is a block of the file, or as many flat blocks as are worth a read; it is known by its row and column.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from burnscar_assets.catalog.items import TimeRange
from burnscar_assets.reader.files import UNREADABLE, Header, ImageFile, failure_of
from burnscar_assets.reader.fitting import Fitting
from burnscar_assets.reader.grids import IntArray, Way
from burnscar_assets.reader.radiometry import Conversion, Statement
from burnscar_assets.reader.request import Failure

if TYPE_CHECKING:
    from burnscar_assets.reader.origin import Bands, Correction
    from burnscar_assets.reader.resample import Cutter

Cell = tuple[int, int]


@dataclass(frozen=True)
class Rectangle:
    """Cells that are read at once."""

    row: int
    column: int
    rows: int
    columns: int

    def cells(self) -> Iterator[Cell]:
        """Each cell of it."""
        return product(range(self.row, self.row + self.rows), range(self.column, self.column + self.columns))


def rectangles(cells: Iterable[Cell], most: int) -> list[Rectangle]:
    """The fewest reads that fetch cells and no others: runs of a row, and equal runs of rows below each other.

    A rectangle has `most` cells at most, unless a single row has more.
    """
    runs: list[Rectangle] = []
    for row, column in sorted(cells):
        last = runs[-1] if runs else None
        if last and last.row == row and last.column + last.columns == column and last.columns < most:
            runs[-1] = Rectangle(row, last.column, 1, last.columns + 1)
        else:
            runs.append(Rectangle(row, column, 1, 1))
    found: list[Rectangle] = []
    growing: dict[tuple[int, int, int], int] = {}
    for run in runs:
        place = growing.pop((run.row, run.column, run.columns), None)
        if place is None or (found[place].rows + 1) * run.columns > most:
            place = len(found)
            found.append(run)
        else:
            above = found[place]
            found[place] = Rectangle(above.row, above.column, above.rows + 1, above.columns)
        growing[run.row + 1, run.column, run.columns] = place
    return found


def cells_of(boxes: IntArray, header: Header) -> tuple[IntArray, IntArray]:
    """The cells that boxes touch.

    Args:
        boxes: (windows, 4) boxes in the file.
        header: of the file.

    Returns:
        For each pair of a window and a cell: the window's row in `boxes`, and the cell's number in reading order.
    """
    rows, columns = header.cell
    wide = -(-header.width // columns)
    low_row, low_column = np.maximum(boxes[:, 0], 0) // rows, np.maximum(boxes[:, 2], 0) // columns
    end_row = -(-np.minimum(boxes[:, 1], header.height) // rows)
    end_column = -(-np.minimum(boxes[:, 3], header.width) // columns)
    high, broad = np.maximum(end_row - low_row, 0), np.maximum(end_column - low_column, 0)
    windows, numbers = [], []
    for down in range(int(high.max(initial=0))):
        for right in range(int(broad.max(initial=0))):
            there = np.flatnonzero((down < high) & (right < broad))
            windows.append(there)
            numbers.append((low_row[there] + down) * wide + low_column[there] + right)
    empty = np.zeros(0, dtype=np.int64)
    return (np.concatenate(windows), np.concatenate(numbers)) if windows else (empty, empty)


class CellStore:
    """Decoded cells of one file."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._pixels: dict[Cell, npt.NDArray[Any]] = {}
        self.broken: dict[Cell, Failure] = {}

    def extent(self, rectangle: Rectangle) -> tuple[int, int, int, int]:
        """First row and column, rows and columns of a rectangle in pixels."""
        rows, columns = self._header.cell
        row, column = rectangle.row * rows, rectangle.column * columns
        high = min(rectangle.rows * rows, self._header.height - row)
        return row, column, high, min(rectangle.columns * columns, self._header.width - column)

    def put(self, rectangle: Rectangle, pixels: npt.NDArray[Any]) -> None:
        """Keep the pixels of a rectangle, (bands, rows, columns)."""
        rows, columns = self._header.cell
        for row, column in rectangle.cells():
            down, right = (row - rectangle.row) * rows, (column - rectangle.column) * columns
            self._pixels[row, column] = pixels[:, down : down + rows, right : right + columns]

    def drop(self, cells: Iterable[Cell]) -> None:
        """Forget cells."""
        for cell in cells:
            self._pixels.pop(cell, None)

    def failure(self, box: list[int]) -> Failure | None:
        """Why the pixels of a box can't be had, or None."""
        if not self.broken:
            return None
        rows, columns = self._header.cell
        row, end_row, column, end_column = self.clipped(box)
        for cell, why in self.broken.items():
            in_rows = row < (cell[0] + 1) * rows and cell[0] * rows < end_row
            if in_rows and column < (cell[1] + 1) * columns and cell[1] * columns < end_column:
                return why
        return None

    def clipped(self, box: list[int]) -> tuple[int, int, int, int]:
        """The part of a box that is in the file; its ends are not before its beginnings."""
        row, column = max(box[0], 0), max(box[2], 0)
        return row, max(min(box[1], self._header.height), row), column, max(min(box[3], self._header.width), column)

    def copy(self, box: list[int], target: npt.NDArray[Any]) -> None:
        """Copy the pixels of a box that are in the file into (bands, rows, columns), whose first pixel is the box's."""
        rows, columns = self._header.cell
        row, end_row, column, end_column = box
        cell_row, cell_column = row // rows, column // columns
        high, wide = end_row - row, end_column - column
        down, right = row - cell_row * rows, column - cell_column * columns
        if cell_row >= 0 and cell_column >= 0 and down + high <= rows and right + wide <= columns:
            source = self._pixels[cell_row, cell_column][:, down : down + high, right : right + wide]
            if source.shape[1:] == (high, wide):
                target[:, :high, :wide] = source
                return
        self._copy_from_several(box, target)

    def _copy_from_several(self, box: list[int], target: npt.NDArray[Any]) -> None:
        rows, columns = self._header.cell
        low, end_row, left, end_column = self.clipped(box)
        for cell_row in range(low // rows, -(-end_row // rows)):
            for cell_column in range(left // columns, -(-end_column // columns)):
                top, start = cell_row * rows, cell_column * columns
                y0, y1 = max(low, top), min(end_row, top + rows)
                x0, x1 = max(left, start), min(end_column, start + columns)
                part = self._pixels[cell_row, cell_column][:, y0 - top : y1 - top, x0 - start : x1 - start]
                target[:, y0 - box[0] : y1 - box[0], x0 - box[2] : x1 - box[2]] = part


STEP = 32
"""Windows by which batches grow."""

LARGEST_READ = 32 << 20
"""Decoded bytes of one read at most, about."""


@dataclass
class FileWork:
    """What one file of a scene gives to the scene's windows; windows are in the scene's order."""

    file: ImageFile
    bands: "Bands"
    bounds: IntArray
    """(windows, 4) pixel bounds within the file's footprint."""
    meets: npt.NDArray[np.bool_]
    failure: Failure | None = None
    correction: "Correction | None" = None
    conversion: Conversion | None = None
    times: list[TimeRange] | None = None
    header: Header | None = None
    fitting: Fitting | None = None
    statements: list[Statement] = field(default_factory=list)
    samples: dict[str, np.ma.MaskedArray] = field(default_factory=dict)
    cutter: "Cutter | None" = None
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
        for row, column in rectangle.cells():
            fetch(work, Rectangle(row, column, 1, 1), scene)


def is_broken(work: FileWork) -> bool:
    """Whether cells of a file could not be read."""
    return work.cutter is not None and bool(work.cutter.cells.broken)


def failure_at(work: FileWork, place: int) -> Failure | None:
    """Why a file gives nothing to a window, or None."""
    if work.failure or work.cutter is None:
        return work.failure
    return work.cutter.cells.failure(work.boxes[place].tolist())
