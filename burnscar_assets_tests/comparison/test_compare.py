"""The comparison from what lies on disk: common windows, what is left out, costs beside, and what is told."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from burnscar_assets.comparison.compare import Outcome, compare_setups, load_report, write_report
from burnscar_assets.comparison.plots import plot_comparison
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.comparison.report import HEADINGS, comparison_markdown, comparison_rows, standings_of
from burnscar_assets.cost import Cost, write_cost
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.calibration import Decision, NbrThreshold, Temperature
from burnscar_assets.evaluation.key_figures import EvaluationSummary
from burnscar_assets.evaluation.rules import FRAMES, FrameErrors, MapRules, Rules
from burnscar_assets.evaluation.separation import SeparationProof
from burnscar_assets.evaluation.spec import EvaluationReport, Judgement, Season
from burnscar_assets.evaluation.spec import write_report as write_evaluation
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.catalog import query
from burnscar_assets.storage.contracts import EVALUATION_METRICS, MAP_SCORES, PREDICTIONS, SETUP_COMPARISON
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table
from burnscar_assets_tests.evaluation.map_score_tables import scores_of
from burnscar_assets_tests.evaluation.prediction_tables import make_predictions

SETTINGS = EvaluationSettings(bootstrap_samples=200)
YEARS = (2020, 2021)


@pytest.fixture
def contestants(root: DataRoot) -> list[Contestant]:
    """The world's own set-up, a better one with two seeds, and one that was never judged."""
    own = Contestant("default", "Own", "fine_tuned", (), (root,))
    better = Contestant("better", "Better", "trees", (1, 2), (root.setup("better"), root.setup("better", 2)))
    absent = Contestant("absent", "Absent", "threshold", (), (root.setup("absent"),))
    for year in YEARS:
        judged(root, year, skill=0.0)
        for number, part in enumerate(better.roots):
            judged(part, year, skill=0.45, seed=number)
    return [own, better, absent]


def judged(root: DataRoot, year: int, *, skill: float, seed: int = 0) -> pd.DataFrame:
    rows = make_predictions(skill=skill, seed=seed)
    rows["window_id"] = rows["window_id"] + f"-{year}"
    write_table(root, PREDICTIONS, rows, year)
    root.evaluation(year).mkdir(parents=True, exist_ok=True)
    write_cost(root.evaluation(year), Cost(train_seconds=year - 2010.0, parameters=7))
    return rows


def compared(contestants: list[Contestant]) -> Outcome:
    return compare_setups(contestants, YEARS, "default", SETTINGS, simulated=True)


def test_set_ups_stand_side_by_side(contestants: list[Contestant], root: DataRoot) -> None:
    outcome = compared(contestants)
    table = outcome.table.set_index(["setup", "scope", "metric"])
    assert outcome.report.verdict.winner == "better"
    assert outcome.report.fire_years == YEARS and outcome.report.fires == 8
    assert any("absent" in said for said in outcome.report.left_out)
    row = table.loc[("better", "quality", "f1_burnt")]
    assert row["verdict"] == "better" and row["seeds"] == 2 and row["seed_low"] <= row["value"] <= row["seed_high"]
    assert row["difference"] == pytest.approx(row["value"] - table.loc[("default", "quality", "f1_burnt"), "value"])
    assert table.loc[("default", "quality", "f1_burnt"), "verdict"] == "reference"
    assert table.loc[("default", "cost", "train_seconds"), "value"] == 10.5
    write_report(root, outcome.report)
    assert load_report(root) == outcome.report
    cells = comparison_rows(outcome.table)
    assert [len(row) for row in cells] == [len(HEADINGS)] * 2 and cells[0][0].startswith("Better")
    said = comparison_markdown(outcome)
    assert "Better wins" in said and "SIMULATED" in said and "absent" in said
    assert len(plot_comparison(outcome.table, title="t", simulated=True).axes) == 3


def mapped(root: DataRoot, year: int, own: float, *, seed: int = 0, **baselines: float) -> None:
    """Write maps of eight fires, which differ among each other, with a mean IoU."""
    spread = np.linspace(-0.1, 0.1, 8)
    ious = {"model": own} | baselines
    scores = scores_of({name: list(value + spread) for name, value in ious.items()}, year=year, seed=seed)
    write_table(root, MAP_SCORES, scores, year)


