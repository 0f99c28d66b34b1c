"""The page of one map: figures, provenance, terms of use and downloads."""

from collections.abc import Sequence
from math import ceil, log10
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pyproj import Proj

from burnscar_assets.mapping.severity import SEVERITY_CLASSES
from burnscar_assets.publish.agreement import COMMISSION, OMISSION
from burnscar_assets.publish.area import SAMPLE, VALIDATION_FIRES
from burnscar_assets.publish.pages.drawing import (
    BEFORE,
    SEVERITY,
    Disagreement,
    Drawing,
    picture_shape,
    probability_ramp,
)
from burnscar_assets.publish.pages.records import Grid, MapRecord, ReadMap, Scene
from burnscar_assets.publish.pages.templating import (
    day,
    hectares,
    known,
    metres,
    period,
    position,
    ratio,
    render,
    share,
    size,
)
from burnscar_assets.publish.polygons import PERIMETER_LAYER

RAMP_STOPS: Final = 11
BAR_SHARE: Final = 0.25
"""Length of the scale bar, at most, as a share of the picture's width."""

CORRECTED_BY: Final = {SAMPLE: "a sample drawn on the map", VALIDATION_FIRES: "the maps of validation fires"}
GAPS: Final = ("cloud", "nodata", "left_out")
PLACE_TEXT: Final = {
    COMMISSION: "mapped as burnt, outside the perimeter",
    OMISSION: "mapped as unburnt, inside the perimeter",
}
FILES: Final = {
    "map.qgs": "QGIS project with all layers, styled",
    "burned_area.gpkg": "polygons: burned ground, official perimeter (GeoPackage)",
    "burned_area.parquet": "burned ground (GeoParquet)",
    "burned_area.geojson": "burned ground, longitude and latitude (GeoJSON)",
    "probability.tif": "probability of burn, 0 to 1 (COG)",
    "burned.tif": "1 burnt, 0 unburnt, 255 no answer (COG)",
    "severity.tif": "severity class from dNBR (COG)",
    "dnbr.tif": "difference of the normalised burn ratio (COG)",
    "acquired.tif": "day of each pixel, days since 1970-01-01 (COG)",
    "validity.tif": "0 valid, 1 cloud or shadow, 2 no data (COG)",
    "ground.tif": "1 the model was trained on it, 2 another burn of the season, 3 or 4 an older scar (COG)",
    "after.tif": "image after the fire: {bands} (COG)",
    "before.tif": "image before the fire: {bands} (COG)",
    "item.json": "STAC item",
    "map.json": "figures and provenance, for programs",
}


def fire_page(a_map: ReadMap, drawing: Drawing, *, folder_title: str, simulated: bool) -> str:
    """The page of a map as HTML.

    `simulated` says so of the whole folder; the map's own record can say so too.
    """
    record, grid = a_map.record, a_map.grid
    rows, columns = picture_shape(grid)
    return render(
        "fire",
        script="viewer",
        name=record.name,
        year=record.fire_year,
        folder_title=folder_title,
        simulated=simulated or record.simulated,
        sensor=record.imagery.sensor,
        period=period(record.start, record.end),
        width=grid.width,
        height=grid.height,
        pixel_m=grid.pixel_m,
        hatch=round(max(grid.width, grid.height) / 90, 3),
        before=BEFORE in drawing.pictures,
        severity=SEVERITY in drawing.pictures,
        gaps=any(drawing.outlines.get(name) for name in GAPS),
        notes=record.notes,
        outlines=drawing.outlines,
        perimeter_name="Official perimeter",
        places=[_place(place) for place in drawing.disagreements],
        description=_description(record, drawing),
        caption=_caption(record, grid, rows, columns),
        days={"before": _days(record.scenes_before), "after": _days(record.scenes)},
        scale=_scale(grid),
        north=round(north_degrees(grid), 2),
        ramp=ramp_css(),
        severity_classes=[{"label": item.name, "colour": item.colour} for item in SEVERITY_CLASSES],
        severity_bars=_severity_bars(record),
        headline=_headline(record),
        figures=_figures(record),
        provenance=provenance(record, grid),
        scenes=[
            {"use": use, "acquired": day(scene.acquired), "item": scene.item, "baseline": scene.baseline or "–"}
            for use, scenes in (("before", record.scenes_before), ("after", record.scenes))
            for scene in sorted(scenes, key=lambda scene: (scene.acquired, scene.item))
        ],
        licences=licences(record, simulated=simulated or record.simulated),
        files=downloads(a_map.folder, record.imagery.bands),
    )


