"""Columns of the tables of fire scenes, evaluations, comparisons and maps; all tables are listed in `contracts`."""

from typing import Final

from burnscar_assets.storage.tables import Column, Table

_PREDICTION_COLUMNS: Final = (
    Column("window_id", "string", "Window."),
    Column("fire_year", "int", "Fire year."),
    Column("fire_id", "string", "Fire; empty for land without fire."),
    Column("cluster_id", "string", "Cluster of fires."),
    Column("stratum", "string", "Stratum."),
    Column("split", "string", "Split of the window's ground."),
    Column("fire_area_ha", "float", "Area of the fire, in hectares; empty for land without fire."),
    Column("days_since_containment", "int", "Days from containment to the acquisition of the image."),
    Column("ecoregion", "string", "Ecoregion of the window's centre; empty if none is known."),
    Column("category", "string", "True class."),
    Column("label_certain", "bool", "Whether dNBR leaves the label certain; empty without an image before the fire."),
    Column("burnt_probability", "float", "Model's probability of burnt, 0–1."),
    Column("calibrated_probability", "float", "The same with the temperature fitted on the validation split, 0–1."),
    Column("predicted", "string", "Model's class, by the threshold fixed on the validation split."),
    Column("nbr", "float", "Mean post-fire NBR of the window."),
    Column("baseline_predicted", "string", "Class by the NBR threshold tuned on the training split."),
    Column("out", "bool", "Whether a person took the fire out of the scores; its windows are answered all the same."),
    Column("geometry", "geometry", "Footprint of the window."),
)

PREDICTIONS: Final = Table(
    "predictions",
    "The checkpoint's answer for every test window of the year, beside the baseline's.",
    keys=("window_id",),
    of_setup=True,
    columns=_PREDICTION_COLUMNS,
)

SEASON_PREDICTIONS: Final = Table(
    "season_predictions",
    "The answer of the fire year before's champion for every window of the year, as it would have served in the "
    "season; empty if there is no such champion.",
    keys=("window_id",),
    of_setup=True,
    columns=_PREDICTION_COLUMNS,
)

EVALUATION_METRICS: Final = Table(
    "evaluation_metrics",
    "Metrics of the fire year's held-out fires by its checkpoint, and of all its fires by the champion of the year "
    "before (scopes `season…`); model beside baseline.",
    keys=("method", "scope", "subset", "fire_id", "metric"),
    row="figure",
    of_setup=True,
    columns=(
        Column("fire_year", "int", "Fire year."),
        Column(
            "method",
            "string",
            "`model` (the checkpoint) or `nbr_threshold` (the baseline); of maps, a predictor of `map_scores`.",
        ),
        Column(
            "scope",
            "string",
            "Of maps: `maps` (over fires, each counted once), `maps_pooled`, `maps_fire_size`, `maps_severity`, "
            "`maps_cover` (all fires' ground of a class), `maps_fire_cover` (fires by the class on which most of each "
            "burned), `maps_unflagged` (fires without a remark of the source), `maps_with_out` (with those that a "
            "person took out), `maps_gain` (the model less a baseline), `maps_no_fire` (false alarms). "
            "Of windows: `pooled`, `fire`, `per_fire` (over fires, each counted once), `fire_size`, "
            "`days_since_containment`, `ecoregion`, `stratum`, `label` (those whose label is certain), `land` (false "
            "alarms), "
            "`calibrated` (after temperature scaling), `reliability`, `pooled_with_out` (with windows of fires that a "
            "person took out), or `cloudy` (windows that are in no other "
            "scope); of the champion of the year before: `season` (pooled), `season_fire`, `season_fire_size`, …, and "
            "`season_other_ecoregion` (windows whose ecoregion it has not seen); of its maps, `season_maps`",
        ),
        Column(
            "subset",
            "string",
            "Part of the scope: `mean` or `median`, a class of size, severity or land cover, a baseline, an ecoregion, "
            "a stratum, a bin; else empty.",
        ),
        Column("fire_id", "string", "Fire, in the scopes that are of one; else empty."),
        Column("metric", "string", "`iou`, `boundary_f_2px`, …; `accuracy`, `f1_burnt`, `iou_burnt`, `auroc`, …"),
        Column("value", "float", "Value of the metric."),
        Column("low", "float", "Lower end of the interval over clusters; empty with fewer than six effective ones."),
        Column("high", "float", "Upper end of the same."),
        Column("windows", "int", "Windows behind the value; none of maps."),
        Column("fires", "int", "Fires behind the value."),
        Column(
            "effective_clusters",
            "float",
            "Clusters of fires (without fires: blocks of ground) of equal size that would tell as much.",
        ),
    ),
)

