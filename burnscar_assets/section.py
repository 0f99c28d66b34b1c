"""What every section of the settings is: frozen, strict, and with a digest of what decides a result."""

import hashlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from burnscar_assets.network.masking import masked


class Section(BaseModel):
    """Base of every section: frozen, and unknown fields are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    transport: ClassVar[frozenset[str]] = frozenset()
    """Fields that say how work is carried out, not what comes of it; code versions leave them out."""

    def decisive(self) -> dict[str, Any]:
        """The values that decide what comes of the section, as JSON has them; secrets of addresses decide nothing."""
        values: dict[str, Any] = masked(self.model_dump(mode="json", exclude=set(self.transport)))
        return values

    def digest(self) -> str:
        """Short hash of the decisive values."""
        return hashlib.sha256(json.dumps(self.decisive(), sort_keys=True).encode()).hexdigest()[:12]
