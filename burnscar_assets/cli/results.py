"""The commands that show results, judge or exchange them.

These are champion, compare, curve, mine, funnel, sql, and those of files.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from burnscar_assets.cli.arguments import count, fire_year, open_world
from burnscar_assets.environment import data_root
from burnscar_assets.errors import SettingsError
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.terminal import note, say, show, show_table
from burnscar_assets.text import some_of


def add_models(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Commands about checkpoints."""
    champion = commands.add_parser(
        "champion", parents=[shared], help="which checkpoint of each fire year serves, and why"
    )
    champion.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    champion.add_argument(
        "--setup", metavar="NAME", help="set-up whose checkpoints are meant (default: the one that maps)"
    )
    champion.add_argument("--accept", metavar="REASON", help="make the evaluated checkpoint of these years champion")
    champion.set_defaults(command=_champion)

    commands.add_parser("compare", parents=[shared], help="the set-ups side by side, on the same fires").set_defaults(
        command=_compare
    )

    curve = commands.add_parser(
        "curve",
        parents=[shared],
        help="how maps get better with more training fires",
        description="Train a set-up with more and more training fires, map the same held-out fires each time, and draw "
        "the learning curve. What was trained is kept; the same command goes on where it was stopped.",
    )
    curve.add_argument("--setup", metavar="NAME", help="set-up to train (default: the world's own)")
    curve.add_argument(
        "--fires", type=count, nargs="+", default=[], metavar="N", help="training fires (default: 2, doubled up to all)"
    )
    curve.set_defaults(command=_curve)

    mine = commands.add_parser("mine", parents=[shared], help="find land that a checkpoint takes for burnt")
    mine.add_argument("--years", type=fire_year, nargs="+", required=True, help="fire years whose checkpoints look")
    mine.add_argument(
        "--against",
        type=Path,
        metavar="ROOT",
        help="instead compare this world, trained with what was mined, to another",
    )
    mine.set_defaults(command=_mine)


def add_tables(commands: Any, shared: argparse.ArgumentParser, placed: argparse.ArgumentParser) -> None:
    """Commands that look at tables."""
    funnel = commands.add_parser("funnel", parents=[shared], help="what became of each record, with its reason")
    funnel.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    funnel.set_defaults(command=_funnel)

    sql = commands.add_parser("sql", parents=[placed], help="query the tables with DuckDB")
    sql.add_argument("query", help='e.g. "select fire_year, count(*) from windows group by 1"')
    sql.set_defaults(command=_sql)


def add_files(commands: Any, shared: argparse.ArgumentParser, placed: argparse.ArgumentParser) -> None:
    """Commands that read and write files of other tools."""
    windows = commands.add_parser("windows", parents=[shared], help="make rslearn windows from a CSV of points")
    windows.add_argument("--csv", type=Path, required=True, help="points with lon, lat, time and label")
    windows.add_argument("--dataset", type=Path, required=True, help="rslearn dataset to add them to")
    windows.set_defaults(command=_windows)

    index = commands.add_parser("index", parents=[shared], help="make an archive of a folder of your own GeoTIFFs")
    index.add_argument("folder", type=Path, metavar="FOLDER", help="GeoTIFFs, also in folders below")
    index.add_argument("--sensor", required=True, metavar="NAME", help="whose images they are: a shipped one or yours")
    index.add_argument("--out", type=Path, required=True, metavar="FILE", help="the archive's index, index.parquet")
    index.add_argument(
        "--days", type=Path, metavar="FILE", help="CSV with columns file, start, end (default: names and tags tell)"
    )
    index.add_argument(
        "--offset",
        type=int,
        choices=(0, BASELINE_OFFSET_DN),
        help="what each number of Sentinel-2 carries, where no file's name tells its baseline (_N0511_)",
    )
    index.set_defaults(command=_index)

    corrections = commands.add_parser(
        "corrections",
        parents=[shared],
        help="write the world's corrections for QGIS, or check what they say",
        description="Where there is none, write NAME.corrections.gpkg beside the settings NAME.yaml (corrections.gpkg "
        "in the data root, if they are shipped or lie there), with a row for each doubtful perimeter and no words; "
        "else check it and list its words.",
    )
    corrections.set_defaults(command=_corrections)

    export = commands.add_parser("export", parents=[placed], help="write windows as GeoTIFFs, for QGIS")
    export.add_argument("--geotiff", type=Path, required=True, metavar="DIR", help="folder to write to")
    export.add_argument("--years", type=fire_year, nargs="+", help="fire years (default: all)")
    export.add_argument("--windows", nargs="+", metavar="ID", help="only these windows (default: all)")
    export.set_defaults(command=_export)


