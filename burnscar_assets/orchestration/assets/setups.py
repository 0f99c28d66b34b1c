"""The assets of the set-ups beside the world's own."""

import dagster as dg

from burnscar_assets.orchestration.assets.model import checkpoint_asset, metrics_asset
from burnscar_assets.orchestration.partitions import World


def build_setup_assets(world: World) -> list[dg.AssetsDefinition]:
    """A checkpoint and metrics for each set-up."""
    assets = []
    for name in world.setups:
        seen = world.of(name)
        assets += [checkpoint_asset(seen), metrics_asset(seen)]
    return assets
