"""When a cheap stage follows by itself."""

import dagster as dg

from burnscar_assets.orchestration.corrections import FIRES_OUT


def follow() -> dg.AutomationCondition:
    """A partition that is missing, or whose code or inputs have a new version, once its inputs are all there.

    A year that has nothing yet goes through all stages in one run; a changed one stage by stage, so that the wave
    stops where the content comes out as it was. What failed is left to a person, until an input changes again.
    """
    condition, words = dg.AutomationCondition, dg.AssetSelection.assets(FIRES_OUT)
    never_made = condition.missing() & ~condition.execution_failed()
    changed_input = condition.any_deps_match(condition.data_version_changed() & ~condition.missing())
    changed: dg.AutomationCondition = condition.code_version_changed() | changed_input
    return (
        (never_made | changed.since_last_handled())
        & ~condition.any_deps_missing().ignore(words)  # Dagster takes what is observed by year for missing
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
    ).with_label("missing or changed")
