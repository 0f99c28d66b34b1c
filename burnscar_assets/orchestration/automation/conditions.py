"""When a cheap stage follows by itself."""

import dagster as dg


def follow() -> dg.AutomationCondition:
    """A partition that is missing, or whose code or inputs have a new version, once its inputs are all there.

    Inputs that were made again with the same data version don't count, and nothing is asked for twice.
    """
    condition = dg.AutomationCondition
    changed_input = condition.any_deps_match(condition.data_version_changed() & ~condition.missing())
    due: dg.AutomationCondition = condition.newly_missing() | condition.code_version_changed() | changed_input
    return (
        due.since_last_handled()
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
    ).with_label("missing or changed")
