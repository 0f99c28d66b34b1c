"""The software-defined assets, one module per group; each body reads, calls one domain function, stores."""

import dagster as dg

from burnscar_assets.orchestration.assets.imagery import build_imagery_assets
from burnscar_assets.orchestration.assets.in_season import build_in_season_assets
from burnscar_assets.orchestration.assets.labels import build_label_assets
from burnscar_assets.orchestration.assets.maps import build_map_assets
from burnscar_assets.orchestration.assets.model import build_model_assets
from burnscar_assets.orchestration.assets.samples import build_sample_assets
from burnscar_assets.orchestration.assets.season_maps import build_season_map_assets
from burnscar_assets.orchestration.assets.setups import build_setup_assets
from burnscar_assets.orchestration.partitions import World


def build_assets(world: World) -> list[dg.AssetsDefinition]:
    """All assets of a world, from the release to the metrics of every set-up and the maps."""
    return [
        *build_label_assets(world),
        *build_in_season_assets(world),
        *build_sample_assets(world),
        *build_imagery_assets(world),
        *build_model_assets(world),
        *build_season_map_assets(world),
        *build_setup_assets(world),
        *build_map_assets(world),
    ]
