"""How hard negatives are mined. What is mined is given to sampling as a file, so these settings decide no stage."""

from pydantic import Field

from burnscar_assets.section import Section


class MiningSettings(Section):
    """Hard negatives of a fire year."""

    candidates: int = Field(500, ge=1, description="Windows of land without fire that are looked at, about.")
    keep: int = Field(100, ge=1, description="False positives that are kept, the surest first, at most.")
    spacing_windows: float = Field(3, ge=1, description="Smallest distance between those kept, in window sides.")
