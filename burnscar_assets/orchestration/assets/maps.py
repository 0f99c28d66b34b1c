"""Burned-area maps: an asset by fire year for its held-out fires, and a job for any area of interest."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from burnscar_assets.dataset.config import write_dataset_config
from burnscar_assets.days import YEAR_AHEAD, image_day
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.processes import run_process, steps_to
from burnscar_assets.orchestration.reporting import reporter
from burnscar_assets.orchestration.runs import gpu_stage_tags
from burnscar_assets.orchestration.stage import GPU_POOL, OWNERS, StageRun, provenance
from burnscar_assets.publish.area import SAMPLE, VALIDATION_FIRES
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.changes import read_if_whole, table_changes
from burnscar_assets.storage.contracts import BURNED_AREA_MAPS
from burnscar_assets.storage.tables import read_table

if TYPE_CHECKING:
    from burnscar_assets.mapping.spec import MapSpec

MAPPER = "burnscar_assets.publish.mapper"
GROUP = "maps"
AOI_MAP = "aoi_map"
"""Key of the asset that maps of areas of interest are recorded under."""

AOI_JOB = "map_area"
EXTERNAL = "An area of interest that was mapped: by the job map_area, or by burnscar map."


def burned_area_maps(run: StageRun) -> dg.MaterializeResult:
    """A burned-area map of each held-out fire, by the checkpoint of `mapping.setup` that has not seen it.

    Probability, outlines, area (with its interval where errors are known), severity, agreement with the official
    perimeter; with pages.
    """
    from burnscar_assets.publish.plan import plan_year
    from burnscar_assets.publish.plots import plot_maps

    year, root, settings, seen = run.year, run.root, run.settings, run.world.mapped
    before = read_if_whole(root, BURNED_AREA_MAPS, year)
    spec = plan_year(seen.settings, seen.root, year, settings.mapping.setup)
    run_process(run.context, run.world, MAPPER, spec.write(root.spec("mapping", year)), steps_to(run.progress))
    maps = read_table(root, BURNED_AREA_MAPS, year)
    preview = partial(plot_maps, maps, title=f"Burned-area maps {year}", simulated=settings.simulated_imagery)
    metadata = {
        "burnscar/index": dg.MetadataValue.path(root.maps(year) / "index.html"),
        "burnscar/setup": settings.mapping.setup,
        "burnscar/maps": int(maps["complete"].sum()),
        **{f"burnscar/area_by_{by}": int((maps["corrected_by"] == by).sum()) for by in (SAMPLE, VALIDATION_FIRES)},
        "burnscar/without_imagery": int((~maps["complete"].astype(bool)).sum()),
        "burnscar/judged": int(maps["iou"].notna().sum()),
        **{f"burnscar/median_{name}": value for name in ("iou", "omission", "commission")
           if (value := _median(maps, name)) is not None},
    }  # fmt: skip
    return run.table_result(BURNED_AREA_MAPS, maps, table_changes(BURNED_AREA_MAPS, before, maps), metadata, preview)


class AoiConfig(dg.Config):
    """What to map, and when."""

    aoi: str = Field(
        description="Path of a GeoJSON, GeoPackage, GeoParquet, KMZ or shapefile (also zipped), GeoJSON itself, or "
        "west,south,east,north in degrees."
    )
    start: str = Field(description="First day that imagery may be from, such as 2021-08-01.")
    end: str = Field(description="Last day that imagery may be from.")
    before_start: str | None = Field(
        None, description="First day of an image before the fire, which severity is told from; empty: none."
    )
    before_end: str | None = Field(None, description="Last day of it.")
    year: int | None = Field(None, description="Fire year of the checkpoint; empty: the newest before the imagery.")
    setup: str | None = Field(None, description="Set-up whose checkpoint is used; empty: the one that maps fires.")
    name: str | None = Field(None, description="Name of the map; empty: that of the file, and the days.")
    reference: str | None = Field(
        None, description="Path of points that a person drew on this map, with burnt or unburnt in the field seen."
    )
    source: str | None = Field(None, description="Where the area is from, for the map's provenance.")
    yes: bool = Field(False, description="Whether the map may keep the model busy for long.")


def build_aoi_job(world: World) -> dg.JobDefinition:
    """The job that maps an area of interest; its configuration is asked for in the web UI's launchpad."""

    @dg.op(
        name="make_aoi_map",
        pool=GPU_POOL,
        tags=gpu_stage_tags(world.settings),
        description="Maps burned ground of an area of interest.",
    )
    def map_area(context: dg.OpExecutionContext, config: AoiConfig) -> None:
        given = config.model_dump()
        spec = aoi_spec(world, **given | {"reference": Path(given["reference"]) if given["reference"] else None})
        path = spec.write(world.root.map_work(None) / spec.tasks[0].name / "spec.json")
        run_process(context, world.of(spec.setup), MAPPER, path, steps_to(reporter(context)))  # type: ignore[arg-type]
        context.log_event(dg.AssetMaterialization(AOI_MAP, metadata=aoi_metadata(world, spec)))

    @dg.job(name=AOI_JOB, description="Maps burned ground of an area of interest, for any place and time.")
    def job() -> None:
        map_area()

    return job


def build_aoi_asset(world: World) -> dg.AssetSpec:
    """Where the maps of areas of interest are recorded; nothing makes it but the job."""
    return dg.AssetSpec(AOI_MAP, group_name=GROUP, owners=OWNERS, description=EXTERNAL, metadata=provenance(world))


def aoi_spec(
    world: World,
    aoi: str,
    start: str,
    end: str,
    setup: str | None = None,
    *,
    before_start: str | None = None,
    before_end: str | None = None,
    **options: Any,
) -> "MapSpec":
    """Inputs of the mapper for an area of interest; `options` are fields of `mapping.plan.AoiRequest`.

    Raises:
        InputError: the area or the days are unusable.
        MissingDataError: there is no checkpoint.
        SettingsError: there is no such set-up.
    """
    from burnscar_assets.publish.aoi import read_aoi
    from burnscar_assets.publish.plan import AoiRequest, plan_aoi

    setup = setup or world.settings.mapping.setup
    seen = world.of(setup)
    write_dataset_config(seen.settings.imagery, world.root)
    area = read_aoi(aoi)
    day = partial(image_day, area.name, world.settings.sensor)
    days, before = (day("start", start), day("end", end, YEAR_AHEAD)), None
    if before_start or before_end:
        before = day("before_start", before_start or ""), day("before_end", before_end or "")
    return plan_aoi(seen.settings, seen.root, AoiRequest(area, days, before, setup=setup, **options))


def aoi_metadata(world: World, spec: "MapSpec") -> dict[str, Any]:
    """What the web UI shows of a map of an area of interest."""
    folder = spec.tasks[0].folder
    record = read_json(folder / "map.json")
    area = record.get("area_ha") or {}
    shown = {
        "dagster/uri": str(folder),
        "burnscar/index": dg.MetadataValue.path(Path(spec.pages or folder) / "index.html"),
        "burnscar/setup": spec.setup,
        "burnscar/checkpoint_year": spec.checkpoint_year,
        "burnscar/clear_fraction": record.get("clear_fraction"),
        "burnscar/mapped_ha": area.get("mapped"),
    }
    return {name: value for name, value in shown.items() if value is not None} | provenance(world)


def _median(maps: Any, name: str) -> float | None:
    value = maps[name].median()
    return None if value != value else round(float(value), 4)  # noqa: PLR0124 - not a number
