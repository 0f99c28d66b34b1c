"""Searches in a STAC index that was read whole, in the place of rslearn's searches in a STAC API."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

# Loaded only by the data source, which rslearn itself loads.
from rslearn.utils.stac import StacClient, StacItem  # noqa: TID253

from burnscar_assets.catalog.band_assets import BAND_NUMBERS, band_hrefs, band_numbers
from burnscar_assets.catalog.hrefs import AddressRule, is_remote
from burnscar_assets.catalog.item_checks import ItemChecks, Reason
from burnscar_assets.catalog.items import CLOUD_COVER, percent
from burnscar_assets.catalog.stac_index import StacDict, StacIndex, read_index
from burnscar_assets.errors import InputError
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import Sensor


class _Index(NamedTuple):
    """An index that was read, and the state of its file, if it is a local one."""

    items: StacIndex
    file: tuple[int, int] | None


_READ: dict[AddressRule, _Index] = {}


def _read_once(rule: AddressRule) -> StacIndex:
    """The index of a rule as it was read last, or anew if its file changed since."""
    file = _file_state(rule.catalogue)
    known = _READ.get(rule)
    if known is None or known.file != file:
        known = _READ[rule] = _Index(read_index(rule.catalogue, rule), file)
    return known.items


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
    for rule in [rule for rule, read in _READ.items() if read.file is None]:
        del _READ[rule]


class IndexClient(StacClient):
    """Answers rslearn's STAC searches from an index that was read whole."""

    def __init__(
        self,
        index: str,
        bands: list[str],
        assets: dict[str, str],
        max_cloud_cover: float | None = None,
        allowed_hosts: tuple[str, ...] = (),
        sensor: Sensor | None = None,
    ) -> None:
        """Remember what to search; the index is read by the first search.

        Args:
            index: path or address, see `read_index`.
            bands: names of the bands that a scene must have.
            assets: asset keys by band, where they aren't to be detected.
            max_cloud_cover: scenes above it are not found, in percent.
            allowed_hosts: what the index may name beside its own hosts, see `AddressRule`.
            sensor: whose scenes it lists; by default Sentinel-2's.
        """
        super().__init__(index)
        self.bands = bands
        self.assets = assets
        self.max_cloud_cover = max_cloud_cover
        self.sensor = sensor or default_sensor()
        self.checks = ItemChecks(AddressRule(index, allowed_hosts), granules=self.sensor.tiling == "mgrs")
        self._listed: _Scenes | None = None

    def use(self, checks: ItemChecks) -> None:
        """Have items checked in another way."""
        self.checks = checks
        self._listed = None

    def fingerprint(self) -> str:
        """Hash of what the index says."""
        return _read_once(self.checks.rule).fingerprint

    def address(self, scene_id: str, band: str) -> str | None:
        """Where a band of a scene lies, whether it is one of `bands` or not; None if the index does not tell."""
        item = self._scenes().by_id(scene_id)
        address = self._hrefs(item, [band]).get(band) if item else None
        return address if address is not None and self._is_allowed(address) else None

    def check(self) -> None:
        """Read the index, and see that it has the bands; its items are looked at as searches come to them.

        Raises:
            InputError: it is no index, or no item of it has one of the bands.
            SourceUnavailableError: a remote index could not be read.
        """
        self._scenes()

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
        listed = self._scenes()
        found: Sequence[int] = range(len(listed.items))
        if intersects is not None:
            found = sorted(listed.tree.query(shapely.geometry.shape(intersects), predicate="intersects"))
        scenes = [scene for position in found if (scene := self._scene(listed, int(position))) is not None]
        if date_time is not None:
            start, end = date_time if isinstance(date_time, tuple) else (date_time, date_time)
            scenes = [scene for scene in scenes if self.sensor.is_of(_times(scene), (start, end))]
        return [scene for scene in scenes if ids is None or scene.id in ids]

    def _hrefs(self, item: StacDict, bands: Sequence[str]) -> dict[str, str]:
        return band_hrefs(item["assets"], bands, self.assets, self.sensor)

    def _scenes(self) -> "_Scenes":
        items = _read_once(self.checks.rule)
        if self._listed is None or self._listed.items is not items:
            self._check_bands(items)
            self._listed = _Scenes(items)
            self.checks.set_aside |= {href: (Reason.ADDRESS, why) for href, why in items.refused.items()}
        return self._listed

    def _check_bands(self, items: StacIndex) -> None:
        lacking = set(self.bands)
        for item in items:
            lacking -= self._hrefs(item, self.bands).keys()
            if not lacking:
                return
        raise InputError(
            f"no scene of {self.endpoint} has {', '.join(b for b in self.bands if b in lacking)}: map bands to asset "
            "keys with `assets` in config.json, or ask for other bands; its assets are "
            f"{', '.join(sorted(items[0]['assets']))}"
        )

    def _scene(self, listed: "_Scenes", position: int) -> StacItem | None:
        """A scene of the index; None for one that lacks a band or is too cloudy."""
        if position not in listed.made:
            item = listed.items[position]
            hrefs = self._hrefs(item, self.bands)
            usable = len(hrefs) == len(self.bands) and self._is_clear(item)
            by_href = {asset["href"]: asset for asset in item["assets"].values()}
            numbers = band_numbers(item["assets"], hrefs, self.sensor)
            told = item | {"assets": {band: by_href[href] for band, href in hrefs.items()}}
            told |= {"properties": item["properties"] | {BAND_NUMBERS: numbers}} if numbers else {}
            listed.made[position] = self.checks.scene(told) if usable else None
        return listed.made[position]

    def _is_clear(self, item: StacDict) -> bool:
        cloud_cover = percent(item["properties"].get(CLOUD_COVER))
        return self.max_cloud_cover is None or cloud_cover is None or cloud_cover <= self.max_cloud_cover

    def _is_allowed(self, address: str) -> bool:
        try:
            self.checks.rule.check(address)
        except InputError:
            return False
        return True


class _Scenes:
    """The scenes of an index for one client: the tree of their footprints, and by position those that were found.

    In `made` is None for one that is of no use.
    """

    def __init__(self, items: StacIndex) -> None:
        self.items = items
        invalid = np.flatnonzero(~shapely.is_valid(items.footprints))
        footprints = items.footprints.copy()
        footprints[invalid] = shapely.make_valid(items.footprints[invalid])
        self.tree = shapely.STRtree(footprints)
        self.made: dict[int, StacItem | None] = {}
        self._positions: dict[str, int] = {}

    def by_id(self, scene_id: str) -> StacDict | None:
        """The item of a scene; None if there is none."""
        if not self._positions:
            self._positions = {name: position for position, name in enumerate(self.items.ids)}
        position = self._positions.get(scene_id)
        return None if position is None else self.items[position]


def _times(scene: StacItem) -> tuple[datetime, datetime]:
    assert scene.time_range is not None  # noqa: S101 - the checks let no other through
    return scene.time_range
