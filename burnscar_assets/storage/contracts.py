"""Columns of every table: names, types and meanings. docs/data-contracts.md follows it.

Tables of what is observed, labelled, sampled and read stand here, those of results in `result_contracts`.
"""

from typing import Final

from burnscar_assets.storage.result_contracts import (
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_SCENES,
    IN_SEASON_MAPS,
    LABEL_DOUBTS,
    LEARNING_CURVES,
    MAP_SCORES,
    PREDICTIONS,
    SEASON_PREDICTIONS,
    SETUP_COMPARISON,
)
from burnscar_assets.storage.tables import Column, Table

RELEASE_RECORDS: Final = Table(
    "release_records",
    "Every record of the release, wildfires and prescribed burns, in one schema; geometry as delivered.",
    keys=("record_id",),
    row="record",
    columns=(
        Column("record_id", "string", "Identity of the record: its GlobalID, or a hash of its naming fields."),
        Column("source", "string", "Label source of the record, by the name of its file: `frap`, …"),
        Column("kind", "string", "`fire`, `prescribed`, or `other`: a burn of neither kind, as far as is known."),
        Column("fire_year", "int", "Fire year of the record, as FRAP's YEAR_; empty where the release has none."),
        Column("agency", "string", "Responsible agency, a code of FRAP's domain."),
        Column("unit_id", "string", "Unit of the agency."),
        Column("fire_name", "string", "Name; not unique."),
        Column("inc_num", "string", "Incident number."),
        Column("irwin_id", "string", "Interagency identifier, without braces, lower case."),
        Column("complex_id", "string", "Identifier of the complex, if any."),
        Column("complex_name", "string", "Name of the complex, if any."),
        Column("cause", "int", "Cause, FRAP's domain 1–19."),
        Column("c_method", "int", "Collection method, FRAP's domain 1–8."),
        Column("alarm_date", "timestamp", "Alarm (for a prescribed burn: start)."),
        Column("containment_date", "timestamp", "Containment (for a prescribed burn: end), or what stands for it."),
        Column(
            "end_kind",
            "string",
            "What `containment_date` is: `contained` or `controlled` as reported, `last_detection` (a satellite saw it "
            "burn), `scene_date` (an image shows the whole scar); empty without a day.",
        ),
        Column(
            "end_precision_days",
            "float",
            "How far off `containment_date` may be, in days; if more than one, images after are that much later.",
        ),
        Column("reported_area_ha", "float", "Area as reported (FRAP's GIS_ACRES), in hectares."),
        Column("flag", "string", "What the source remarks on the perimeter, such as why to doubt it; empty: nothing."),
        Column(
            "kept_instead",
            "string",
            "record_id of the same fire in a source that is named before this one, whose record counts; empty: none.",
        ),
        Column("geometry", "geometry", "Perimeter as delivered; may be empty or invalid."),
    ),
)

FIRE_PERIMETERS: Final = Table(
    "fire_perimeters",
    "Perimeters good enough to be labels: repaired, with area recomputed and quality flags.",
    keys=("fire_id",),
    row="fire",
    columns=(
        Column("fire_id", "string", "Identity of the fire: record_id of the record that was kept."),
        Column("source", "string", "Label source that the perimeter is from."),
        Column("fire_year", "int", "Fire year."),
        Column("fire_name", "string", "Name; not unique."),
        Column("agency", "string", "Responsible agency."),
        Column("unit_id", "string", "Unit of the agency."),
        Column("inc_num", "string", "Incident number."),
        Column("irwin_id", "string", "Interagency identifier."),
        Column("complex_id", "string", "Identifier of the complex; empty if the fire is in none."),
        Column("complex_name", "string", "Name of the complex."),
        Column("cause", "int", "Cause, FRAP's domain."),
        Column("c_method", "int", "Collection method, FRAP's domain."),
        Column("alarm_date", "timestamp", "Alarm."),
        Column("containment_date", "timestamp", "Containment, or the day that stands for it."),
        Column(
            "end_kind", "string", "What `containment_date` is: see `release_records`; `assumed` where no day is known."
        ),
        Column(
            "end_precision_days",
            "float",
            "How far off it may be, in days, see `release_records`; empty if it is assumed.",
        ),
        Column("area_ha", "float", "Area computed in the region's CRS, in hectares."),
        Column("reported_area_ha", "float", "Area as reported, in hectares."),
        Column("flags", "strings", "Quality flags, e.g. `repaired`, `area_mismatch`."),
        Column("flag", "string", "What the source remarks on the perimeter; empty: nothing."),
        Column("simulated", "bool", "Whether the perimeter is simulated."),
        Column("geometry", "geometry", "Valid polygon or multipolygon, unburned islands kept as holes."),
    ),
)