def test_maps_decide_where_windows_say_otherwise(contestants: list[Contestant], root: DataRoot) -> None:
    for year in YEARS:
        mapped(root, year, 0.75, dnbr=0.78, ellipse=0.4)
        for number, part in enumerate(contestants[1].roots):
            mapped(part, year, 0.60 + 0.02 * number, seed=number)
    outcome = compared(contestants)
    report, table = outcome.report, outcome.table.set_index(["setup", "scope", "metric"])
    assert report.maps == 16 and report.verdict.winner == "default"
    assert report.by_windows is not None and report.by_windows.winner == "better"
    row = table.loc[("better", "maps", "iou")]
    assert row["verdict"] == "worse" and row["difference"] == pytest.approx(0.61 - 0.75)
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((0.60, 0.62)) and row["fires"] == 16
    beside = table.loc[("baseline/dnbr", "maps", "iou")]
    assert beside["difference"] == pytest.approx(0.03) and beside["verdict"] == "better"
    assert "dNBR above 0.1" in report.over_baselines and "-0.030" in report.over_baselines
    write_report(root, report)
    assert load_report(root) == report
    cells = comparison_rows(outcome.table)
    assert [row[0] for row in cells] == [
        "dNBR above 0.1",
        "Own (default)",
        "Better (better)",
        "an ellipse in the middle",
    ]
    assert {len(row) for row in cells} == {len(HEADINGS)}
    said = comparison_markdown(outcome)
    assert "Own wins: its mean IoU of maps" in said and "By windows: Better wins" in said
    assert len(plot_comparison(outcome.table, title="t", simulated=True).axes) == 3
    told = standings_of(outcome)
    assert len(told.rows) == 4 and told.rows[0][1].startswith("0.78") and told.said[0].startswith("Own wins")
    before = outcome.version
    mapped(root, 2020, 0.76, dnbr=0.78)
    assert compared(contestants).version != before


def validated(root: DataRoot, year: int, **ious: float) -> None:
    """Leave an evaluation report that says how the frames of validation fires are mapped."""
    errors = tuple(FrameErrors(fire, fire, iou, 0.5 - iou / 2, 0.5 - iou / 2, 9.0) for fire, iou in ious.items())
    rules = Rules(
        NbrThreshold(0, 1, 1, 1), Decision(0.5, "nothing", None, 0, 0), Temperature(1, 0, False, 0, 0),
        MapRules(1, 0, 0.5, FRAMES, errors=errors),
    )  # fmt: skip
    judgement = Judgement(year, "0", rules, SeparationProof(1, 1, 1, 1, (year,), 1.0))
    nothing: dict = {one.name: "" if one.type is str else 0 for one in fields(EvaluationSummary)}
    summary, season = EvaluationSummary(**nothing), Season(None, "")
    write_evaluation(root, EvaluationReport(year, True, judgement, season, summary, "", "", "", {}))


def test_a_default_is_chosen_on_validation_fires_that_all_mapped_whatever_held_out_ones_say(
    contestants: list[Contestant], root: DataRoot
) -> None:
    for year in YEARS:
        mapped(root, year, 0.6)
        for part in contestants[1].roots:
            mapped(part, year, 0.8)
    validated(root, 2020, a=0.8, b=0.4, hard=0.0)
    validated(root, 2021, a=0.6)
    for number, part in enumerate(contestants[1].roots):
        validated(part, 2020, a=0.5, b=0.2 + 0.2 * number)
        validated(part, 2021, a=0.5)
    outcome = compared(contestants)
    table = outcome.table.set_index(["setup", "scope", "metric"])
    own, better = (table.loc[(name, "validation", "iou")] for name in ("default", "better"))
    assert own["value"] == pytest.approx((0.7 + 0.4) / 2), "a fire of two years counts once, one of a few not at all"
    assert better["value"] == pytest.approx((0.35 + 0.45) / 2) and own["fires"] == 2
    assert (better["seed_low"], better["seed_high"]) == pytest.approx((0.35, 0.45)) and np.isnan(own["low"])
    assert outcome.report.verdict.winner == "better"
    said = "Chosen by validation: Own (default), whose maps of 2 validation fires have the greatest mean IoU, 0.550"
    assert said in comparison_markdown(outcome)
    assert "0.600 on held-out fires, which chose nothing" in outcome.report.by_validation
    folds = compare_setups(contestants, YEARS, "default", SETTINGS, simulated=True, protocol="5 folds")
    assert "each of which is a validation fire of another fold: this flatters it" in folds.report.by_validation
    told = standings_of(outcome)
    place = told.headings.index("validation IoU")
    assert [row[place] for row in told.rows] == ["0.400", "0.550"]