def ramp_css() -> str:
    """The ramp of probabilities as a CSS gradient, over the colour of land."""
    ramp = probability_ramp()
    stops = [ramp[round(step * (len(ramp) - 1) / (RAMP_STOPS - 1))] for step in range(RAMP_STOPS)]
    return f"linear-gradient(to right, {', '.join(f'rgb({r} {g} {b} / {a / 255:.2f})' for r, g, b, a in stops)})"


def north_degrees(grid: Grid) -> float:
    """Where true north is in the middle of the picture, degrees clockwise from up."""
    left, bottom, right, top = grid.bounds
    projection = Proj(grid.crs)
    lon, lat = projection((left + right) / 2, (bottom + top) / 2, inverse=True)
    return -float(projection.get_factors(lon, lat).meridian_convergence)


def _days(scenes: Sequence[Scene]) -> str:
    """The day or days of some scenes in words."""
    days = sorted(scene.acquired for scene in scenes)
    return period(days[0], days[-1]) if days else ""


def _scale(grid: Grid) -> dict[str, Any]:
    """A round length that takes up to a quarter of the picture's width."""
    width_m = grid.width * grid.pixel_m
    most = width_m * BAR_SHARE
    power = 10 ** (ceil(log10(most)) - 1)
    length = next(step * power for step in (10, 5, 2, 1) if step * power <= most)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return {"percent": round(100 * length / width_m, 3), "label": label}


def _place(place: Disagreement) -> dict[str, Any]:
    left, top, right, bottom = place.box
    depth = f"up to {metres(place.depth_m)} from the outline · " if place.depth_m else ""
    return {
        "x": left,
        "y": top,
        "width": round(right - left, 1),
        "height": round(bottom - top, 1),
        "outline": place.outline,
        "text": PLACE_TEXT[place.kind],
        "area": hectares(place.area_ha),
        "note": f"{depth}confidence {share(place.confidence)} · {position(place.lon, place.lat)}",
    }


def _description(record: MapRecord, drawing: Drawing) -> str:
    what = f"{record.imagery.sensor} image in short-wave infrared after {record.name}"
    lines = "with the model’s outline of burned ground"
    if drawing.outlines.get(PERIMETER_LAYER):
        lines += " over the official perimeter"
    return f"{what}, {lines}. Mapped burned area: {hectares(record.area_ha.mapped)} hectares."


def _caption(record: MapRecord, grid: Grid, rows: int, columns: int) -> str:
    drawn = "Each pixel of the picture is one of the map" if (rows, columns) == (grid.height, grid.width) else (
        f"The picture shows the map at {grid.pixel_m * grid.width / columns:.0f} m a pixel; the files hold it at "
        f"{grid.pixel_m:g} m"
    )  # fmt: skip
    red, green, blue = record.imagery.shown
    plants = "green" if green != blue else "blue-green"
    bands = (
        f"{red}, {green} and {blue} as red, green and blue: burned ground is brown to red, living plants are {plants}"
    )
    origin = "Simulated image, " if record.simulated else f"{record.imagery.sensor}, "
    return f"{origin}{bands}; every map and date in the same brightness. {drawn}."


def _headline(record: MapRecord) -> dict[str, str]:
    area = record.area_ha
    if known(area.low) and known(area.high):
        confidence = f"{100 * (area.confidence or 0.95):.0f} %"
        source = f" from {CORRECTED_BY[area.corrected_by]}" if area.corrected_by else ""
        note = f"burned, estimated{source}; {confidence} interval {hectares(area.low)} to {hectares(area.high)} ha"
        return {"value": hectares(area.estimate), "unit": "ha", "note": note}
    return {"value": hectares(area.mapped), "unit": "ha", "note": "mapped as burned: pixels counted, not corrected"}