MAP_SCORES: Final = Table(
    "map_scores",
    "How well each held-out fire's frame is mapped, and how much is falsely mapped in frames without fire: by the "
    "checkpoint, and in the world's own set-up by floors and burn indices too, on the same pixels.",
    keys=("frame_id", "predictor", "seed"),
    of_setup=True,
    columns=(
        Column("frame_id", "string", "Frame, as in `fire_scenes`."),
        Column("fire_id", "string", "Fire; empty for a frame without fire."),
        Column("fire_name", "string", "Name; not unique."),
        Column("fire_year", "int", "Fire year."),
        Column("cluster_id", "string", "Cluster of the fire; of a frame without fire, its block of ground."),
        Column("area_ha", "float", "Area of the fire, in hectares; empty for a frame without fire."),
        Column("flag", "string", "What the source remarks on the perimeter; empty: nothing."),
        Column("out", "bool", "Whether a person took the fire out of the scores; its map is scored all the same."),
        Column(
            "predictor",
            "string",
            "`model` (the checkpoint); floors: `all_burnt`, `ellipse`; burn indices: `nbr`, `nbr_otsu`, `dnbr`, "
            "`dnbr_less_mode`, `dnbr_less_mode_tuned`, `rbr`. Those of change are only where there is an image before. "
            "`season`: the champion of the year before on all fires of the year that have frames, off ground that it "
            "has seen, and so on other pixels.",
        ),
        Column("seed", "int", "Seed that the checkpoint was trained with; of a baseline that of the world's."),
        Column("judged", "bool", "Whether the map is judged."),
        Column("reason", "string", "Why it isn't; empty if it is."),
        Column("coverage", "float", "Share of the fire that images show, 0–1; empty without fire or image."),
        Column("ring_coverage", "float", "The same of its surroundings; of a frame without fire, of all of it."),
        Column("with_before", "bool", "Whether ground counts only where the image before shows it too."),
        Column("threshold", "float", "Value above which a pixel is called burnt; empty if it isn't judged."),
        Column(
            "old_scars_ha",
            "float",
            "Ground that counts, lies above the threshold, and is no burn, as the image before shows the scar already, "
            "in hectares; empty without the rule or an image before.",
        ),
        Column("judged_ha", "float", "Ground that counts, in hectares: the same for all predictors."),
        Column("burnt_ha", "float", "Of it, inside the perimeter."),
        Column("mapped_ha", "float", "Of it, mapped as burned."),
        Column("hits_ha", "float", "Of it, both."),
        Column("unanswered", "float", "Share of it without an answer, which counts as unburnt, 0–1."),
        Column("iou", "float", "Of mapped and burned ground, 0–1; 0 where nothing is mapped."),
        Column("iou_off_outline", "float", "The same without a margin about the outline."),
        Column("f1", "float", "F1 of burnt pixels, 0–1."),
        Column("omission", "float", "Share of the burned ground that isn't mapped, 0–1."),
        Column("commission", "float", "Share of the mapped ground that didn't burn, 0–1; empty if nothing is mapped."),
        Column("area_ratio", "float", "Mapped area over burned area."),
        Column(
            "burnt_unchanged_ha",
            "float",
            "Burned ground of dNBR below 0.1, less the mode; empty without image before.",
        ),
        Column("hits_unchanged_ha", "float", "Of it, mapped as burned."),
        Column("burnt_low_ha", "float", "Burned ground of dNBR from 0.1; empty without an image before."),
        Column("hits_low_ha", "float", "Of it, mapped as burned."),
        Column("burnt_moderate_low_ha", "float", "Burned ground of dNBR from 0.27; empty without an image before."),
        Column("hits_moderate_low_ha", "float", "Of it, mapped as burned."),
        Column("burnt_moderate_high_ha", "float", "Burned ground of dNBR from 0.44; empty without an image before."),
        Column("hits_moderate_high_ha", "float", "Of it, mapped as burned."),
        Column("burnt_high_ha", "float", "Burned ground of dNBR from 0.66; empty without an image before."),
        Column("hits_high_ha", "float", "Of it, mapped as burned."),
        Column(
            "no_cover",
            "float",
            "Share of the ground that counts that has no known class of land cover, 0–1; empty if none is set.",
        ),
        Column("cover", "strings", "Classes of land cover on the ground that counts."),
        Column("cover_burnt_ha", "floats", "Of each class, ground inside the perimeter, in hectares."),
        Column("cover_mapped_ha", "floats", "Of each class, ground mapped as burned."),
        Column("cover_hits_ha", "floats", "Of each class, both."),
        Column("boundary_f_1px", "float", "F1 of the outline's pixels that lie within one pixel of the other outline."),
        Column("boundary_f_2px", "float", "The same within two pixels."),
        Column("boundary_distance_m_mean", "float", "Mean distance of the outlines, both ways, in metres."),
        Column("boundary_distance_m_median", "float", "Median of the same."),
        Column("false_patches", "int", "Patches of falsely mapped ground of half a hectare and more."),
        Column("geometry", "geometry", "Footprint of the frame."),
    ),
)

