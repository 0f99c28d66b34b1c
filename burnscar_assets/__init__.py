"""From official fire perimeters to a burned-area model, as Dagster assets partitioned by fire year."""
