"""How whole maps of validation fires do, made up for tests."""

from burnscar_assets.evaluation.rules import FrameErrors


def errors_of(cluster: str, burned_ha: float, mapped_ha: float, whole_ha: float) -> FrameErrors:
    """A fire whose map shows as little that is wrong as its hectares allow."""
    hits = min(burned_ha, mapped_ha)
    false, missed = mapped_ha - hits, burned_ha - hits
    return FrameErrors(cluster, cluster, hits, false, missed, whole_ha - hits - false - missed)