FIRE_PERIMETER_REJECTS: Final = Table(
    "fire_perimeter_rejects",
    "Records of the year that are no labels, each with its reason.",
    keys=("record_id",),
    columns=(
        Column("record_id", "string", "Identity of the record."),
        Column("source", "string", "Label source that it is from."),
        Column("fire_year", "int", "Fire year."),
        Column("fire_name", "string", "Name."),
        Column("unit_id", "string", "Unit of the agency."),
        Column("inc_num", "string", "Incident number."),
        Column("alarm_date", "timestamp", "Alarm."),
        Column("containment_date", "timestamp", "Containment."),
        Column("reported_area_ha", "float", "Area as reported, in hectares."),
        Column("reason", "string", "Why: `containment_missing`, `containment_before_alarm`, `duplicate`, …"),
        Column("detail", "string", "The values behind the reason, for a person to read."),
    ),
)

IN_SEASON_RECORDS: Final = Table(
    "in_season_records",
    "Every record of the in-season source of a fire year, in the columns of the release; geometry as delivered.",
    keys=("record_id",),
    row="record",
    columns=(
        *RELEASE_RECORDS.columns,
        Column("incident_id", "string", "Identifier of the incident, of WFIGS year-unit-number: `2026-CANEU-000123`."),
        Column("newest_id", "string", "record_id of the newest perimeter of the same fire; mostly its own."),
        Column("percent_contained", "float", "Share of the perimeter that is contained, percent, as reported."),
        Column("perimeter_date", "timestamp", "Day that the perimeter is of."),
        Column(
            "contained_by",
            "string",
            "What `containment_date` is, as the source's file calls it: of WFIGS `containment`, `control` or `out`; "
            "`perimeter` (its day, if the fire is at 100 %). Not contained are `expected`, still to come when it was "
            "entered, `burning`, seen by a satellite within a week, and empty.",
        ),
    ),
)

IN_SEASON_PERIMETERS: Final = Table(
    "in_season_perimeters",
    "Perimeters of contained fires that the release doesn't have yet: for mapping, never for training.",
    keys=("fire_id",),
    row="fire",
    columns=(
        *(column for column in FIRE_PERIMETERS.columns if column.name != "geometry"),
        Column("incident_id", "string", "Identifier of the incident."),
        Column("contained_by", "string", "What `containment_date` is: see `in_season_records`."),
        Column("geometry", "geometry", "Valid polygon or multipolygon, unburned islands kept as holes."),
    ),
)

IN_SEASON_REJECTS: Final = Table(
    "in_season_rejects",
    "Records of the in-season source that aren't mapped, or not yet, each with its reason.",
    keys=("record_id",),
    columns=(
        *(column for column in FIRE_PERIMETER_REJECTS.columns if column.name not in ("reason", "detail")),
        Column("reason", "string", "Why: `not_contained`, `superseded`, `below_minimum_area`, `duplicate`, …"),
        Column("detail", "string", "The values behind the reason, for a person to read."),
    ),
)

BURN_HISTORY: Final = Table(
    "burn_history",
    "Every fire and prescribed burn whose scar could still show in the fire year; negatives keep off it.",
    keys=("burn_id",),
    row="burn",
    columns=(
        Column("burn_id", "string", "record_id of the record."),
        Column("source", "string", "Label source that the burn is from."),
        Column("kind", "string", "`fire`, `prescribed`, `other`, or `unsure`: nobody knows whether it burned."),
        Column("burn_year", "int", "Year of the burn, by its dates if it names none; empty if unknown."),
        Column("alarm_date", "timestamp", "Alarm, of burns since the year before; empty if unknown."),
        Column("containment_date", "timestamp", "Containment (for a prescribed burn: end), of the same burns."),
        Column("end_kind", "string", "What that day is, of the same burns: see `release_records`."),
        Column("name", "string", "Name."),
        Column("geometry", "geometry", "Repaired perimeter."),
    ),
)

IN_SEASON_BURNS: Final = Table(
    "in_season_burns",
    "Every burn that maps of the season may show: all fires of the in-season source, contained or not, and those of "
    "the release whose scars could still show.",
    keys=("burn_id",),
    row="burn",
    columns=BURN_HISTORY.columns,
)

FOLDS: Final = Table(
    "folds",
    "Which fold each fire of all years is in, in worlds that have folds in place of blocks of ground.",
    keys=("fire_year", "fire_id"),
    row="fire",
    columns=(
        Column("fire_id", "string", "Fire."),
        Column("fire_year", "int", "Fire year."),
        Column("group_id", "string", "Fires that are connected, so that they share a fold."),
        Column("fold", "string", "`fold_0`, `fold_1`, …"),
        Column("geometry", "geometry", "Box of the ground that the fire is judged and sampled on."),
    ),
)

