"""What a catalogue's item must be to be a scene; what is not is set aside, with its reason, and counted.

A catalogue is foreign: it may list what it wasn't asked for, lack what an item needs, or name files that are none of
its own. Each item comes through here, whether an index or an API lists it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import shapely

# Loaded only by the data source, which rslearn itself loads.
from rslearn.utils.stac import StacItem  # noqa: TID253

from burnscar_assets.catalog.footprints import FootprintError, believable
from burnscar_assets.catalog.hrefs import AddressRule
from burnscar_assets.catalog.items import TimeRange, is_excluded
from burnscar_assets.errors import InputError
from burnscar_assets.network.addresses import mask_address
from burnscar_assets.reader.radiometry import RASTER_BANDS, raster_bands

TIMES: Final = ("datetime", "start_datetime", "end_datetime")
METADATA_ASSETS: Final = ("product-metadata",)
"""Assets beside the bands that a data source reads, where an item has them."""

_LEVEL = re.compile(r"(?i)(?:level|l|msi)[-_ ]?(1[abc]|2a)(?![a-z0-9])")
_SAYS_LEVEL: Final = ("processing:level", "s2:product_type", "product:type", "s2:product_uri")

SetAside = dict[str, "tuple[Reason, str]"]


class Reason(StrEnum):
    """Why an item is no scene."""

    MALFORMED = "malformed"
    EXCLUDED = "excluded"
    COLLECTION = "other_collection"
    LEVEL = "other_level"
    TIME = "other_time"
    PLACE = "other_place"
    ADDRESS = "address_not_allowed"
    FOOTPRINT = "impossible_footprint"


class _NoSceneError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass
class ItemChecks:
    """Which items of a catalogue are scenes.

    Attributes:
        rule: which addresses the catalogue may name.
        exclude: ids, or patterns of ids, of scenes that are left out.
        collections: names that a search asks for; none: any.
        granules: whether the scenes are Sentinel-2's, whose size is known.
        set_aside: reason and detail of each item that is no scene, by id.
        mended: what was changed about a scene's footprint, by id.
    """

    rule: AddressRule
    exclude: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    granules: bool = False
    set_aside: SetAside = field(default_factory=dict)
    mended: dict[str, str] = field(default_factory=dict)

    def scene(
        self,
        item: Any,
        needed: Collection[str] | None = None,
        times: TimeRange | None = None,
        place: shapely.Geometry | None = None,
    ) -> StacItem | None:
        """The scene of an item; None for one that is set aside.

        Args:
            item: as a catalogue lists it, asset addresses absolute.
            needed: keys of the assets that must be readable; the others are left out where they may not be named.
                None: all.
            times: what was asked for, ends included; None: any time.
            place: what was asked for, in degrees; None: any place.
        """
        name = str(item.get("id") or "(without id)") if isinstance(item, Mapping) else str(item)[:40]
        try:
            return self._scene(item, needed, times, place)
        except _NoSceneError as problem:
            self.set_aside[name] = problem.reason, mask_address(str(problem))
            return None

    def _scene(
        self, item: Any, needed: Collection[str] | None, times: TimeRange | None, place: shapely.Geometry | None
    ) -> StacItem:
        lacking = _lacking(item)
        if lacking:
            raise _NoSceneError(Reason.MALFORMED, f"it lacks {', '.join(lacking)}")
        if is_excluded(item["id"], self.exclude):
            raise _NoSceneError(Reason.EXCLUDED, "imagery.exclude names it")
        self._check_kind(item)
        properties = {key: value for key, value in item["properties"].items() if value is not None}
        properties |= {key: _time_text(properties[key]) for key in TIMES if key in properties}
        assets = self._assets(item["assets"], needed)
        stated = raster_bands({key: asset for key, asset in assets.items() if needed is None or key in needed})
        properties |= {RASTER_BANDS: stated} if stated else {}
        shape = self._footprint(item)
        told = {"properties": properties, "assets": assets, "bbox": list(shape.bounds)}
        scene = StacItem.from_dict(dict(item) | told | {"geometry": shapely.geometry.mapping(shape)})
        if scene.time_range is None:
            raise _NoSceneError(Reason.MALFORMED, "it has no datetime")
        if times is not None and (scene.time_range[0] > times[1] or scene.time_range[1] < times[0]):
            raise _NoSceneError(Reason.TIME, f"it is of {scene.time_range[0].isoformat()}, which was not asked for")
        if place is not None and not shapely.intersects(shape, place):
            raise _NoSceneError(Reason.PLACE, "it lies elsewhere than was asked for")
        return scene

    def _check_kind(self, item: Mapping[str, Any]) -> None:
        """Collection and processing level are what was asked for, as far as an item says."""
        collection = item.get("collection")
        if self.collections and collection and collection not in self.collections:
            raise _NoSceneError(Reason.COLLECTION, f"it is of {collection}, not of {_listed(self.collections)}")
        wanted = {level for name in self.collections for level in levels(name)} or {"2A"}
        said = [item["id"], collection, *(item["properties"].get(key) for key in _SAYS_LEVEL)]
        foreign = {level for text in said for level in levels(text)} - wanted
        if foreign:
            raise _NoSceneError(Reason.LEVEL, f"it is of level {_listed(foreign)}, not {_listed(wanted)}")

    def _assets(self, assets: Mapping[str, Any], needed: Collection[str] | None) -> dict[str, Any]:
        """Assets with an address that may be named."""
        kept = {}
        for key, asset in assets.items():
            href = asset.get("href") if isinstance(asset, Mapping) else None
            if not isinstance(href, str) or not href:
                continue
            try:
                self.rule.check(href)
            except InputError as error:
                if needed is None or key in needed or key in METADATA_ASSETS:
                    raise _NoSceneError(Reason.ADDRESS, str(error)) from error
                continue
            kept[key] = dict(asset)
        return kept

    def _footprint(self, item: Mapping[str, Any]) -> shapely.Geometry:
        try:
            shape, note = believable(item, granule=self.granules)
        except FootprintError as error:
            raise _NoSceneError(Reason.FOOTPRINT, str(error)) from error
        except (ValueError, TypeError, LookupError, AttributeError, shapely.errors.ShapelyError) as error:
            raise _NoSceneError(Reason.MALFORMED, f"its geometry can't be read ({error})") from error
        if note:
            self.mended[item["id"]] = note
        return shape


def levels(text: Any) -> set[str]:
    """Processing levels of Sentinel-2 that a text names, such as 1C and 2A."""
    return {found.upper() for found in _LEVEL.findall(text)} if isinstance(text, str) else set()


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _lacking(item: Any) -> list[str]:
    if not isinstance(item, Mapping):
        return ["the form of an item"]
    kinds = {"geometry": Mapping, "properties": Mapping, "assets": Mapping}
    lacking = [key for key, kind in kinds.items() if not isinstance(item.get(key), kind)]
    return lacking if isinstance(item.get("id"), str) and item["id"] else ["id", *lacking]


def _time_text(value: Any) -> str:
    """A time as text with its zone; one without is taken for UTC."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    except (TypeError, ValueError) as error:
        raise _NoSceneError(
            Reason.MALFORMED, f"its time {value!r} can't be read: it must be as RFC 3339 has it"
        ) from error
