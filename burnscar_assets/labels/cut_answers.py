"""Answers of ArcGIS services that say of themselves that they are cut, as they come and as people save them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnscar_assets.errors import InputError

_SAVED_AS = frozenset({".json", ".geojson"})
_CUT = re.compile(rb'"exceededTransferLimit"\s*:\s*"?true', re.IGNORECASE)
_CHUNK_BYTES = 1 << 20


def says_cut(answer: Mapping[str, Any]) -> bool:
    """Whether an answer says that there are more rows: in itself, or under `properties` as GeoJSON has it."""
    within = answer.get("properties")
    said = (answer, within) if isinstance(within, Mapping) else (answer,)
    return any(str(part.get("exceededTransferLimit", "")).lower() == "true" for part in said)


def refuse_saved_page(path: Path) -> None:
    """Refuse a file that holds one page of a layer: an answer that says it is cut, saved as it came.

    Raises:
        InputError: it is one.
    """
    if path.suffix.lower() not in _SAVED_AS or not path.is_file() or not _mentions_cut(path):
        return
    try:
        answer = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return  # whoever reads the layer says what is wrong with it
    if isinstance(answer, dict) and says_cut(answer):
        found = answer.get("features")
        raise InputError(
            f"{path.name} is one page of a layer, {len(found) if isinstance(found, list) else 0} of more rows: it says "
            "itself that it is cut (exceededTransferLimit). Export the whole layer, or give release.source the layer's "
            "address (…/FeatureServer/0)"
        )


def _mentions_cut(path: Path) -> bool:
    overlap = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            if _CUT.search(overlap + chunk):
                return True
            overlap = chunk[-100:]
    return False