SAMPLE_POINTS: Final = Table(
    "sample_points",
    "Centres of windows to come, burnt and unburnt, each in one cell of the lattice.",
    keys=("point_id",),
    row="point",
    columns=(
        Column("point_id", "string", "Hash of fire, cell, label and date."),
        Column("fire_year", "int", "Fire year."),
        Column("fire_id", "string", "Fire that the point belongs to; empty for land without fire."),
        Column(
            "cluster_id",
            "string",
            "Cluster of fires (touching perimeters, complexes, rings); for land: its ground block.",
        ),
        Column("stratum", "string", "`burnt`, `ring`, `granule`, `land`, `hard`, `old_scar` or `edge`."),
        Column("category", "string", "Class name, `burnt` or `unburnt`; `mixed` on the edge of a fire."),
        Column(
            "split", "string", "`train`, `val` or `test`: the split of the ground; in a world with folds, its fold."
        ),
        Column("utm_epsg", "int", "EPSG code of the UTM zone whose lattice is used."),
        Column("cell_col", "int", "Column of the lattice cell in its zone."),
        Column("cell_row", "int", "Row of the lattice cell in its zone."),
        Column("alarm_date", "timestamp", "Alarm, before which ground is unburned; empty if unknown."),
        Column(
            "containment_date",
            "timestamp",
            "Day from which imagery is wanted: the fire's last, later if that is unsure.",
        ),
        Column("lon", "float", "Longitude of the centre of the cell, degrees."),
        Column("lat", "float", "Latitude of the centre of the cell, degrees."),
        Column("geometry", "geometry", "Centre of the cell."),
    ),
)

SAMPLE_LOSSES: Final = Table(
    "sample_losses",
    "What did not become a point, by fire, stratum and reason.",
    keys=("fire_id", "stratum", "reason"),
    columns=(
        Column("fire_year", "int", "Fire year."),
        Column("fire_id", "string", "Fire; empty for land without fire."),
        Column("stratum", "string", "Stratum."),
        Column("reason", "string", "`capped`, `ground_of_another_split`, `could_still_show`, `not_selected`, …"),
        Column("points", "int", "How many of the points wanted were lost; lost and had add up to wanted."),
    ),
)

MINED_NEGATIVES: Final = Table(
    "mined_negatives",
    "Windows of land without fire, on training ground, that a checkpoint took for burnt: see `burnscar mine`.",
    keys=("window_id",),
    row="window",
    columns=(
        Column("window_id", "string", "Hash of the window's definition."),
        Column("fire_year", "int", "Fire year of the checkpoint, and of the imagery."),
        Column("utm_epsg", "int", "EPSG code of the UTM zone whose lattice is used."),
        Column("cell_col", "int", "Column of the lattice cell in its zone."),
        Column("cell_row", "int", "Row of the lattice cell in its zone."),
        Column("split", "string", "`train`: no other ground is looked at."),
        Column("acquired", "timestamp", "When the image was taken."),
        Column("burnt_probability", "float", "Model's probability of burnt, 0–1."),
        Column("nbr", "float", "Mean NBR of the window."),
        Column("weights_sha256", "string", "The checkpoint."),
        Column("geometry", "geometry", "Footprint."),
    ),
)

WINDOWS: Final = Table(
    "windows",
    "rslearn windows: where, when, what label, which split.",
    keys=("window_id",),
    row="window",
    columns=(
        Column("window_id", "string", "Hash of the window's definition; its name in the rslearn dataset."),
        Column("fire_year", "int", "Fire year; the group in the rslearn dataset."),
        Column("point_id", "string", "Point that it was made from."),
        Column("fire_id", "string", "Fire; empty for land without fire."),
        Column("cluster_id", "string", "Cluster of fires."),
        Column("stratum", "string", "Stratum of the point."),
        Column("category", "string", "`burnt` or `unburnt`; `mixed` on the edge of a fire, where label rasters tell."),
        Column("split", "string", "`train`, `val` or `test`."),
        Column("utm_epsg", "int", "EPSG code of the projection."),
        Column("min_col", "int", "Left edge, pixels of the projection."),
        Column("min_row", "int", "Upper edge, pixels of the projection (rows grow southwards)."),
        Column("size_px", "int", "Side, pixels."),
        Column("resolution_m", "float", "Ground sampling distance, metres."),
        Column("start_time", "timestamp", "First moment that imagery may be from."),
        Column("end_time", "timestamp", "Last moment that imagery may be from."),
        Column("before_start", "timestamp", "First moment that imagery before the fire may be from; empty if unknown."),
        Column("before_end", "timestamp", "First moment after."),
        Column("burnt_share", "float", "Share of pixels labelled burnt, 0–1; empty without a label raster."),
        Column("unlabelled_share", "float", "Share of pixels without a label, 0–1; empty without a label raster."),
        Column("label_hash", "string", "Hash of the label raster's pixels; empty without one."),
        Column("geometry", "geometry", "Footprint."),
    ),
)

