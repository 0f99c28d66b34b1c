"""What was found out of scenes' radiometry, remembered in the ledgers of tiles once a scene, and shown as a table."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from burnscar_assets.dataset.ledger import TILES_MADE, Ledger, open_ledgers
from burnscar_assets.reader.radiometry import RadiometryDecision
from burnscar_assets.storage.contracts import SCENE_RADIOMETRY

STATE = "state"
"""What a decision was made for: the scene's properties and its files."""


def known_decision(ledger: Ledger, scene: str, state: str) -> RadiometryDecision | None:
    """What was found out of a scene, if it is as it was then."""
    entry = ledger.scenes.get(scene, {})
    if entry.get(STATE) != state:
        return None
    found = {key: value for key, value in entry.items() if key != STATE}
    evidence = {key: tuple(found[key]) for key in ("evidence_for", "evidence_against")}
    return RadiometryDecision(scene, **found | evidence)


def remember_decisions(ledger: Ledger, decisions: Iterable[RadiometryDecision], states: Mapping[str, str]) -> None:
    """Remember what was found out of scenes, each with its state."""
    for decision in decisions:
        found = {key: [*value] if isinstance(value, tuple) else value for key, value in asdict(decision).items()}
        del found["scene"]
        ledger.remember_scene(decision.scene, {STATE: states.get(decision.scene, ""), **found})


def radiometry_table(dataset_path: Path, tiles: pd.DataFrame) -> pd.DataFrame:
    """What was found out of the scenes of tiles, those that gave way included.

    Args:
        dataset_path: the rslearn dataset.
        tiles: rows of the `tiles` table.

    Returns:
        Rows of the `scene_radiometry` table.
    """
    rows: list[dict[str, Any]] = []
    for (layer, year), mine in tiles.groupby(["layer", "fire_year"]):
        used = {scene for scenes in mine["item_ids"] for scene in scenes}
        used |= {text.partition(": ")[0] for texts in mine["passed_over"] for text in texts}
        with open_ledgers(dataset_path, TILES_MADE, str(layer), [str(year)]) as ledgers:
            entries = ledgers[str(year)].scenes
        rows += [
            {"fire_year": int(year), "layer": layer, "item_id": scene}
            | {key: value for key, value in entries[scene].items() if key != STATE}
            for scene in sorted(used & entries.keys())
        ]
    return SCENE_RADIOMETRY.conform(pd.DataFrame(rows, columns=SCENE_RADIOMETRY.column_names))
