"""Windows in packed files: a group's change is one transaction.

Texts are made from columns, without an object for each window; rslearn reads from them what it reads from folders.
"""

import json
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
from rasterio.crs import CRS

from burnscar_assets.classes import LABEL_PROPERTY
from burnscar_assets.dataset.layout import LABEL_LAYER, TAGS, WindowChanges
from burnscar_assets.dataset.packed.pack import Pack, pack_path
from burnscar_assets.progress import Progress

_PLACE = ("projection", "bounds", "time_range")
_REPORT_EVERY = 1000
_OPTIONS = "{" + ", ".join(f'"{tag}": %s' for tag in TAGS) + "}"
"""Tags of a window as JSON, their values, as JSON too, still to come."""


class _Wanted(NamedTuple):
    """A window as it should be: name, metadata and label as JSON."""

    name: str
    metadata: str
    label: str


def write_packs(
    windows: gpd.GeoDataFrame, dataset_path: Path, groups: set[str], progress: Progress, *, remove_others: bool
) -> WindowChanges:
    """Bring groups in line with a table of windows; as `dataset.windows.write_windows`."""
    done = {"kept": 0, "made": 0, "replaced": 0, "removed": 0}
    years = windows["fire_year"].astype(str)
    looked_at = 0
    for group in sorted(groups | set(years)):
        pack = Pack(pack_path(dataset_path, group))
        rows = windows[years == group]
        if rows.empty and not pack.path.exists():
            continue
        with pack.transaction():
            comparison = _Comparison(pack)
            for wanted in _texts(rows):
                done[comparison.look_at(wanted)] += 1
                looked_at += 1
                if looked_at % _REPORT_EVERY == 0:
                    progress("windows", looked_at, len(windows))
            comparison.write()
            if remove_others:
                done["removed"] += pack.remove_windows(comparison.there.keys() - set(rows["window_id"].tolist()))
    progress("windows", looked_at, len(windows))
    return WindowChanges(**done)


class _Comparison:
    """What is in a group's file, against what should be."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self.there = dict(pack.windows())
        self._labels, self._completed = pack.vectors(LABEL_LAYER), pack.completed(LABEL_LAYER)
        self._anew: list[_Wanted] = []
        self._retagged: list[_Wanted] = []

    def look_at(self, wanted: _Wanted) -> str:
        """Whether the window is `kept`, `made` or `replaced`."""
        there = self.there.get(wanted.name)
        whole = wanted.name in self._completed and _same_features(self._labels.get(wanted.name), wanted.label)
        if whole and _same(there, wanted.metadata):
            return "kept"
        if there is None or not whole or not _same_place(there, wanted.metadata):
            self._anew.append(wanted)
            return "made" if there is None else "replaced"
        self._retagged.append(wanted)
        return "replaced"

    def write(self) -> None:
        """Make the file so; windows that are made anew lose what they had."""
        self._pack.put_windows((wanted.name, wanted.metadata) for wanted in self._retagged)
        self._pack.make_windows_anew(self._anew, LABEL_LAYER)


def _texts(windows: gpd.GeoDataFrame) -> Iterator[_Wanted]:
    """Metadata and label of each window, as `Window.get_metadata` and `GeojsonVectorFormat` have them."""
    projections = {
        key: {
            "crs": CRS.from_epsg(int(key[0])).to_string(),
            "x_resolution": float(key[1]),
            "y_resolution": -float(key[1]),
        }
        for key in set(zip(windows["utm_epsg"].tolist(), windows["resolution_m"].tolist(), strict=True))
    }
    times = {
        time: time.to_pydatetime().isoformat() for name in ("start_time", "end_time") for time in windows[name].unique()
    }
    projections_json = {key: json.dumps(projection) for key, projection in projections.items()}
    names = ("window_id", "utm_epsg", "resolution_m", "min_col", "min_row", "size_px", "start_time", "end_time")
    tags = zip(*(map(_quoted, windows[tag].astype(str).tolist()) for tag in TAGS), strict=True)
    categories = map(_quoted, windows["category"].astype(str).tolist())
    columns = zip(*(windows[name].tolist() for name in names), strict=True)
    for row, options, category in zip(columns, tags, categories, strict=True):
        name, utm_epsg, resolution_m, left, top, size, start, end = row
        projection = projections_json[utm_epsg, resolution_m]
        right, bottom = left + size, top + size
        metadata = (
            f'{{"projection": {projection}, "bounds": [{left}, {top}, {right}, {bottom}], '
            f'"time_range": ["{times[start]}", "{times[end]}"], "options": {_OPTIONS % options}}}'
        )
        yield _Wanted(name, metadata, _label(projection, (left, top, right, bottom), category))


def _label(projection: str, bounds: tuple[int, int, int, int], category: str) -> str:
    """The window's square with its class: a FeatureCollection in pixels of the projection, of parts that are JSON."""
    left, top, right, bottom = map(float, bounds)
    ring = f"[{right}, {top}], [{right}, {bottom}], [{left}, {bottom}], [{left}, {top}], [{right}, {top}]"
    return (
        f'{{"type": "FeatureCollection", "properties": {projection}, "features": [{{"type": "Feature", '
        f'"properties": {{"{LABEL_PROPERTY}": {category}}}, '
        f'"geometry": {{"type": "Polygon", "coordinates": [[{ring}]]}}}}]}}'
    )


def _same(there: str | None, wanted: str) -> bool:
    """Whether two texts are the same JSON; 10 is 10.0."""
    try:
        return there == wanted or (there is not None and json.loads(there) == json.loads(wanted))
    except ValueError:
        return False


def _same_features(there: str | None, wanted: str) -> bool:
    if there is None or there == wanted:
        return there is not None
    return bool(json.loads(there).get("features") == json.loads(wanted)["features"])


def _same_place(there: str, wanted: str) -> bool:
    try:
        before, after = json.loads(there), json.loads(wanted)
        return all(before[part] == after[part] for part in _PLACE)
    except (ValueError, KeyError, TypeError):
        return False
