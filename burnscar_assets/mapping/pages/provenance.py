"""What a map was made from, and on which terms it may be used."""

from burnscar_assets.mapping.pages.records import Grid, MapRecord
from burnscar_assets.mapping.pages.texts import flat, period, ratio, share


def provenance(record: MapRecord, grid: Grid) -> list[dict[str, str | bool]]:
    """Label and value of each fact, in the order in which a reader asks."""
    checkpoint = record.checkpoint
    trained = f"fire year {checkpoint.fire_year}" if checkpoint.fire_year else ""
    rows = [
        ("Perimeter", record.source, False),
        ("Id", record.fire_id or "", True),
        ("Imagery sought", period(record.start, record.end), False),
        ("Clear of cloud", share(record.clear_fraction), False),
        ("Set-up", record.setup or "", False),
        ("Checkpoint", trained, False),
        ("Trained on", f"fires of {_years(record)}" if record.trained_on_fire_years else "", False),
        ("Weights, SHA-256", checkpoint.weights_sha256, True),
        ("Threshold", f"burnt from probability {ratio(record.threshold)}", False),
        ("Calibration", _calibration(record), False),
        ("Grid", f"{grid.crs.name}, {grid.pixel_m:g} m, {grid.width} × {grid.height} pixels", False),
        *((f"Data version, {name}", flat(value), True) for name, value in sorted(record.data_versions.items())),
    ]
    return [{"label": label, "value": value, "code": code} for label, value, code in rows if value]


def _calibration(record: MapRecord) -> str:
    found = record.calibration
    if found is None:
        return ""
    return f"log odds × {found.slope:.3g} {found.intercept:+.3g}, fitted on {found.fixed_on}"


def _years(record: MapRecord) -> str:
    years = sorted(record.trained_on_fire_years)
    run = years == list(range(years[0], years[-1] + 1)) and len(years) > 2
    return f"{years[0]}–{years[-1]}" if run else ", ".join(map(str, years))


def licences(record: MapRecord, *, simulated: bool) -> list[str]:
    """What has to be said of what the map contains."""
    year = record.end[:4]
    producer = record.imagery.producer
    if simulated:
        lines = ["Imagery simulated by burnscar_assets: no observation of the Earth."]
    else:
        lines = [f"Imagery: {record.imagery.sensor}." if producer is None else producer.credit.replace("{year}", year)]
    if "FRAP" in record.source.upper() and not simulated:
        lines.append("Official perimeter: CAL FIRE FRAP, CC BY 4.0.")
    return [*lines, record.checkpoint.notice] if record.checkpoint.notice else lines