SETUP_COMPARISON: Final = Table(
    "setup_comparison",
    "Set-ups on the same held-out fires of all years: maps, then windows, with intervals over fires and seeds, the "
    "difference to the reference set-up, and cost. Differences' intervals hold for all pairs of set-ups together; "
    "those of floors and burn indices are of one pair each.",
    keys=("setup", "scope", "metric"),
    row="figure",
    columns=(
        Column(
            "setup",
            "string",
            "Set-up; `default` is that of the world's settings. Floors and burn indices are `baseline/…`.",
        ),
        Column("title", "string", "Its title."),
        Column(
            "kind", "string", "What is trained: `fine_tuned`, `threshold`, `trees`, `ensemble`; `baseline`: nothing."
        ),
        Column(
            "scope",
            "string",
            "`maps` (over held-out fires, each counted once), `quality` (of their windows), `validation` (over "
            "validation fires, by which a default is chosen), or `cost` (median over years and seeds), which no data "
            "version knows of.",
        ),
        Column(
            "metric",
            "string",
            "`iou`, `iou_unflagged`, `iou_median`, …; `f1_burnt`, `precision_burnt`, …; `train_seconds`, "
            "`train_memory_mb`, `gpu_memory_mb`, `predict_windows_per_s`, `parameters`.",
        ),
        Column("value", "float", "Value of the metric, the mean over seeds."),
        Column("low", "float", "Lower end of its own interval over fires and seeds."),
        Column("high", "float", "Upper end of the same."),
        Column("reference", "string", "Set-up that it is compared with."),
        Column("difference", "float", "Value less that of the reference."),
        Column("difference_low", "float", "Lower end of the interval of the difference."),
        Column("difference_high", "float", "Upper end of the same."),
        Column(
            "verdict", "string", "Of `f1_burnt`: `better`, `worse`, `no difference shown`, `reference`; else empty."
        ),
        Column("seeds", "int", "Seeds that it was trained with."),
        Column("seed_low", "float", "Least value of a seed; empty with one seed."),
        Column("seed_high", "float", "Greatest value of a seed; empty with one seed."),
        Column("windows", "int", "Held-out windows, the same for all set-ups."),
        Column("fires", "int", "Fires behind them."),
    ),
)

