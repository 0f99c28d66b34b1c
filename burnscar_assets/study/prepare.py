"""Preparing a study: everything between two paths that a person gives, and a world that the ordinary commands run.

What comes about lies in the data root: `world.yaml`, `sensors/own.yaml`, `days.csv`, `images.parquet` (the index) and
`extent.parquet` (the ground that images show). Settings and sensor are written once and then a person's; the others
follow from images and perimeters and are written anew where these changed.
"""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd
import yaml

from burnscar_assets.catalog.own_days import COLUMNS, Days, read_days
from burnscar_assets.catalog.own_fires import ImagesOfFires, match_fires
from burnscar_assets.catalog.own_images import OwnFile, Problems, index_images, read_headers, refuse
from burnscar_assets.catalog.own_sensor import OWN, infer_sensor
from burnscar_assets.environment import CONFIG_VARIABLE
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.labels.perimeters import ASSUMED, clean_perimeters
from burnscar_assets.labels.release import fetch_release
from burnscar_assets.progress import Progress, silent
from burnscar_assets.regions.load import DEFAULT, load_region, work_in
from burnscar_assets.sensors.load import FOLDER, load_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import (
    PerimeterSettings,
    ReleaseSettings,
    Settings,
    WindowSettings,
    load_settings,
    parse_settings,
)
from burnscar_assets.setups import setup_files
from burnscar_assets.storage.atomic import atomic_file, write_if_changed
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.study.fitting import OWN_TWIN, link_weights, unfit_setups, write_trained_setups
from burnscar_assets.study.world_file import CHANGE_DATASET, Found, world_text
from burnscar_assets.text import some_of

INDEX, DAYS, EXTENT = "images.parquet", "days.csv", "extent.parquet"
"""Files of a study in its data root."""

ASSUMED_DAYS: Final = {"composites": 0, "scenes": 14}
"""Days from alarm to containment that a new study assumes where no date is known, by the kind of the sensor.

A scene of the alarm's day shows a fire that still burns; composites after a fire are taken for what they are called.
"""


