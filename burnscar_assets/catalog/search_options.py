"""How searches are made, and tried again when they fail.

Loaded only by functions that need rslearn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import pyarrow as pa
import requests
import shapely
from rslearn.data_sources import DataSource  # noqa: TID253
from rslearn.data_sources.stac import StacDataSource  # noqa: TID253
from rslearn.dataset.manage import retry  # noqa: TID253

from burnscar_assets.catalog.hrefs import AddressRule, is_remote
from burnscar_assets.catalog.index_client import IndexClient
from burnscar_assets.catalog.item_checks import ItemChecks, SetAside
from burnscar_assets.catalog.patient_session import PatientSession
from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.network.addresses import mask_address

Result = TypeVar("Result")


@dataclass(frozen=True)
class SearchOptions:
    """How searches are made.

    Attributes:
        retries: further tries of one that failed.
        retry_backoff_s: base of the wait between tries, in seconds.
        late_days: days after a time range for which imagery of it may still come.
        candidates: scenes that are listed for each window at most, as further choices.
        max_cloud_cover: scenes above it are left out, in percent; None: those that the source itself leaves out.
        unknown_clouds: whether scenes that don't say how cloudy they are stay, as the last.
        exclude: ids, or patterns of ids, of scenes that are left out.
        allowed_hosts: hosts, buckets and folders that a catalogue may name, beside its own and the public archives'.
        set_aside: takes the reason and detail of each item that is no scene, by id.
        mended: takes what was changed about a scene's footprint, by id.
    """

    retries: int = 3
    retry_backoff_s: float = 2.0
    late_days: int = 10
    candidates: int = 0
    max_cloud_cover: float | None = None
    unknown_clouds: bool = False
    exclude: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    set_aside: SetAside | None = None
    mended: dict[str, str] | None = None

    def checks(self, source: StacDataSource) -> ItemChecks:
        """What the items of a source must be."""
        collections = tuple(source.collection_names)
        own = source.client.sensor.tiling == "mgrs" if isinstance(source.client, IndexClient) else False
        granules = own or any("sentinel-2" in name for name in collections)
        rule = AddressRule(source.client.endpoint, self.allowed_hosts)
        checks = ItemChecks(rule, self.exclude, collections, granules)
        if self.set_aside is not None and self.mended is not None:
            checks.set_aside, checks.mended = self.set_aside, self.mended
        return checks


def retrying(search: Callable[[], Result], source: DataSource, options: SearchOptions) -> Result:
    """Search, again after a wait where another try may help.

    Raises:
        SourceUnavailableError: the search failed after all tries.
        BurnscarError: it failed in a way that another try does not mend.
    """

    def guarded() -> Result | BurnscarError:
        try:
            return search()
        except SourceUnavailableError as error:
            if patient:
                return error
            raise
        except BurnscarError as error:
            return error
        except Exception as error:
            if not _stays(error):
                raise
            kind = type(source)
            return InputError(
                f"what {kind.__module__}.{kind.__name__} answers can't be understood ({type(error).__name__}: "
                f"{mask_address(str(error))}): it would be the same again; check the layer's data source in "
                "config.json, or take another catalogue"
            )

    client = getattr(source, "client", None)
    patient = isinstance(getattr(client, "session", None), PatientSession)
    local = isinstance(client, IndexClient) and not is_remote(client.endpoint)
    try:
        result = retry(guarded, 0 if local else options.retries, timedelta(seconds=options.retry_backoff_s))
    except BurnscarError:
        raise
    except Exception as error:
        name = f"{type(source).__module__}.{type(source).__name__}"
        raise SourceUnavailableError(
            f"searching {name} for scenes failed ({mask_address(str(error))}): run the same again later; what was "
            "matched is kept"
        ) from error
    if isinstance(result, BurnscarError):
        raise result
    return result


def _stays(error: Exception) -> bool:
    """Whether an error is of what was answered, or of a program, and not of how it was transported."""
    if isinstance(error, OSError):  # those of requests, too
        return isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema)
    kinds = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, NotImplementedError)
    return isinstance(error, (*kinds, ImportError, pa.ArrowException, shapely.errors.ShapelyError))