FIRE_SCENES: Final = Table(
    "fire_scenes",
    "The frames that held-out and validation fires of the year are judged on, and frames without fire; those without "
    "an image have a reason.",
    keys=("frame_id",),
    row="frame",
    columns=(
        Column("frame_id", "string", "Frame: the name of its window in the rslearn dataset of fire scenes."),
        Column("fire_id", "string", "Fire; empty for a frame without fire."),
        Column("fire_year", "int", "Fire year."),
        Column("role", "string", "`fire` or `no_fire`."),
        Column("split", "string", "`val` or `test`."),
        Column("cluster_id", "string", "Cluster of the fire; of a frame without fire, its block of ground."),
        Column("utm_epsg", "int", "EPSG code of the UTM zone."),
        Column("min_col", "int", "First column of the frame in the zone's grid."),
        Column("min_row", "int", "First row; rows grow southwards."),
        Column("width_px", "int", "Columns."),
        Column("height_px", "int", "Rows."),
        Column("resolution_m", "float", "Side of a pixel, in metres."),
        Column("layer", "string", "Layer of the image after; the image before is in `<layer>_pre`."),
        Column("bands", "strings", "Bands of the images, in their order."),
        Column("complete", "bool", "Whether there is an image after the fire."),
        Column("reason", "string", "Why there is none: `no_scene`, `too_cloudy` or `no_data`; empty if there is."),
        Column("after_items", "strings", "Scenes after, by their numbers in the image."),
        Column("after_times", "strings", "When each was acquired, ISO 8601 in UTC."),
        Column("before_items", "strings", "Scenes before; empty without such an image."),
        Column("before_times", "strings", "When each was acquired."),
        Column("before_since", "timestamp", "When the image before was taken, where it is of an earlier season."),
        Column("clear_fraction", "float", "Share of the frame whose ground the image after shows, 0–1."),
        Column("before_clear_fraction", "float", "The same of the image before; empty without one."),
        Column("burnt_share", "float", "Share of the frame inside the fire's perimeter, 0–1."),
        Column("unlabelled_share", "float", "Share of it that isn't judged: other burns, ground of another split."),
        Column("image_hash", "string", "Hash of the pixels of both images, with their scenes and validity."),
        Column("label_hash", "string", "Hash of the truth of its pixels."),
        Column("simulated", "bool", "Whether imagery or perimeter is simulated."),
        Column("geometry", "geometry", "Footprint of the frame."),
    ),
)

LABEL_DOUBTS: Final = Table(
    "label_doubts",
    "What the images of each judged fire say of its perimeter, by a burn index and no model, and which fires a person "
    "should look at first. Nothing leaves the score by it.",
    keys=("fire_year", "fire_id"),
    row="fire",
    columns=(
        Column("fire_id", "string", "Fire."),
        Column("fire_name", "string", "Name; not unique."),
        Column("fire_year", "int", "Fire year."),
        Column("area_ha", "float", "Area of the perimeter, in hectares."),
        Column("split", "string", "`val` or `test`; in a world with folds, its fold."),
        Column("frame_id", "string", "Frame, as in `fire_scenes`."),
        Column(
            "evidence",
            "string",
            "Images that it is from: `before_after` (dNBR less the frame's mode above 0.1), `after` (NBR below Otsu's "
            "cut of the frame), or `none`.",
        ),
        Column("reason", "string", "Why there is none; empty if there is."),
        Column("changed_inside", "float", "Share of the land within the perimeter that changed, 0–1."),
        Column("changed_beside", "float", "The same of the land 30 to 150 m outside it."),
        Column("least_inside", "float", "Share below which nothing changed, a tenth of the reference fires': 0–1."),
        Column("most_beside", "float", "Share above which the burn goes on, by the same fires."),
        Column(
            "reference_fires",
            "int",
            "Fires with the same evidence that the bounds are from: of other folds, or for validation; 0: too few, set "
            "bounds.",
        ),
        Column("doubts", "strings", "`nothing_changed` and `goes_on`; none: not listed."),
        Column("flag", "string", "What the source remarks on the perimeter; empty: nothing."),
        Column("geometry", "geometry", "The perimeter."),
    ),
)

