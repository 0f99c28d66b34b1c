"""From official fire perimeters to a burned-area model, as Dagster assets partitioned by fire year."""

from burnscar_assets.gdal_drivers import skip_indirect_drivers

skip_indirect_drivers()