@dataclass(frozen=True)
class StudyOptions:
    """What a person gives a study.

    Attributes:
        images: folder of GeoTIFFs.
        perimeters: vector file of the fires.
        sensor: name or path of a sensor; None: found out from the files.
        region: where the fires lie: name or path of a region; None: as the settings say, or the default.
        change: whether windows are to have an image before their fire too; fires without one are left out then.
        bands: names of the bands that a sensor which is found out is to have; None: all that most images have.
        days: table of the images' days, see `own_days.read_days`.
        offset: what each number carries beside reflectance, for sensors whose baselines add an offset.
        weights: folder of pretrained weights by encoder.
    """

    images: Path
    perimeters: Path
    sensor: str | None = None
    days: Path | None = None
    offset: int | None = None
    weights: Mapping[str, Path] | None = None
    bands: tuple[str, ...] | None = None
    change: bool = False
    region: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A world that is ready to run.

    `told` is what was found and assumed, `left_out` what can't be judged, with how many and why; a sentence each.
    """

    settings_file: Path
    settings: Settings
    told: tuple[str, ...]
    left_out: tuple[str, ...]


def prepare_study(options: StudyOptions, root: DataRoot, progress: Progress = silent) -> Prepared:
    """Write the world of a study, or bring what follows from its images and perimeters in line.

    Raises:
        InputError: images or perimeters can't be used, or have nothing in common.
        SettingsError: the data root is that of another world, or its files have mistakes.
        StorageError: the data root can't be written.
    """
    os.environ[CONFIG_VARIABLE] = str(root.world_file)
    images, perimeters = options.images.resolve(), options.perimeters.resolve()
    known = _known_world(images, perimeters, root)
    if known is not None and options.region not in (None, known.region):
        raise SettingsError(
            f"--region {options.region}: {root.world_file} lies in {known.region}: give another --data, or leave it out"
        )
    work_in(known.ground if known else load_region(options.region or DEFAULT))
    change = _wants_change(options, known, root)
    problems: Problems = defaultdict(list)
    files = read_headers(images, problems, progress)
    refuse(problems)
    sensor, told = _sensor(options, images, files, root, known)
    fires, rejected = _fires(
        perimeters,
        root,
        known.perimeters if known else PerimeterSettings(assumed_duration_days=ASSUMED_DAYS[sensor.kind]),
    )
    windows = known.windows if known else WindowSettings()
    given = {} if options.days is None else read_days(options.days, files)
    matched = match_fires(images, files, sensor, fires, windows, given, progress, change=change)
    years = sorted({year for some in matched.covered["fire_years"] for year in some})
    if not years:
        raise InputError(_nothing_shown(images, perimeters, windows, sensor, matched))
    write_if_changed(root.path / DAYS, _days_table(matched.days))
    _write_extent(root.path / EXTENT, matched.covered)
    index_images(images, sensor, root.path / INDEX, root.path / DAYS, options.offset, progress, matched.unpaired)
    found = Found(
        region=known.region if known else options.region or DEFAULT,
        images=images,
        perimeters=perimeters,
        sensor=options.sensor or sensor.name,
        years=tuple(years),
        every_year=tuple(sorted({int(year) for year in fires["fire_year"]})),
        fires=len(fires),
        end_assumed=int((fires["end_kind"] == ASSUMED).sum()),
        remarked=int(fires["flag"].notna().sum()),
        by_fire=len(matched.by_fire),
        composites=sensor.kind == "composites",
        assumed_days=ASSUMED_DAYS[sensor.kind],
        metres=sensor.resolution_m,
        change=change,
    )
    link_weights(options.weights or {}, root)
    settings = known or _write_world(root, found)
    write_trained_setups(settings, root)
    unfit = unfit_setups(settings, root)
    told = (*told, *_told(found, settings))
    left_out = (*_years_left_out(settings, years), *_left_out(matched, rejected, years), *_setups(settings, unfit))
    return Prepared(root.world_file, settings, told, left_out)


def _known_world(images: Path, perimeters: Path, root: DataRoot) -> Settings | None:
    """The settings of a study that the data root has already; None if it is new.

    Raises:
        SettingsError: it is of other images or perimeters.
    """
    if not root.world_file.exists():
        return None
    settings = load_settings(root.world_file)
    if settings.release.source == str(perimeters) and str(images) in settings.imagery.allowed_hosts:
        return settings
    raise SettingsError(
        f"{root.world_file} is of another world than {images} and {perimeters}: give another --data, or correct "
        "release.source and imagery.allowed_hosts in it"
    )


def _wants_change(options: StudyOptions, known: Settings | None, root: DataRoot) -> bool:
    """Whether windows have an image before their fire, as the settings say that are there, else the options.

    Raises:
        SettingsError: the options want one, and the settings have none.
    """
    if known is None:
        return options.change
    change = known.imagery.dataset_config == CHANGE_DATASET
    if options.change and not change:
        raise SettingsError(
            f"--change: the windows of {root.world_file} have no image before their fire: give another --data"
        )
    return change


def _nothing_shown(
    images: Path, perimeters: Path, windows: WindowSettings, sensor: Sensor, matched: ImagesOfFires
) -> str:
    """Why no fire can be used, and what to do."""
    after, before = ("{} to {}".format(*days) for days in (windows.days_after, windows.days_before))
    if len(matched.without_before):
        return (
            f"no image in {images} is of days {before} before the alarm of a fire that an image after it shows: give "
            "images before fires, their days (--days), or leave --change out"
        )
    return (
        f"no image in {images} is of days {after} after the end of a fire on its ground in {perimeters}: give "
        f"post-fire images, their days (--days), or CONT_DATE to fires, whose end is else {ASSUMED_DAYS[sensor.kind]} "
        "days after the alarm"
    )


def _write_world(root: DataRoot, found: Found) -> Settings:
    """Write the settings of a new study: those of all set-ups first, which tell which of them fit."""
    bare = parse_settings(yaml.safe_load(world_text(found)), str(root.world_file))
    text = world_text(found, unfit_setups(bare, root))
    settings = parse_settings(yaml.safe_load(text), str(root.world_file))
    write_if_changed(root.world_file, text.encode())
    return settings


def _sensor(
    options: StudyOptions, images: Path, files: Mapping[str, OwnFile], root: DataRoot, known: Settings | None
) -> tuple[Sensor, tuple[str, ...]]:
    """The sensor of the images, whose file is written if it is found out, and what to say of it.

    Raises:
        InputError: the sensor has other bands than those asked for; or see `infer_sensor`.
    """
    place = root.path / FOLDER / f"{OWN}.yaml"
    if known is not None:
        sensor, where = known.sensor, f"sensor {known.imagery.sensor}, as the settings say"
    elif options.sensor is not None:
        sensor, where = load_sensor(options.sensor), f"sensor {options.sensor}, as given"
    elif place.exists():
        sensor, where = load_sensor(OWN), f"sensor {place}, which was there"
    else:
        return _inferred(options, images, files, place)
    if options.bands and set(options.bands) != set(sensor.names):
        raise InputError(
            f"--bands {','.join(options.bands)}: the {where}, has {', '.join(sensor.names)}: give another --data, or "
            "leave --bands out"
        )
    return sensor, (where,)


def _inferred(
    options: StudyOptions, images: Path, files: Mapping[str, OwnFile], place: Path
) -> tuple[Sensor, tuple[str, ...]]:
    """The sensor that the files tell, written to a file unless it is a shipped one, and what to say of it."""
    inferred = infer_sensor(images, files, images.name, options.bands)
    if inferred.text is None:
        return inferred.sensor, inferred.told
    write_if_changed(place, inferred.text.encode())
    return load_sensor(OWN), (*inferred.told, f"so it says in {place}: correct it there")


def _fires(perimeters: Path, root: DataRoot, limits: PerimeterSettings) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """The fires of a file that are labels, of all years, and the others.

    Raises:
        InputError: it can't be read, or has no fire that is good enough; the message says why.
    """
    records = fetch_release(ReleaseSettings(source=str(perimeters)), root).records
    years = sorted({int(year) for year in records.loc[records["kind"] == "fire", "fire_year"].dropna()})
    if not years:
        raise InputError(f"no fire in {perimeters} has a year: give each its fire year in a field YEAR_ or FIRE_YEAR")
    cleaned = [clean_perimeters(records, year, limits, simulated=False) for year in years]
    rejected = pd.concat([some.rejects for some in cleaned], ignore_index=True)
    fires = pd.concat([some.perimeters for some in cleaned if len(some.perimeters)] or [cleaned[0].perimeters])
    if fires.empty:
        why = some_of(
            [f"{name}: {reason}" for name, reason in zip(rejected["fire_name"], rejected["reason"], strict=True)]
        )
        raise InputError(f"no fire in {perimeters} can be a label ({why}): correct the file")
    undated = records[(records["kind"] == "fire") & records["fire_year"].isna()]
    without = pd.DataFrame({"fire_name": undated["fire_name"], "reason": "no fire year"})
    return fires.reset_index(drop=True), pd.concat([rejected[["fire_name", "reason"]], without], ignore_index=True)


def _days_table(days: Mapping[str, Days]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([name, *found] for name, found in sorted(days.items()))
    return text.getvalue().encode()


def _write_extent(path: Path, covered: gpd.GeoDataFrame) -> None:
    """Write the ground that images show, if it isn't there already."""
    if path.exists():
        there = gpd.read_parquet(path)
        same = len(there) == len(covered) and there.geometry.geom_equals_exact(covered.geometry, 0.01).all()
        if same and [*map(list, there["fire_years"])] == [*map(list, covered["fire_years"])]:
            return
    with atomic_file(path) as temporary:
        covered.to_parquet(temporary, index=False)