BURNED_AREA_MAPS: Final = Table(
    "burned_area_maps",
    "The held-out fires of the year, each with what its map says; those without a map have a reason.",
    keys=("fire_id",),
    row="fire",
    columns=(
        Column("fire_id", "string", "Fire."),
        Column("fire_year", "int", "Fire year."),
        Column("fire_name", "string", "Name; not unique."),
        Column("source", "string", "Where the perimeter is from."),
        Column("complete", "bool", "Whether there is a map."),
        Column(
            "reason",
            "string",
            "Why there is none: `no_scene`, `too_cloudy`, `no_data`, or `no_image_before` where the set-up reads one; "
            "empty if there is.",
        ),
        Column("start", "string", "First day that imagery may be from."),
        Column("end", "string", "Last day that imagery may be from."),
        Column("checkpoint_year", "int", "Fire year of the checkpoint."),
        Column("weights_sha256", "string", "Its weights."),
        Column("item_ids", "strings", "Scenes that pixels of the map are of."),
        Column(
            "threshold", "float", "Calibrated probability above which a pixel is called burnt, by validation fires."
        ),
        Column("clear_fraction", "float", "Share of the mapped area that shows the ground, 0–1."),
        Column("valid_fraction", "float", "Share of it that has an answer, 0–1."),
        Column("seen_fraction", "float", "Share of it that the checkpoint was trained on, which has no answer, 0–1."),
        Column("other_burns_fraction", "float", "Share of it that other burns of the season hold: no answer, 0–1."),
        Column("old_scars_fraction", "float", "Share of it, outside the perimeter, that older scars hold, 0–1."),
        Column("old_scars_mapped_ha", "float", "Of these scars, mapped burnt, in hectares."),
        Column(
            "old_scars_refused_ha",
            "float",
            "Ground above the threshold that is mapped unburnt, as the image before shows the scar already, in "
            "hectares; empty without the rule or an image before.",
        ),
        Column("mapped_ha", "float", "Burned area as counted on the map, in hectares."),
        Column("burned_ha", "float", "Burned area as corrected for the map's errors, in hectares; empty if it is not."),
        Column("low_ha", "float", "Lower end of its confidence interval."),
        Column("high_ha", "float", "Upper end of its confidence interval."),
        Column(
            "corrected_by",
            "string",
            "From what: `sample` drawn on the map, or `validation_fires`' maps; empty if pixels are only counted.",
        ),
        Column("iou", "float", "Of mapped and official burned area, 0–1."),
        Column("omission", "float", "Share of the official area that is not mapped burnt, 0–1."),
        Column("commission", "float", "Share of the mapped area outside the official one, 0–1."),
        Column("boundary_distance_m_median", "float", "Median distance between the two outlines, in metres."),
        Column("boundary_distance_m_p95", "float", "Its 95th percentile, in metres."),
        Column("islands_ha", "float", "Unburned islands of the official perimeter, in hectares."),
        Column("islands_found_ha", "float", "Of these, mapped unburnt, in hectares."),
        Column(
            "calibration_error_before", "float", "Mean distance of probabilities from burnt shares, as the model's."
        ),
        Column("calibration_error", "float", "The same of the map's probabilities, which are calibrated, 0–1."),
        Column("simulated", "bool", "Whether imagery or perimeter is simulated."),
        Column("inputs_hash", "string", "Hash of everything that the map follows from."),
        Column("geometry", "geometry", "Footprint of the map."),
    ),
)

IN_SEASON_MAPS: Final = Table(
    "in_season_maps",
    "The contained fires that the release doesn't have yet, each with what its map says, as in `burned_area_maps`.",
    keys=("fire_id",),
    row="fire",
    columns=BURNED_AREA_MAPS.columns,
)

LEARNING_CURVES: Final = Table(
    "learning_curves",
    "How well set-ups map the same held-out fires by how many fires they were trained with, by `burnscar curve`; means "
    "are over fires, each counted once, and over seeds.",
    keys=("setup", "training_fires"),
    row="point of a curve",
    columns=(
        Column("setup", "string", "Set-up; `default` is that of the world's settings."),
        Column("title", "string", "Its title."),
        Column("training_fires", "int", "Training fires of each checkpoint; each set of them holds the smaller ones."),
        Column("training_windows", "float", "Their training windows, negatives too, mean over checkpoints."),
        Column("checkpoints", "int", "Checkpoints: of every seed, in a world with folds by fold."),
        Column("seeds", "int", "Seeds that it was trained with."),
        Column("fires", "int", "Held-out fires that maps of every point of the curve are judged on."),
        Column("effective_clusters", "float", "Pieces of ground of equal size that would tell as much as theirs."),
        Column("iou", "float", "Mean IoU of their maps, 0–1."),
        Column("low", "float", "Lower end of its interval over pieces of ground and seeds."),
        Column("high", "float", "Upper end of the same."),
        Column("iou_median", "float", "Median over fires of the same, mean over seeds."),
        Column("gain", "float", "Mean IoU less that of the point before, paired over fires; empty for the first."),
        Column("gain_low", "float", "Lower end of its interval, which holds for all pairs of points together."),
        Column("gain_high", "float", "Upper end of the same."),
    ),
)
