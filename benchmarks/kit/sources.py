"""rslearn's own source of Sentinel-2, at a catalogue that the configuration names."""

from typing import Any

# rslearn itself loads this module, by the class path in a dataset's configuration.
from rslearn.data_sources import DataSourceContext  # noqa: TID253
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2  # noqa: TID253


class Element84At(Sentinel2):
    """Element 84's catalogue and COGs, somewhere else; all that it does is rslearn's."""

    def __init__(
        self,
        endpoint: str,
        sort_by: str | None = None,
        context: DataSourceContext = DataSourceContext(),  # noqa: B008 - rslearn's own signature
        **arguments: Any,
    ) -> None:
        """Make the source.

        Args:
            endpoint: the STAC API.
            sort_by: property of the items by which scenes are preferred.
            context: the dataset and layer, from rslearn.
            arguments: as `Sentinel2` has them.
        """
        self.STAC_ENDPOINT = endpoint
        super().__init__(sort_by=sort_by, context=context, **arguments)