SCENE_MATCHES: Final = Table(
    "scene_matches",
    "Which scenes each window was matched with, and which windows found none.",
    keys=("window_id", "layer", "group_index"),
    row="scene group",
    columns=(
        Column("window_id", "string", "Window."),
        Column("fire_year", "int", "Fire year."),
        Column("layer", "string", "Raster layer."),
        Column("group_index", "int", "Number of the item group (one mosaic or period each)."),
        Column("item_ids", "strings", "Scenes of the group, in mosaic order; empty if none was found."),
        Column("acquired", "timestamp", "Acquisition of the first scene."),
        Column("cloud_cover", "float", "Granule cloud cover of the first scene, percent."),
        Column("clear_fraction", "float", "Share of the window that is clear, 0–1, if it was chosen by that."),
        Column("matched", "bool", "Whether the group has a scene."),
        Column("reason", "string", "Why there is none; empty if there is."),
        Column("source", "string", "Dataset configuration whose catalogue has the scenes; empty if none was found."),
    ),
)

TILES: Final = Table(
    "tiles",
    "Materialized imagery, one row per window and layer.",
    keys=("window_id", "layer"),
    row="tile",
    columns=(
        Column("window_id", "string", "Window."),
        Column("fire_year", "int", "Fire year."),
        Column("layer", "string", "Raster layer."),
        Column("complete", "bool", "Whether the window can be used."),
        Column("reason", "string", "Why it can't: `no_scene`, `nodata`, `unreadable`, `in_doubt`; empty if it can."),
        Column("item_ids", "strings", "Scenes that it was made from."),
        Column("passed_over", "strings", "Scenes that gave way to these, or failed, each with why: `scene: reason`."),
        Column("acquired", "timestamp", "Acquisition of the first scene."),
        Column("processing_baseline", "string", "Processing baseline of the first scene; empty if unknown."),
        Column("clear_fraction", "float", "Share of the window that is clear by SCL, 0–1; empty without SCL."),
        Column(
            "unclear",
            "string",
            "Pixels that are not clear, or lack data, which nothing is trained on: `first+count` of each run, row by "
            "row from 0; a pixel may be in two.",
        ),
        Column("nodata_fraction", "float", "Share of pixels without data, 0–1."),
        Column("content_hash", "string", "SHA-256 of the pixels, bands in the layer's order."),
    ),
)

SCENE_RADIOMETRY: Final = Table(
    "scene_radiometry",
    "What the numbers of each scene were found to be worth, by which evidence.",
    keys=("layer", "item_id"),
    row="scene",
    columns=(
        Column("fire_year", "int", "Fire year."),
        Column("layer", "string", "Raster layer."),
        Column("item_id", "string", "Scene."),
        Column("usable", "bool", "Whether it can be used; if not, it gives way to another one."),
        Column("offset_dn", "int", "What was taken off its digital numbers."),
        Column(
            "decided_by",
            "string",
            "`pixels`; where they prove nothing, a `neighbour` in time, else `statements`; `nothing`: in doubt.",
        ),
        Column("evidence_for", "strings", "What speaks for it."),
        Column("evidence_against", "strings", "What speaks against it, or leaves it unproved."),
    ),
)

ALL_TABLES: Final = (
    RELEASE_RECORDS,
    FIRE_PERIMETERS,
    FIRE_PERIMETER_REJECTS,
    IN_SEASON_RECORDS,
    IN_SEASON_PERIMETERS,
    IN_SEASON_REJECTS,
    IN_SEASON_BURNS,
    BURN_HISTORY,
    FOLDS,
    SAMPLE_POINTS,
    SAMPLE_LOSSES,
    MINED_NEGATIVES,
    WINDOWS,
    SCENE_MATCHES,
    TILES,
    SCENE_RADIOMETRY,
    FIRE_SCENES,
    LABEL_DOUBTS,
    PREDICTIONS,
    SEASON_PREDICTIONS,
    EVALUATION_METRICS,
    MAP_SCORES,
    SETUP_COMPARISON,
    BURNED_AREA_MAPS,
    IN_SEASON_MAPS,
    LEARNING_CURVES,
)
