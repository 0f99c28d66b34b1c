"""Champion and challenger on the tiny world: who serves, by what rule, and that the reason is kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import geopandas as gpd
import numpy as np
import pytest

from burnscar_assets.classes import Split
from burnscar_assets.cli import main
from burnscar_assets.dataset.config import before_layer
from burnscar_assets.errors import CheckpointError, InputError, MissingDataError
from burnscar_assets.evaluation.champion import (
    FIRST,
    SAW_HELD_OUT,
    Challenger,
    _frame_ious,
    accept_checkpoint,
    champions,
    compare_pair,
    contest,
    decide_challenge,
)
from burnscar_assets.evaluation.champion_record import (
    Champion,
    champion_folder,
    champion_manifest,
    load_champion,
    serving,
    windows_seen,
)
from burnscar_assets.evaluation.metrics import Answers
from burnscar_assets.evaluation.report import MODEL, answers_of
from burnscar_assets.evaluation.rules import FRAMES, MapRules, Rules
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.mapping.fire_scenes import read_fire_scenes
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import seen_windows, windows_of
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.progress import silent
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import PREDICTIONS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions
from burnscar_assets_tests.evaluation.test_frames import add_scenes
from burnscar_assets_tests.evaluation.tiny_world import spec_of
from burnscar_assets_tests.tiny_dataset import LAYER

SETTINGS = EvaluationSettings(bootstrap_samples=200)
OTHER = "f" * 64


def crowned(root: DataRoot) -> Champion:
    champion = load_champion(root, 2020)
    assert champion is not None
    return champion


def of_maps(rules: Rules, threshold: float) -> Rules:
    """Rules of maps that call everything burnt below 0, and nothing at 1."""
    return replace(rules, maps=MapRules(1.0, 0.0, threshold, FRAMES))


def challenge_by_maps(
    root: DataRoot, champion_above: float, challenger_above: float, out: tuple[str, ...] = ()
) -> Champion:
    """The champion's checkpoint against itself, with other thresholds of maps: windows can't tell them apart."""
    add_scenes(root, ("v", Split.VAL))
    champion, judged = crowned(root), load_report(root, 2020).held_out
    given = champion.model_copy(update={"rules": of_maps(champion.rules, champion_above)})
    write_json(champion_folder(root, 2020) / "champion.json", given.model_dump(mode="json"))
    manifest = verify_checkpoint(root.checkpoint(2020)).model_copy(update={"weights_sha256": OTHER})
    seen = seen_windows(windows_of(root, manifest, LAYER))
    challenger = Challenger(
        root.checkpoint(2020), manifest, seen, of_maps(judged.rules, challenger_above),
        read_table(root, PREDICTIONS, 2020),
    )  # fmt: skip
    return contest(spec_of(root, fires_out=out), challenger, silent)


def test_maps_of_validation_fires_decide_and_not_windows(world: DataRoot) -> None:
    refused = challenge_by_maps(world, -1.0, 1.0).refused
    assert refused is not None and "mean IoU of maps 0.000" in refused.reason and "1 validation fires" in refused.reason


def test_maps_of_validation_fires_that_a_person_took_out_decide_nothing(world: DataRoot) -> None:
    reign = challenge_by_maps(world, -1.0, 1.0, out=("v",)).reign
    assert reign.weights_sha256 == OTHER and "F1 of burnt windows" in reign.reason


def test_a_challenger_whose_maps_are_better_takes_its_place(world: DataRoot) -> None:
    reign = challenge_by_maps(world, 1.0, -1.0).reign
    assert reign.weights_sha256 == OTHER and "mean IoU of maps" in reign.reason


def test_a_fire_without_image_before_is_not_held_against_a_model_that_reads_one(world: DataRoot) -> None:
    add_scenes(world, ("v", Split.VAL))
    spec, scenes = spec_of(world), read_fire_scenes(world, 2020, [Split.VAL])
    one, rules = load_model(world.checkpoint(2020)), MapRules(1.0, 0.0, -1.0, FRAMES)
    both = cast(Predictor, SimpleNamespace(layers=dict(one.layers) | {before_layer(LAYER): ()}))
    seen = windows_seen(world, 2020).iloc[:0]
    ((known, unknown),) = _frame_ious(spec, scenes, [(one, rules), (both, rules)], seen, silent)
    assert known > 0 and np.isnan(unknown)


def challenge(root: DataRoot, *, wrong: bool = False) -> Champion:
    """The checkpoint of 2020 under another hash, as if trained anew; or one that calls windows by another threshold."""
    manifest = verify_checkpoint(root.checkpoint(2020)).model_copy(update={"weights_sha256": OTHER})
    judged = load_report(root, 2020).held_out
    seen = seen_windows(windows_of(root, manifest, LAYER))
    rules = judged.rules
    if wrong:
        rules = replace(rules, decision=replace(rules.decision, threshold=1.0))
    predictions = read_table(root, PREDICTIONS, 2020)
    return contest(spec_of(root), Challenger(root.checkpoint(2020), manifest, seen, rules, predictions), silent)


def test_the_first_checkpoint_is_champion_with_its_files_and_what_it_has_seen(trained: DataRoot) -> None:
    champion, manifest = crowned(trained), verify_checkpoint(trained.checkpoint(2020))
    assert champion.reign.weights_sha256 == manifest.weights_sha256
    assert (champion.reign.by, champion.reign.reason, champion.before) == ("first", FIRST, ())
    assert verify_checkpoint(champion_folder(trained, 2020)) == manifest
    assert len(gpd.read_parquet(champion_folder(trained, 2020) / "seen.parquet")) == 80
    assert [found.fire_year for found in champions(trained, [2019, 2020])] == [2019, 2020]


def test_a_challenger_that_is_not_worse_takes_its_place(world: DataRoot) -> None:
    before = crowned(world).reign
    champion = challenge(world)
    assert champion.reign.weights_sha256 == OTHER and champion.reign.by == "rule" and champion.before == (before,)
    assert "not worse" in champion.reign.reason and "validation fires" in champion.reign.reason
    assert crowned(world) == champion


def test_a_worse_one_is_refused_and_the_reason_kept(world: DataRoot) -> None:
    before = crowned(world)
    champion = challenge(world, wrong=True)
    assert champion.reign == before.reign and champion.refused is not None
    assert champion.refused.weights_sha256 == OTHER
    assert "worse" in champion.refused.reason and "burnscar champion --years 2020 --accept" in champion.refused.reason
    assert crowned(world) == champion and "refused" in champion.said
    assert verify_checkpoint(champion_folder(world, 2020)).weights_sha256 == before.reign.weights_sha256


def test_a_champion_that_was_trained_on_what_validates_now_cannot_be_compared(world: DataRoot) -> None:
    place = champion_folder(world, 2020) / "seen.parquet"
    seen = gpd.read_parquet(place)
    seen["split"] = "train"
    seen.to_parquet(place)
    champion = challenge(world)
    assert champion.refused is not None and "can't be judged on the same validation fires" in champion.refused.reason


def test_a_champion_that_has_seen_what_is_held_out_now_gives_way(world: DataRoot) -> None:
    place = champion_folder(world, 2020) / "seen.parquet"
    seen = gpd.read_parquet(place)
    seen.loc[0, "fire_id"] = read_table(world, PREDICTIONS, 2020)["fire_id"].iloc[0]
    seen.to_parquet(place)
    reign = challenge(world, wrong=True).reign
    assert (reign.weights_sha256, reign.by, reign.reason) == (OTHER, "rule", SAW_HELD_OUT)


def test_maps_find_the_champion_with_what_it_has_seen(world: DataRoot) -> None:
    for now in (crowned, challenge):
        assert now(world) == serving(world, 2020)
        assert set(windows_seen(world, 2020)["split"]) == {"train", "val"}
    assert champion_manifest(world, 2020).weights_sha256
    (champion_folder(world, 2020) / "weights.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="burnscar verify --years 2020, then burnscar refresh --years 2020"):
        champion_manifest(world, 2020)
    (champion_folder(world, 2020) / "seen.parquet").write_bytes(b"")
    with pytest.raises(CheckpointError, match="burnscar refresh --years 2020"):
        windows_seen(world, 2020)
    with pytest.raises(MissingDataError, match="run burnscar refresh --years 2018"):
        serving(world, 2018)


def test_held_out_windows_decide_nothing(world: DataRoot) -> None:
    tiles = read_table(world, TILES, 2020)
    windows = read_table(world, WINDOWS, 2020)
    held_out = windows.loc[windows["split"] == "test", "window_id"]
    write_table(world, TILES, tiles[~tiles["window_id"].isin(held_out)], 2020)
    assert challenge(world).reign.weights_sha256 == OTHER


def test_a_damaged_champion_cannot_be_compared_and_a_damaged_record_is_an_error(world: DataRoot) -> None:
    weights = champion_folder(world, 2020) / "weights.pth"
    weights.write_bytes(weights.read_bytes()[:-10])
    champion = challenge(world)
    assert champion.refused is not None and "hash is wrong" in champion.refused.reason
    (champion_folder(world, 2020) / "champion.json").write_text("{")
    with pytest.raises(CheckpointError, match="burnscar refresh --years 2020"):
        load_champion(world, 2020)


def pair(missed: int, *, fires: int = 12) -> tuple[Answers, Answers, gpd.GeoDataFrame]:
    """A champion and a challenger that misses so many burnt windows more, spread over fires."""
    windows = make_predictions(fires=fires)
    champion = answers_of(windows, MODEL)
    found = np.flatnonzero(champion.truth & champion.predicted)
    spread = np.random.default_rng(0).permutation(found)[:missed]
    predicted = champion.predicted.copy()
    predicted[spread] = False
    return champion, replace(champion, predicted=predicted), windows


@pytest.mark.parametrize(
    ("rule", "missed", "wins", "said"),
    [
        ("not_worse", 0, True, "not worse"),
        ("not_worse", 1, True, "not worse"),
        ("not_worse", 8, False, "not shown to be no worse"),
        ("not_worse", 25, False, "not shown to be no worse"),
        ("better", 0, False, "not better"),
        ("better", 1, False, "not better"),
        ("person", 0, False, "leaves it to a person"),
    ],
)
def test_the_rule(rule: str, missed: int, wins: bool, said: str) -> None:
    champion, challenger, windows = pair(missed)
    settings = SETTINGS.model_copy(update={"champion_rule": rule})
    found = compare_pair(champion, challenger, windows, 0.95)
    decided, reason = decide_challenge(found, 0.0, settings)
    assert decided is wins and reason.endswith(said)
    if rule == "better" and missed:
        assert decide_challenge(compare_pair(challenger, champion, windows, 0.95), 0.0, settings)[0]


def test_the_margin_is_of_the_settings() -> None:
    found = compare_pair(*pair(8), 0.95)
    assert found.low < found.difference < found.high < 0.1
    for margin, wins in ((0.0, False), (0.2, True)):
        decided, reason = decide_challenge(found, 0.0, EvaluationSettings(champion_margin=margin))
        assert decided is wins and f"margin {margin:g}" in reason


def test_small_losses_do_not_add_up() -> None:
    found = compare_pair(*pair(1), 0.95)
    assert decide_challenge(found, 0.0, SETTINGS)[0]
    decided, reason = decide_challenge(found, -0.045, SETTINGS)
    assert not decided and "0.045 lost before" in reason


def test_with_few_fires_a_challenger_must_be_as_good() -> None:
    for missed, wins in ((0, True), (1, False)):
        decided, reason = decide_challenge(compare_pair(*pair(missed, fires=4), 0.95), 0.0, SETTINGS)
        assert decided is wins and "too few clusters of fires" in reason


def test_a_champion_with_a_wide_interval_is_not_beaten_by_anything() -> None:
    """Unpaired intervals of few fires reach from 0 to 1, and anything is above their lower end."""
    champion, _, windows = pair(0, fires=3)
    nothing = replace(champion, predicted=np.zeros(len(windows), dtype=bool))
    assert not decide_challenge(compare_pair(champion, nothing, windows, 0.95), 0.0, SETTINGS)[0]


def test_what_a_champion_lost_is_kept(world: DataRoot) -> None:
    challenge(world)
    record = champion_folder(world, 2020) / "champion.json"
    content = json.loads(record.read_text())
    assert content["behind"] == 0
    content["behind"] = -0.01
    content["reign"]["weights_sha256"] = "e" * 64
    record.write_text(json.dumps(content))
    champion = challenge(world)
    assert champion.refused is not None and "0.010 lost before" in champion.refused.reason
    assert champion.behind == -0.01


def test_without_burnt_windows_nothing_is_compared() -> None:
    windows = make_predictions(fires=0)
    unburnt = replace(answers_of(windows, MODEL), predicted=np.zeros(len(windows), dtype=bool))
    decided, reason = decide_challenge(compare_pair(unburnt, unburnt, windows, 0.95), 0.0, SETTINGS)
    assert not decided and "undefined" in reason


def forget_the_champions_weights(root: DataRoot) -> None:
    path = champion_folder(root, 2020) / "champion.json"
    record = json.loads(path.read_text())
    record["reign"]["weights_sha256"] = OTHER
    path.write_text(json.dumps(record))


def test_a_persons_word_decides_and_is_kept(
    world: DataRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    forget_the_champions_weights(world)
    settings = tmp_path / "tiny.yaml"
    settings.write_text("name: tiny\nyears: {first: 2019, last: 2020}\nrelease: {source: none}\n")
    for name in ("BURNSCAR_DATA", "BURNSCAR_CONFIG"):
        monkeypatch.setenv(name, "")
    command = ["champion", "--data", str(world.path), "--config", str(settings)]
    assert main([*command, "--accept", "no year"]) == 1
    assert main([*command, "--years", "2020", "--accept", "the old one missed the Creek Fire"]) == 0
    assert "the old one missed the Creek Fire" in capsys.readouterr().out
    champion = crowned(world)
    assert champion.reign.weights_sha256 == verify_checkpoint(world.checkpoint(2020)).weights_sha256
    assert champion.reign.by == "person" and champion.before[-1].weights_sha256 == OTHER
    assert accept_checkpoint(world, 2020, LAYER, "again") == champion, "it is champion already"
    with settings.open("a") as file:
        file.write("sampling: {splits: {folds: 5}}\n")
    assert main([*command, "--years", "2020", "--accept", "a better one"]) == 1
    assert "folds has no contest" in capsys.readouterr().err


def test_what_was_not_evaluated_cannot_be_accepted(world: DataRoot) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        accept_checkpoint(world, 2020, LAYER, "  ")
    report = world.evaluation(2020) / "report.json"
    content = json.loads(report.read_text())
    content["held_out"]["weights_sha256"] = OTHER
    report.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not the one that was evaluated"):
        accept_checkpoint(world, 2020, LAYER, "because")
    shutil.rmtree(world.evaluation(2020).parent)
    with pytest.raises(MissingDataError, match="burnscar refresh"):
        champions(world, [2019, 2020])
