"""Searches in a STAC index that was read whole, in the place of rslearn's searches in a STAC API."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import shapely

# Loaded only by the data source, which rslearn itself loads.
from rslearn.utils.stac import StacClient, StacItem  # noqa: TID253

from burnscar_assets.errors import InputError
from burnscar_assets.imagery.band_assets import band_hrefs
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.stac_index import StacDict, read_index
from burnscar_assets.storage.hashing import hash_json

CLOUD_COVER = "eo:cloud_cover"


class _Index(NamedTuple):
    """An index that was read: its items, a hash of them, and the state of its file, if it is a local one."""

    items: list[StacDict]
    fingerprint: str
    file: tuple[int, int] | None


_READ: dict[str, _Index] = {}


def _read_once(index: str) -> _Index:
    """An index as it was read last, or anew if its file changed since."""
    file = _file_state(index)
    known = _READ.get(index)
    if known is None or known.file != file:
        items = read_index(index)
        known = _READ[index] = _Index(items, hash_json(items), file)
    return known


def _file_state(index: str) -> tuple[int, int] | None:
    """Size and time of an index that is one local file; None for a catalogue of many, or one on the network."""
    if is_remote(index) or index.endswith(".json"):
        return None
    try:
        status = Path(index.removeprefix("file://")).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def forget_indexes() -> None:
    """Have every index read again when it is needed next, but for files that tell whether they changed."""
    for index in [index for index, read in _READ.items() if read.file is None]:
        del _READ[index]


class IndexClient(StacClient):
    """Answers rslearn's STAC searches from an index that was read whole."""

    def __init__(
        self, index: str, bands: list[str], assets: dict[str, str], max_cloud_cover: float | None = None
    ) -> None:
        """Remember what to search; the index is read by the first search.

        Args:
            index: path or address, see `read_index`.
            bands: names of the bands that a scene must have.
            assets: asset keys by band, where they aren't to be detected.
            max_cloud_cover: scenes above it are not found, in percent.
        """
        super().__init__(index)
        self.bands = bands
        self.assets = assets
        self.max_cloud_cover = max_cloud_cover
        self._scenes: tuple[str, list[StacItem], shapely.STRtree] | None = None
        self._by_id: tuple[str, dict[str, StacDict]] | None = None

    def fingerprint(self) -> str:
        """Hash of what the index says."""
        return _read_once(self.endpoint).fingerprint

    def address(self, scene_id: str, band: str) -> str | None:
        """Where a band of a scene lies, whether it is one of `bands` or not; None if the index does not tell."""
        items, fingerprint, _ = _read_once(self.endpoint)
        if self._by_id is None or self._by_id[0] != fingerprint:
            self._by_id = (fingerprint, {item["id"]: item for item in items})
        item = self._by_id[1].get(scene_id)
        return band_hrefs(item["assets"], [band], self.assets).get(band) if item else None

    def scenes(self) -> tuple[list[StacItem], shapely.STRtree]:
        """The scenes that may be found, ordered by id, and the tree of their footprints.

        Raises:
            InputError: no item of the index has one of the bands.
        """
        items, fingerprint, _ = _read_once(self.endpoint)
        if self._scenes is None or self._scenes[0] != fingerprint:
            hrefs = [band_hrefs(item["assets"], self.bands, self.assets) for item in items]
            lacking = [band for band in self.bands if not any(band in found for found in hrefs)]
            if lacking:
                raise InputError(
                    f"no scene of {self.endpoint} has {', '.join(lacking)}: map bands to asset keys with `assets` in "
                    f"config.json, or ask for other bands; its assets are {', '.join(sorted(items[0]['assets']))}"
                )
            usable = [
                _to_scene(item, found)
                for item, found in zip(items, hrefs, strict=True)
                if len(found) == len(self.bands) and self._is_clear(item)
            ]
            tree = shapely.STRtree([shapely.geometry.shape(scene.geometry) for scene in usable])
            self._scenes = (fingerprint, usable, tree)
        return self._scenes[1:]

    def search(
        self,
        collections: list[str] | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        intersects: dict[str, Any] | None = None,
        date_time: datetime | tuple[datetime, datetime] | None = None,
        ids: list[str] | None = None,
        limit: int | None = None,
        query: dict[str, Any] | None = None,
        sortby: list[dict[str, str]] | None = None,
    ) -> list[StacItem]:
        """Scenes that intersect a shape (WGS84) and a time range, ordered by id; the rest is not looked at."""
        scenes, tree = self.scenes()
        found: Sequence[int] = range(len(scenes))
        if intersects is not None:
            found = sorted(tree.query(shapely.geometry.shape(intersects), predicate="intersects"))
        if date_time is not None:
            start, end = date_time if isinstance(date_time, tuple) else (date_time, date_time)
            found = [i for i in found if _times(scenes[i])[0] <= end and _times(scenes[i])[1] >= start]
        return [scenes[i] for i in found if ids is None or scenes[i].id in ids]

    def _is_clear(self, item: StacDict) -> bool:
        cloud_cover = item["properties"].get(CLOUD_COVER)
        return self.max_cloud_cover is None or cloud_cover is None or cloud_cover <= self.max_cloud_cover


def _to_scene(item: StacDict, hrefs: dict[str, str]) -> StacItem:
    properties = {key: value for key, value in item["properties"].items() if value is not None}
    scene = StacItem.from_dict(
        item | {"properties": properties, "assets": {band: {"href": href} for band, href in hrefs.items()}}
    )
    if scene.time_range is None:
        raise InputError(f"STAC item {scene.id} has no datetime: add it to the index")
    footprint = shapely.geometry.shape(scene.geometry)
    if not footprint.is_valid:
        scene = replace(scene, geometry=shapely.geometry.mapping(shapely.make_valid(footprint)))
    start, end = (t.replace(tzinfo=UTC) if t.tzinfo is None else t for t in scene.time_range)
    return replace(scene, time_range=(start, end))


def _times(scene: StacItem) -> tuple[datetime, datetime]:
    assert scene.time_range is not None  # noqa: S101 - _to_scene lets no other through
    return scene.time_range
