"""Mining: a year's champion looks at land without fire that it has not seen, and its false positives are kept.

Nothing here touches ground of validation or test. What was found lies in the table `mined_negatives`, and, for
sampling, in one vector file whose polygons name the fire years that may use them: those after the year mined, so that
no checkpoint is trained on what was chosen by looking at it in the same round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np

from burnscar_assets.dataset.config import config_elsewhere, put_config, write_dataset_config
from burnscar_assets.evaluation.champion_record import champion_folder, champion_manifest, serving, windows_seen
from burnscar_assets.evaluation.predictions import scores_of
from burnscar_assets.evaluation.separation import on_unseen_ground
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.mining.candidates import draw_candidates
from burnscar_assets.models.plan import usable_windows
from burnscar_assets.progress import Progress, silent
from burnscar_assets.sampling.accounts import cells_of
from burnscar_assets.sampling.land import YEARS_COLUMN, load_land
from burnscar_assets.settings import Settings
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    FIRE_PERIMETERS,
    MINED_NEGATIVES,
    SAMPLE_POINTS,
    SCENE_MATCHES,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years, write_table

FILE: Final = "mined/hard_negatives.parquet"
"""What sampling.hard_negatives names, under the data root."""


@dataclass(frozen=True)
class MiningSummary:
    """What mining a fire year came to.

    Attributes:
        fire_year: The year.
        candidates: Windows of land that were looked for.
        usable: Those with complete and clear imagery, none of which the champion has seen.
        false_positives: Those that the champion calls burnt.
        kept: Those that are kept: the surest, apart from each other.
        threshold: Probability above which it calls a window burnt, fixed on validation.
    """

    fire_year: int
    candidates: int
    usable: int
    false_positives: int
    kept: int
    threshold: float


def mine(settings: Settings, root: DataRoot, fire_year: int, progress: Progress = silent) -> MiningSummary:
    """Mine a fire year's training ground for windows that its champion takes for burnt.

    Args:
        settings: of the world.
        root: its data root; the year's points and champion are there.
        fire_year: the year.
        progress: told of steps.

    Raises:
        MissingDataError: the year has no champion yet.
        CheckpointError: the champion is damaged.
        InputError: there is no land to look at.
        SourceUnavailableError: the imagery's source does not answer.
    """
    decision = serving(root, fire_year).rules.decision
    manifest, seen = champion_manifest(root, fire_year), windows_seen(root, fire_year)
    candidates = _candidates(settings, root, fire_year)
    place = _materialize(settings, root, candidates, fire_year, progress)
    usable = usable_windows(
        place,
        [fire_year],
        settings.imagery.layer,
        manifest.every_layer,
        min_clear_fraction=settings.imagery.min_clear_fraction,
    )
    usable = on_unseen_ground(usable, seen, margin_m=0)
    spec = EvaluationSpec(
        root=place.path,
        fire_year=fire_year,
        sensor=settings.sensor,
        layer=settings.imagery.layer,
        min_clear_fraction=settings.imagery.min_clear_fraction,
        margin_m=0,
        settings=settings.evaluation,
        accelerator=settings.training.accelerator,
        classes=settings.training.classes,
    )
    probability, nbr = scores_of(spec, champion_folder(root, fire_year), usable, progress)
    judged = usable.merge(candidates[["point_id", "cell_col", "cell_row"]], on="point_id").assign(
        burnt_probability=probability, nbr=nbr, weights_sha256=manifest.weights_sha256
    )
    wrong = judged[decision.predict(probability)]
    mined = keep_worst(wrong, settings.mining.keep, settings.mining.spacing_windows)
    write_table(root, MINED_NEGATIVES, mined, fire_year)
    write_confusers(settings, root)
    return MiningSummary(fire_year, len(candidates), len(usable), len(wrong), len(mined), decision.threshold)


def keep_worst(wrong: gpd.GeoDataFrame, most: int, spacing_windows: float) -> gpd.GeoDataFrame:
    """The false positives with the highest probabilities, apart from each other.

    Args:
        wrong: columns of MINED_NEGATIVES.
        most: how many at most.
        spacing_windows: least distance of centres, in window sides.

    Returns:
        Contract MINED_NEGATIVES, by window_id.
    """
    ordered = wrong.sort_values(["burnt_probability", "window_id"], ascending=[False, True], ignore_index=True)
    cells = cells_of(ordered)
    kept: list[int] = []
    for number in range(len(ordered)):
        near = np.hypot(cells.col[kept] - cells.col[number], cells.row[kept] - cells.row[number]) < spacing_windows
        if not (near & (cells.utm_epsg[kept] == cells.utm_epsg[number])).any():
            kept.append(number)
        if len(kept) == most:
            break
    return MINED_NEGATIVES.conform(ordered.iloc[kept].sort_values("window_id")[MINED_NEGATIVES.column_names])


def write_confusers(settings: Settings, root: DataRoot) -> Path:
    """Write what was mined of all years as the file that sampling reads; returns its path.

    Each polygon names the fire years after the one it was mined from.
    """
    years = _years_mined(root)
    mined = read_years(root, MINED_NEGATIVES, years)
    last = max([*years, settings.years.last or 2100])
    allowed = mined["fire_year"].map(lambda year: list(range(int(year) + 1, last + 1)))
    cells = gpd.GeoDataFrame({YEARS_COLUMN: allowed}, geometry=mined.geometry.to_numpy(), crs=mined.crs)
    path = root.resolve(FILE)
    with atomic_file(path) as temporary:
        cells.to_parquet(temporary, index=False)
    return path


def _years_mined(root: DataRoot) -> Sequence[int]:
    folders = (root.tables / MINED_NEGATIVES.name).glob("fire_year=*")
    return sorted(int(folder.name.partition("=")[2]) for folder in folders)


def _candidates(settings: Settings, root: DataRoot, fire_year: int) -> gpd.GeoDataFrame:
    sampling = settings.sampling
    return draw_candidates(
        read_table(root, FIRE_PERIMETERS, fire_year),
        read_table(root, BURN_HISTORY, fire_year),
        read_table(root, SAMPLE_POINTS, fire_year),
        fire_year,
        sampling,
        settings.windows,
        land=load_land(root.resolve(sampling.land) if sampling.land else None, fire_year),
        count=settings.mining.candidates,
    )


def _materialize(
    settings: Settings, root: DataRoot, candidates: gpd.GeoDataFrame, fire_year: int, progress: Progress
) -> DataRoot:
    """Imagery of the candidates, in a dataset and tables of their own; returns where.

    What was searched and read there before is kept, as in any dataset.
    """
    from burnscar_assets.catalog.matching import match_scenes
    from burnscar_assets.dataset.definition import define_windows
    from burnscar_assets.dataset.materialize import materialize_tiles
    from burnscar_assets.dataset.windows import write_windows

    place = DataRoot(root.path / "mining")
    write_dataset_config(settings.imagery, root)
    put_config(place.dataset, config_elsewhere(root.dataset, place.dataset))
    windows = define_windows(candidates, settings.windows)
    write_windows(windows, place.dataset, progress, fire_years=[fire_year])
    matches, _ = match_scenes(windows, place.dataset, settings.imagery, progress)
    tiles, _ = materialize_tiles(windows, matches, place.dataset, settings.imagery, progress)
    for table, rows in ((WINDOWS, windows), (SCENE_MATCHES, matches), (TILES, tiles)):
        write_table(place, table, rows, fire_year)
    return place