def test_set_ups_that_cannot_map_stay_with_windows_and_say_why(contestants: list[Contestant], root: DataRoot) -> None:
    for year in YEARS:
        mapped(root, year, 0.75, dnbr=0.7)
        for part in contestants[1].roots:
            scores = scores_of({"model": [float("nan")] * 8}, year=year, reason="the model reads layer x")
            write_table(part, MAP_SCORES, scores, year)
    outcome = compared(contestants)
    report, table = outcome.report, outcome.table.set_index(["setup", "scope", "metric"])
    assert report.maps == 16 and report.by_windows is None and report.verdict.winner == "better"
    assert "maps of better: the model reads layer x" in report.left_out
    assert table.loc[("baseline/dnbr", "maps", "iou"), "difference"] == pytest.approx(-0.05)
    assert "the mean IoU of Own less its own is +0.050" in report.over_baselines
    assert [row[1] for row in comparison_rows(outcome.table)][-1] == "–"


def test_maps_are_compared_on_the_fires_that_all_were_judged_on(contestants: list[Contestant], root: DataRoot) -> None:
    for year in YEARS:
        mapped(root, year, 0.75)
        for part in contestants[1].roots:
            mapped(part, year, 0.7)
    write_table(root, MAP_SCORES, scores_of({"model": [0.5] * 6 + [float("nan")] * 2}, year=2020), 2020)
    report = compared(contestants).report
    assert report.maps == 14 and "maps of better: 2 fires that not all set-ups were judged on" in report.left_out


def test_maps_are_told_with_and_without_flagged_fires(contestants: list[Contestant], root: DataRoot) -> None:
    places = [root, *contestants[1].roots]
    for year in YEARS:
        for number, part in enumerate(places):
            scores = scores_of({"model": [0.9, 0.8, 0.7, 0.7, 0.6, 0.6, 0.1, 0.2 - number / 10]}, year=year)
            scores.loc[scores["frame_id"].isin(["f6", "f7"]), "flag"] = "drawn by hand"
            scores.loc[scores["frame_id"].eq("f0") & bool(number == 0), "iou_off_outline"] = float("nan")
            write_table(part, MAP_SCORES, scores, year)
    outcome = compared(contestants)
    table = outcome.table.set_index(["setup", "scope", "metric"]).sort_index()
    own, better = (table.loc[(name, "maps")]["value"] for name in ("default", "better"))
    assert own["iou_unflagged"] == better["iou_unflagged"] == pytest.approx(4.3 / 6)
    assert own["iou_median"] == pytest.approx(0.65) and own["iou_unflagged_median"] == pytest.approx(0.7)
    off = table.loc[("better", "maps", "iou_off_outline")]
    assert off["value"] == pytest.approx((3.5 + 0.05) / 7) and off["difference"] == pytest.approx(-0.15 / 7)
    said = (
        "a remark on 4 of the 16 fires; mean and median IoU of maps with them: Own 0.575 and 0.650, without them 0.717"
    )
    assert said in comparison_markdown(outcome)


def test_maps_are_told_with_fires_that_a_person_took_out_which_no_other_figure_has(
    contestants: list[Contestant], root: DataRoot
) -> None:
    for year in YEARS:
        for part in (root, *contestants[1].roots):
            scores = scores_of({"model": [0.9, 0.8, 0.7, 0.7, 0.6, 0.6, 0.7, 0.2]}, year=year)
            scores.loc[scores["frame_id"] == "f7", "out"] = True
            write_table(part, MAP_SCORES, scores, year)
    outcome = compared(contestants)
    table = outcome.table.set_index(["setup", "scope", "metric"])
    assert table.loc[("default", "maps", "iou"), "value"] == pytest.approx(5 / 7) and outcome.report.maps == 14
    said = "A person took 2 of 16 fires out of the scores; mean and median IoU of maps with them: Own 0.650 and 0.700"
    assert said in comparison_markdown(outcome)


