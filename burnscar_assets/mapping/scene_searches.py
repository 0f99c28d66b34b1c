"""When the frames of fire scenes were searched, and when that is worth repeating."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import pandas as pd

from burnscar_assets.catalog.searches import MATCHED, is_due
from burnscar_assets.dataset.ledger import FOLDER, Ledger, open_ledgers
from burnscar_assets.settings import Settings
from burnscar_assets.storage.atomic import storage_errors
from burnscar_assets.storage.paths import DataRoot

DATASET: Final = "dataset"
AFTER, BEFORE = "after", "before"


def frames_to_look_at_again(
    scenes: pd.DataFrame, fire_year: int, settings: Settings, root: DataRoot, now: datetime
) -> list[str]:
    """Frames without a clear image after for which some may have come since they were last searched, as for windows."""
    imagery = settings.imagery
    poor = ~scenes["complete"].astype(bool) | (scenes["clear_fraction"] < imagery.min_clear_fraction)
    with _ledgers(root, fire_year, imagery.layer) as ledgers:
        known = {name: entry for ledger in ledgers for name, entry in ledger.entries.items()}

    def due(frame_id: str) -> bool:
        mine = [entry for name, entry in known.items() if name.startswith(f"{search_name(AFTER, frame_id)}_")]
        return not mine or any(is_due(entry, imagery.late_days, now) for entry in mine)

    return [frame_id for frame_id in scenes.loc[poor, "frame_id"] if due(frame_id)]


def search_name(what: str, frame_id: str) -> str:
    """What the searches of a frame are called in the dataset that remembers them."""
    return f"{what}_{frame_id}"


def forget_other_searches(root: DataRoot, fire_year: int, layer: str, searched: set[str]) -> None:
    """Forget searches of frames that have other bounds or days now: nobody repeats them, so they would stay due."""
    with _ledgers(root, fire_year, layer) as ledgers:
        for ledger in ledgers:
            ledger.forget(ledger.entries.keys() - searched)


def remove_fetched(work: Path) -> None:
    """Remove the dataset that scenes were fetched into, but for what is remembered of searches."""
    with storage_errors(work):
        for path in work.iterdir():
            if path.name != FOLDER:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _ledgers(root: DataRoot, fire_year: int, layer: str) -> Iterator[list[Ledger]]:
    """What is remembered of a fire year's searches; imagery after a fire may be of the year that follows."""
    work, years = root.fire_scene_work(fire_year) / DATASET, [str(fire_year), str(fire_year + 1)]
    with open_ledgers(work, MATCHED, layer, years) as ledgers:
        yield [*ledgers.values()]
