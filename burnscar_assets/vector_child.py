"""The process that opens a foreign vector file: few drivers, little memory, no credentials; see `vector_files`.

Reads a request as JSON from standard input, answers on standard output, and writes rows as an Arrow stream.
"""

import json
import resource
import sys
import warnings
from collections.abc import Callable
from typing import Any, Final

GEOMETRY: Final = "__geometry_as_wkb__"
BYTEWISE: Final = "ISO-8859-1"
"""An encoding in which every byte is a character; by this name GDAL knows it too."""

FOR_ROWS: Final = ("geopandas", "pandas", "pyarrow", "pyproj", "shapely")
"""What pyogrio imports where it is there, and needs for rows alone."""


def main() -> int:
    """Do what the request asks for; what goes wrong is part of the answer."""
    request = json.load(sys.stdin)
    for limit, most in ((resource.RLIMIT_AS, request["memory_bytes"]), (resource.RLIMIT_CPU, request["cpu_s"])):
        resource.setrlimit(limit, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    try:
        answer = _WORK[request["what"]](request)
    except MemoryError:
        answer = {"error": "it needs more memory than is allowed"}
    except Exception as error:  # the parent says it in its own words
        answer = {"error": _said(error) or type(error).__name__}
    json.dump(answer, sys.stdout)
    return 0


def _list(request: dict[str, Any]) -> dict[str, Any]:
    """Names of the layers with geometry of each file; in the place of a list the reason why there is none."""
    for name in FOR_ROWS:
        sys.modules[name] = None  # type: ignore[assignment]  # can't be imported: a quarter of the time to start
    import pyogrio

    found: list[list[str] | str] = []
    for path in request["paths"]:
        try:
            found.append([str(name) for name, kind in pyogrio.list_layers(path) if kind is not None])
        except Exception as error:
            found.append(_said(error))
    return {"layers": found}


def _said(error: Exception) -> str:
    """What an error says, without the library's advice on a driver, which nobody can follow here."""
    return str(error).partition(".; It might help to specify the correct driver")[0]


def _read(request: dict[str, Any]) -> dict[str, Any]:
    """Write the rows of a layer; geometry as WKB without curves."""
    import pyogrio

    wanted = {"layer": request["layer"], "columns": request["columns"], "read_geometry": False}
    note = ""
    try:
        rows, note = _mended(pyogrio.read_dataframe(request["path"], **wanted))
    except (UnicodeDecodeError, LookupError) as error:
        rows = _decoded(pyogrio.read_dataframe(request["path"], encoding=BYTEWISE, **wanted))
        note = (
            f"its text is not in the encoding that it names ({error}): read as UTF-8 where it is that, else as cp1252"
        )
    if request["columns"] is not None:
        return _write(request["out"], rows, None, None) | {"note": note}
    meta, _, shapes, _ = pyogrio.raw.read(request["path"], layer=request["layer"], columns=[], force_2d=True)
    return _write(request["out"], rows, shapes, meta["crs"]) | {"note": note}


def _all(request: dict[str, Any]) -> dict[str, Any]:
    """Write the rows of every layer with geometry, each into a file of its number."""
    import pyogrio

    names = [str(name) for name, kind in pyogrio.list_layers(request["path"]) if kind is not None]
    outs = [f"{request['out']}.{number}" for number in range(len(names))]
    layers = [_read({**request, "layer": name, "out": out}) for name, out in zip(names, outs, strict=True)]
    return {"layers": [{"name": name, "out": out} | one for name, out, one in zip(names, outs, layers, strict=True)]}


def _parquet(request: dict[str, Any]) -> dict[str, Any]:
    """Write the rows of a Parquet file with geometry, by its metadata or GeoArrow's types."""
    import geopandas as gpd
    import pyarrow.parquet as pq

    schema = pq.read_schema(request["path"])
    if b"geo" in (schema.metadata or {}):
        rows = gpd.read_parquet(request["path"])
    elif any(b"geoarrow." in (field.metadata or {}).get(b"ARROW:extension:name", b"") for field in schema) or any(
        str(getattr(field.type, "extension_name", "")).startswith("geoarrow.") for field in schema
    ):
        rows = gpd.GeoDataFrame.from_arrow(pq.read_table(request["path"]))
    else:
        return {"no_geometry": schema.names}
    crs = rows.crs.to_wkt() if rows.crs else None
    shapes = rows.geometry.force_2d().to_wkb().to_numpy(dtype=object)
    return _write(request["out"], rows.drop(columns=rows.geometry.name), shapes, crs) | {"note": ""}


def _table(request: dict[str, Any]) -> dict[str, Any]:
    """Write a Parquet file's columns as they are, but for one that would be too large in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_metadata(request["path"]).num_rows
    table = pq.read_table(request["path"]) if rows <= request["most_rows"] else None
    if table is None or table.num_rows > request["most_rows"]:
        return {"error": f"it has more than {request['most_rows']:,} rows"}
    if table.nbytes > request["most_bytes"]:
        return {"error": f"it has more than {request['most_bytes'] / 2**30:g} GB when it is decoded"}
    with pa.OSFile(request["out"], "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return {}


def _decoded(rows: Any) -> Any:
    """Text that was read byte by byte: as UTF-8 where it is that, else as cp1252."""

    def decoded(text: str) -> str:
        raw = text.encode(BYTEWISE)
        for encoding in ("utf-8", "cp1252"):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError:
                continue
        return text

    return _mapped(rows, decoded)


def _mended(rows: Any) -> tuple[Any, str]:
    """UTF-8 that was read as a Western encoding (`CAÃ‘ON`), as it was meant, and a note of it."""
    seen: list[str] = []

    def mended(text: str) -> str:
        for encoding in () if text.isascii() else ("cp1252", BYTEWISE):
            try:
                meant = text.encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
            seen.append(f"{text!r}, meant is {meant!r}")
            return meant
        return text

    rows = _mapped(rows, mended)
    return rows, f"its text is UTF-8, and says that it is something else ({seen[0]}): read as UTF-8" if seen else ""


def _mapped(rows: Any, change: Callable[[str], str]) -> Any:
    """Rows with their text, names of fields too, changed."""
    names = [name for name in rows.columns if rows[name].dtype.kind in "OU" or str(rows[name].dtype) == "str"]
    texts = {
        name: rows[name].astype(object).map(lambda value: change(value) if isinstance(value, str) else value)
        for name in names
    }
    return rows.assign(**texts).rename(columns=change)


def _write(out: str, rows: Any, shapes: Any, crs: str | None) -> dict[str, Any]:
    import pyarrow as pa

    try:
        table = pa.Table.from_pandas(rows, preserve_index=False)
    except (pa.ArrowException, UnicodeError):
        plain = {name: [_harmless(value) for value in rows[name]] for name in rows if rows[name].dtype.kind == "O"}
        table = pa.Table.from_pandas(rows.assign(**plain), preserve_index=False)
    if shapes is not None:
        wkb = pa.array(shapes, pa.large_binary())
        table = table.append_column(GEOMETRY, wkb) if table.num_columns else pa.table({GEOMETRY: wkb})
    with pa.OSFile(out, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return {"crs": crs, "rows": len(rows)}


def _harmless(value: Any) -> Any:
    return value if value is None else str(value).encode("utf-8", "replace").decode()


_WORK: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "list": _list,
    "read": _read,
    "all": _all,
    "parquet": _parquet,
    "table": _table,
}

if __name__ == "__main__":
    sys.exit(main())
