"""What must hold of any catalogue of maps, asked of clients: pystac walks it, rustac reads its table."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pystac
import pytest
import rustac
import shapely
from pystac.extensions.file import FileExtension


def check_whole(place: Path) -> dict[tuple[str, str], pystac.Item]:
    """Check a catalogue from its root and from each item, with the table of all items; returns the items."""
    catalogue = pystac.Catalog.from_file(str(place / "catalog.json"))
    items = {(item.collection_id or "", item.id): item for item in catalogue.get_items(recursive=True)}
    for (collection, _), item in items.items():
        for name, asset in item.assets.items():
            path = Path(asset.get_absolute_href() or "")
            assert path.is_file() and path.parent.name == item.id
            if name != "map.json":
                said = FileExtension.ext(asset)
                assert said.checksum == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
                assert said.size == path.stat().st_size
        alone = pystac.Item.from_file(item.get_self_href() or "")
        for rel, kind in (("root", pystac.Catalog), ("parent", pystac.Collection), ("collection", pystac.Collection)):
            assert isinstance(alone.get_single_link(rel).resolve_stac_object().target, kind)  # type: ignore[union-attr]
        found = alone.get_collection()
        assert found is not None and found.id == alone.collection_id == collection
        assert shapely.box(*found.extent.spatial.bboxes[0]).covers(shapely.box(*alone.bbox or ()))
        first, last = found.extent.temporal.intervals[0]
        assert first <= alone.common_metadata.start_datetime and alone.common_metadata.end_datetime <= last  # type: ignore[operator]
        assert alone.get_root().get_self_href() == str(place / "catalog.json")  # type: ignore[union-attr]
        assert item.id in {other.id for other in alone.get_root().get_items(recursive=True)}  # type: ignore[union-attr]
    check_table(place, items)
    return items


def _known(content: Any) -> Any:
    """Without what is null, which Arrow doesn't tell from what is absent."""
    if not isinstance(content, dict):
        return content
    return {name: _known(value) for name, value in content.items() if value is not None}


async def _read(path: Path) -> dict[str, Any]:
    return await rustac.read(str(path))


def check_table(place: Path, items: dict[tuple[str, str], pystac.Item]) -> None:
    """The stac-geoparquet file says of each item what the item says, with addresses from where the file lies."""
    path = place / "items.parquet"
    if not items:
        assert not path.exists()
        return
    rows = asyncio.run(_read(path))["features"]
    assert {(row["collection"], row["id"]) for row in rows} == set(items) and len(rows) == len(items)
    for row in rows:
        item = items[row["collection"], row["id"]]
        written = json.loads(Path(item.get_self_href() or "").read_text())
        said = {name: row["properties"].get(name) for name in written["properties"]}
        assert _known(said) == _known(written["properties"])
        assert row["bbox"] == pytest.approx(written["bbox"]) and row["assets"].keys() == written["assets"].keys()
        for name, asset in row["assets"].items():
            assert (place / asset.pop("href")).resolve() == Path(item.get_self_href() or "").parent.resolve() / name
            assert asset == {key: value for key, value in written["assets"][name].items() if key != "href"}
