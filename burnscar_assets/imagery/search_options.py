"""How searches are made, and tried again when they fail.

Loaded only by functions that need rslearn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from rslearn.data_sources import DataSource  # noqa: TID253
from rslearn.dataset.manage import retry  # noqa: TID253

from burnscar_assets.errors import BurnscarError, SourceUnavailableError
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.index_client import IndexClient
from burnscar_assets.imagery.patient_session import PatientSession

Result = TypeVar("Result")


@dataclass(frozen=True)
class SearchOptions:
    """How searches are made.

    Attributes:
        retries: further tries of one that failed.
        retry_backoff_s: base of the wait between tries, in seconds.
        late_days: days after a time range for which imagery of it may still come.
        candidates: scenes that are listed for each window at most, as further choices.
    """

    retries: int = 3
    retry_backoff_s: float = 2.0
    late_days: int = 10
    candidates: int = 0


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

    client = getattr(source, "client", None)
    patient = isinstance(getattr(client, "session", None), PatientSession)
    local = isinstance(client, IndexClient) and not is_remote(client.endpoint)
    try:
        result = retry(guarded, 0 if local else options.retries, timedelta(seconds=options.retry_backoff_s))
    except BurnscarError:
        raise
    except Exception as error:
        raise SourceUnavailableError(
            f"searching {type(source).__module__}.{type(source).__name__} for scenes failed ({error}): run the same "
            "again later; what was matched is kept"
        ) from error
    if isinstance(result, BurnscarError):
        raise result
    return result