def _corrections(options: argparse.Namespace) -> int:
    from burnscar_assets.environment import corrections_file
    from burnscar_assets.labels.corrections import WORDS, read_corrections, wildfire_ids, write_corrections
    from burnscar_assets.storage.contracts import LABEL_DOUBTS, RELEASE_RECORDS
    from burnscar_assets.storage.tables import read_table, table_path

    _, root, _ = open_world()
    path = corrections_file(root)
    if not path.exists():
        weighed = table_path(root, LABEL_DOUBTS, None).exists()
        write_corrections(path, read_table(root, LABEL_DOUBTS, None) if weighed else LABEL_DOUBTS.empty())
        meanings = "; ".join(f"{word}: {meaning}" for word, meaning in WORDS.items())
        say(f"{path}: open it in QGIS, and write a word for a fire ({meanings})")
        return 0
    words, records = read_corrections(path), read_table(root, RELEASE_RECORDS, None)
    for year in sorted(set(words.rows["fire_year"])):
        words.check_fires(wildfire_ids(records, year), year, WORDS)
    words.applied_to(records)
    rows = [(row.row, row.fire_year, row.fire_id, row.word, WORDS[row.word]) for row in words.rows.itertuples()]
    show(("row", "fire year", "fire", "word", "which says"), rows)
    return 0


def _champion(options: argparse.Namespace) -> int:
    from burnscar_assets.evaluation.champion import accept_checkpoint, champions
    from burnscar_assets.orchestration.artifacts import republish
    from burnscar_assets.orchestration.pairs import Pair
    from burnscar_assets.orchestration.partitions import World

    settings, root, _ = open_world()
    world = World(settings, root)
    seen = world.mapped if options.setup is None else world.of(options.setup)
    years = options.years or [int(key) for key in world.fire_years.get_partition_keys()]
    if options.accept is not None:
        if settings.sampling.splits.folds:
            raise SettingsError("a world with folds has no contest to decide: the checkpoint of each fold serves")
        if not options.years:
            raise SettingsError('say which: burnscar champion --years YEAR --accept "REASON"')
        for year in years:
            accept_checkpoint(seen.root, year, seen.settings.imagery.layer, options.accept)
            republish(world, Pair(seen.asset("evaluation_metrics"), year))
    rows = []
    for found in champions(seen.root, years):
        refused = f"{found.refused.weights_sha256[:12]}: {found.refused.reason}" if found.refused else ""
        reign = found.reign
        rows.append(
            (
                found.fire_year,
                reign.weights_sha256[:12],
                reign.by,
                f"{reign.decided_at:%Y-%m-%d}",
                reign.reason,
                refused,
            )
        )
    show(("fire year", "champion", "by", "since", "because", "refused since"), rows)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from burnscar_assets.comparison.compare import load_report
    from burnscar_assets.comparison.report import HEADINGS, comparison_lines, comparison_rows
    from burnscar_assets.storage.contracts import SETUP_COMPARISON
    from burnscar_assets.storage.tables import read_table

    root = open_world()[1]
    report = load_report(root)
    show(HEADINGS, comparison_rows(read_table(root, SETUP_COMPARISON, None)))
    for line in comparison_lines(report):
        say(line)
    return 0


def _curve(options: argparse.Namespace) -> int:
    from burnscar_assets.comparison.learning_curve import CURVE_HEADINGS, curve_rows
    from burnscar_assets.orchestration.curve import draw_curve
    from burnscar_assets.orchestration.partitions import World
    from burnscar_assets.terminal import live_progress

    settings, root, _ = open_world()
    with live_progress() as progress:
        curve = draw_curve(World(settings, root), options.setup, options.fires, progress)
    show(CURVE_HEADINGS, curve_rows(curve.table))
    say("The same held-out fires for all points; gains are paired, and their intervals hold for all pairs together.")
    say(f"picture: {curve.picture}; table: burnscar sql 'from learning_curves'")
    return 0