def test_differences_of_a_metric_have_intervals_by_the_fires_that_tell_of_it(
    contestants: list[Contestant], root: DataRoot
) -> None:
    for number, part in enumerate([root, *contestants[1].roots]):
        for year in YEARS:
            ious = np.linspace(0.4, 0.8, 8) ** (1 + number)
            scores = scores_of({"model": list(ious)}, year=year)
            scores.loc[~scores["frame_id"].isin(["f0", "f1"]), "flag"] = "drawn by hand"
            write_table(part, MAP_SCORES, scores, year)
    table = compared(contestants).table.set_index(["setup", "scope", "metric"]).sort_index()
    ends = table["difference_low"].loc[("better", "maps")]
    assert np.isfinite(ends["iou"]) and np.isnan(ends["iou_unflagged"])


def test_probabilities_of_the_checkpoints_of_folds_are_not_ranked(contestants: list[Contestant]) -> None:
    outcome = compare_setups(contestants, YEARS, "default", SETTINGS, simulated=True, protocol="Five folds")
    quality = outcome.table[outcome.table["scope"] == "quality"].set_index("metric")
    assert quality.loc["auroc", ["value", "low", "difference"]].isna().all(axis=None)
    assert quality.loc["f1_burnt", "value"].notna().all()


def test_only_windows_that_all_answered_are_compared(contestants: list[Contestant], root: DataRoot) -> None:
    everything = compared(contestants).report.windows
    rows = judged(root, 2021, skill=0.0)
    write_table(root, PREDICTIONS, rows.iloc[10:], 2021)
    fewer = compared(contestants).report
    assert fewer.windows == everything - 10
    assert any("10 windows" in said for said in fewer.left_out)
    for part in contestants[1].roots:
        (part.result_tables / "predictions" / "fire_year=2020" / "part.parquet").unlink()
    report = compared(contestants).report
    assert report.fire_years == (2021,) and any("2020" in said for said in report.left_out)


def test_costs_are_told_but_no_part_of_the_version(contestants: list[Contestant], root: DataRoot) -> None:
    before = compared(contestants)
    write_cost(root.evaluation(2020), Cost(train_seconds=1e6))
    after = compared(contestants)
    assert SETUP_COMPARISON.content_hash(before.table) != SETUP_COMPARISON.content_hash(after.table)
    assert before.version == after.version
    judged(root, 2020, skill=0.2)
    assert compared(contestants).version != before.version


def test_what_cannot_be_compared_is_said(contestants: list[Contestant], root: DataRoot) -> None:
    with pytest.raises(MissingDataError, match="better"):
        compare_setups(contestants[1:], YEARS, "better", SETTINGS, simulated=True)
    with pytest.raises(MissingDataError, match="absent"):
        compare_setups(contestants, YEARS, "absent", SETTINGS, simulated=True)
    rows = judged(root, 2020, skill=0.0)
    rows["category"] = np.where(rows["category"] == "burnt", "unburnt", "burnt")
    write_table(root, PREDICTIONS, rows, 2020)
    with pytest.raises(InputError, match="other labels"):
        compared(contestants)


def test_metrics_of_all_set_ups_are_one_view(root: DataRoot) -> None:
    row = dict.fromkeys(EVALUATION_METRICS.column_names)
    row |= {"fire_year": 2020, "method": "model", "scope": "pooled", "subset": "", "fire_id": "", "metric": "f1_burnt"}
    for value, part in enumerate([root, root.setup("a-1"), root.setup("a-1", 7)]):
        write_table(
            part, EVALUATION_METRICS, pd.DataFrame([row | {"value": float(value), "windows": 1, "fires": 1}]), 2020
        )
    found = query(root, "select setup, seed, value from setup_metrics order by value")
    assert found["setup"].to_list() == ["default", "a-1", "a-1"]
    assert found["seed"].fillna(-1).to_list() == [-1, -1, 7]
    write_cost(root.setup("a-1").evaluation(2020), Cost())
    with pytest.raises(InputError, match="only tables"):
        query(root, "select * from read_text('setups://a-1/evaluation/fire_year=2020/cost.json')")
