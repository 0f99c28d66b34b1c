"""Vector formats made once a configuration, where rslearn makes them once a sample.

rslearn 0.1.19 keeps a band set's raster format, but parses a vector layer's configuration anew for every sample that
a data module reads: 4 ms, against 0.7 ms for all else on packed files. Formats have no state, so one serves all.
"""

import functools
import json

# rslearn itself loads the module that needs this one, by the class path in a dataset's configuration.
from rslearn.config import LayerConfig, LayerType  # noqa: TID253
from rslearn.utils.vector_format import VectorFormat  # noqa: TID253

_MADE: dict[str, VectorFormat] = {}


def keep_vector_formats() -> None:
    """From now on, in this process, `LayerConfig.instantiate_vector_format` gives equal configurations one format."""
    instantiate = LayerConfig.instantiate_vector_format
    if hasattr(instantiate, "__wrapped__"):
        return

    @functools.wraps(instantiate)
    def kept(self: LayerConfig) -> VectorFormat:
        if self.type != LayerType.VECTOR:
            return instantiate(self)
        key = json.dumps(self.vector_format, sort_keys=True, default=repr)
        if key not in _MADE:
            _MADE[key] = instantiate(self)
        return _MADE[key]

    LayerConfig.instantiate_vector_format = kept