def _mine(options: argparse.Namespace) -> int:
    from burnscar_assets.mining.ablation import compare_worlds
    from burnscar_assets.mining.mine import FILE, mine
    from burnscar_assets.terminal import live_progress

    settings, root, _ = open_world()
    if options.against is not None:
        found = compare_worlds(root, DataRoot(options.against.resolve()), options.years, settings.evaluation)
        show(found.rows.columns, found.rows.round(3).itertuples(index=False))
        print(
            f"{found.windows} held-out windows of {found.fires} fires; {found.left_out} that only one judged left out"
        )
        return 0
    with live_progress() as progress:
        mined = [mine(settings, root, year, progress) for year in sorted(set(options.years))]
    show(asdict(mined[0]), (asdict(summary).values() for summary in mined))
    if settings.sampling.hard_negatives != FILE:
        print(f"to train on them, set sampling.hard_negatives: {FILE} and give `hard` a share in unburnt_per_burnt")
    return 0


def _funnel(options: argparse.Namespace) -> int:
    from burnscar_assets.funnel import funnel_tables
    from burnscar_assets.orchestration.partitions import World

    settings, root, _ = open_world()
    years = options.years or [int(key) for key in World(settings, root).fire_years.get_partition_keys()]
    imagery = settings.imagery
    for table in funnel_tables(
        root, years, imagery.layer, imagery.min_clear_fraction, simulated=settings.simulated_imagery
    ):
        show_table(table)
    return 0


def _sql(options: argparse.Namespace) -> int:
    from burnscar_assets.storage.catalog import query

    rows = query(DataRoot(data_root()), options.query)
    show(rows.columns, rows.itertuples(index=False))
    return 0


def _windows(options: argparse.Namespace) -> int:
    from burnscar_assets.dataset.points_csv import windows_from_csv, write_csv_windows

    settings = open_world()[0]
    windows = windows_from_csv(options.csv, settings.windows, settings.sampling.splits, settings.sensor)
    changes = write_csv_windows(windows, options.dataset)
    print(f"{changes.made} made, {changes.replaced} replaced, {changes.kept} kept in {options.dataset}")
    return 0


def _index(options: argparse.Namespace) -> int:
    from burnscar_assets.catalog.own_images import index_images
    from burnscar_assets.sensors.load import load_sensor
    from burnscar_assets.terminal import live_progress

    sensor = load_sensor(options.sensor)
    with live_progress() as progress:
        done = index_images(options.folder, sensor, options.out, options.days, options.offset, progress)
    if done.by_order:
        order = ", ".join(sensor.names)
        note([f"{len(done.by_order)} files name no bands, which are taken for {order}: {some_of(done.by_order)}"])
    note(f"{len(names)} files left out, as they {why}: {some_of(names, 12)}" for why, names in done.left_out.items())
    folder, above = options.folder.resolve(), options.out.resolve().parent
    if not folder.is_relative_to(above):
        note([f"the index lies elsewhere than the images: allow their folder in imagery.allowed_hosts, {folder}"])
    first, last = done.days
    say(f"{done.images} images of {done.files} files, {first} to {last}, in {options.out}")
    say(
        f"settings: imagery.archive {options.out}, imagery.sensor {options.sensor}, imagery.max_cloud_cover 100, as "
        "the images don't say how cloudy they are"
    )
    return 0


def _export(options: argparse.Namespace) -> int:
    from burnscar_assets.dataset.packed.export import export_geotiffs
    from burnscar_assets.terminal import live_progress

    groups = [str(year) for year in options.years] if options.years else None
    with live_progress() as progress:
        done = export_geotiffs(DataRoot(data_root()).dataset, options.geotiff, groups, options.windows, progress)
    print(f"{done.windows} windows, {done.rasters} GeoTIFFs in {options.geotiff}")
    return 0