def _figures(record: MapRecord) -> list[dict[str, str]]:
    rows = [_row("Mapped area", f"{hectares(record.area_ha.mapped)} ha", "sum of the polygons")]
    if record.sample is not None:
        accuracy = f"{share(record.sample.users_accuracy)}, {share(record.sample.producers_accuracy)}"
        points = f"user’s and producer’s, of burnt, by {record.sample.points} points of {record.sample.file}"
        rows.append(_row("Accuracy", accuracy, points))
    found = record.agreement
    if found is None:
        rows.append(_row("Official perimeter", "none", "nothing to compare with"))
    else:
        rows += [
            _row("IoU", ratio(found.iou), "shared ground by ground of either"),
            _row("Omission", share(found.omission), "of the perimeter, not mapped"),
            _row("Commission", share(found.commission), "of the map, outside the perimeter"),
            _row(
                "Boundary distance",
                f"{metres(found.boundary_distance_m_median)}, {metres(found.boundary_distance_m_p95)}",
                "median, and what 95 % lie within",
            ),
        ]
        if known(found.islands_ha):
            islands = f"{hectares(found.islands_found_ha)} of {hectares(found.islands_ha)} ha"
            rows.append(_row("Unburned islands found", islands, "inside the perimeter"))
    if record.reliability is not None and known(record.reliability.error_after):
        error = record.reliability
        before = f"between probability and burnt share; {ratio(error.error_before)} before calibration"
        rows.append(_row("Calibration error", ratio(error.error_after), before))
    rows.append(_row("Ground with an answer", share(record.valid_fraction), "free of cloud, shadow and gaps"))
    return rows


def _row(label: str, value: str, note: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "note": note}


def _severity_bars(record: MapRecord) -> list[dict[str, Any]]:
    areas = record.severity_ha or {}
    most = max([*areas.values(), 1e-9])
    return [
        {
            "label": item.name,
            "colour": item.colour,
            "percent": round(100 * areas[item.name] / most, 1),
            "value": f"{hectares(areas[item.name])} ha",
        }
        for item in SEVERITY_CLASSES
        if item.name in areas
    ]


def provenance(record: MapRecord, grid: Grid) -> list[dict[str, str | bool]]:
    """Label and value of each fact, in the order in which a reader asks."""
    checkpoint = record.checkpoint
    trained = f"fire year {checkpoint.fire_year}" if checkpoint.fire_year else ""
    rows = [
        ("Perimeter", record.source, False),
        ("Id", record.fire_id or "", True),
        ("Imagery sought", period(record.start, record.end), False),
        ("Clear of cloud", share(record.clear_fraction), False),
        ("Set-up", record.setup or "", False),
        ("Checkpoint", trained, False),
        ("Trained on", f"fires of {_years(record)}" if record.trained_on_fire_years else "", False),
        ("Weights, SHA-256", checkpoint.weights_sha256, True),
        ("Threshold", f"burnt from probability {ratio(record.threshold)}", False),
        ("Calibration", _calibration(record), False),
        ("Grid", f"{grid.crs.name}, {grid.pixel_m:g} m, {grid.width} × {grid.height} pixels", False),
        *((f"Data version, {name}", str(value), True) for name, value in sorted(record.data_versions.items())),
    ]
    return [{"label": label, "value": value, "code": code} for label, value, code in rows if value]


def _calibration(record: MapRecord) -> str:
    found = record.calibration
    if found is None:
        return ""
    return f"log odds × {found.slope:.3g} {found.intercept:+.3g}, fitted on {found.fixed_on}"


def _years(record: MapRecord) -> str:
    years = sorted(record.trained_on_fire_years)
    run = years == list(range(years[0], years[-1] + 1)) and len(years) > 2
    return f"{years[0]}–{years[-1]}" if run else ", ".join(map(str, years))


def licences(record: MapRecord, *, simulated: bool) -> list[str]:
    """What has to be said of what the map contains."""
    year = record.end[:4]
    producer = record.imagery.producer
    if simulated:
        lines = ["Imagery simulated by burnscar_assets: no observation of the Earth."]
    else:
        lines = [f"Imagery: {record.imagery.sensor}." if producer is None else producer.credit.replace("{year}", year)]
    if drawn_by := record.perimeter_producer:
        terms = f"Terms of use: {drawn_by.terms}" if drawn_by.terms else f"Look its terms of use up at {drawn_by.url}"
        lines.append(f"{drawn_by.credit} {terms}")
    return [*lines, record.checkpoint.notice] if record.checkpoint.notice else lines


def downloads(folder: Path, bands: str) -> list[dict[str, str]]:
    """Name, link, description and size of each file that is there, what people ask for first at the top."""
    there = {name: folder / name for name in FILES if (folder / name).is_file()}
    return [
        {
            "name": name,
            "href": quote(name),
            "text": FILES[name].replace("{bands}", bands),
            "size": size(path.stat().st_size),
        }
        for name, path in there.items()
    ]
