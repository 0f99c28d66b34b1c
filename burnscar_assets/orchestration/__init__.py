"""Everything that imports Dagster: assets, checks, partitions, resources, staleness, metadata."""