def _told(found: Found, settings: Settings) -> tuple[str, ...]:
    """What was assumed, a sentence each."""
    said = []
    (first, last), (near, far) = settings.windows.days_after, settings.windows.days_before
    if found.by_fire and found.composites:
        said.append(
            f"{found.by_fire} composites tell no days: those after a fire are taken for days {first} to {last} after "
            f"its end, those of before it for days {near} to {far} before its alarm"
        )
    if found.end_assumed:
        said.append(
            f"{found.end_assumed} of {found.fires} fires have no containment date: their end is taken to be "
            f"{settings.perimeters.assumed_duration_days} days after the alarm (perimeters.assumed_duration_days)"
        )
    if found.remarked:
        said.append(f"{found.remarked} perimeters have a flag: they are mapped, figures are told with and without them")
    said.append("other burns near these fires aren't known, so commission (what is mapped outside) is an upper bound")
    return tuple(said)


def _setups(settings: Settings, unfit: Mapping[str, str]) -> tuple[str, ...]:
    """Which set-ups are left out, by the reason, and which needn't be any more."""
    excluded = [name for name in setup_files() if any(fnmatchcase(name, each) for each in settings.setups.exclude)]
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name in excluded:
        by_reason[unfit.get(name, "")].append(name)
    could = by_reason.pop("", [])
    said = [f"set-ups, as each {why}: {', '.join(names)}" for why, names in by_reason.items()]
    for name, why in unfit.items():
        if name not in excluded and name != OWN_TWIN:
            said.append(f"set-up {name} {why}: leave it out (setups.exclude), or it fails")
    if could:
        said.append(f"set-ups that would fit, as the settings say (setups.exclude): {', '.join(could)}")
    return tuple(said)


def _years_left_out(settings: Settings, years: list[int]) -> tuple[str, ...]:
    """Years that images show and settings that were there leave out, with what to do."""
    span = settings.years
    more = [y for y in years if not span.first <= y <= (span.last or y) or y in span.exclude]
    if not more:
        return ()
    named = ", ".join(map(str, more))
    return (f"images show fires of {named}, which the settings leave out: correct years in world.yaml to run them",)


def _left_out(matched: ImagesOfFires, rejected: pd.DataFrame, years: list[int]) -> tuple[str, ...]:
    """What isn't used and why, a sentence each."""
    said = []
    without = matched.without_image
    if len(without):
        names = some_of([str(name) for name in without["fire_name"]], 8)
        gone = without[~without["fire_year"].isin(years)]
        more = f"; {len(gone)} are of years that no image is of, which are left out" if len(gone) else ""
        said.append(f"{len(without)} fires have no image of all bands after them: {names}{more}")
    if len(matched.without_before):
        names = some_of([str(name) for name in matched.without_before["fire_name"]], 12)
        said.append(f"{len(matched.without_before)} fires have an image after them and none before (--change): {names}")
    for reason, some in rejected.groupby("reason"):
        said.append(f"{len(some)} perimeters are no labels ({reason}): {some_of([*map(str, some['fire_name'])], 8)}")
    for why, unused in matched.left_out.items():
        said.append(f"{len(unused)} files are no images of the sensor, as they {why}: {some_of(unused, 6)}")
    return tuple(said)
