"""A QGIS project of a map: all its layers, styled as on its page, with paths relative to the project.

Written as XML in the form that QGIS 3 saves, since QGIS itself is not needed to make maps. QGIS fills in whatever a
project leaves out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pyproj import CRS

from burnscar_assets.mapping.severity import SEVERITY_CLASSES
from burnscar_assets.publish.pages.drawing import (
    MODEL_COLOUR,
    PERIMETER_COLOUR,
    STRETCH_DN,
    VALIDITY,
    VECTORS,
    probability_ramp,
)
from burnscar_assets.publish.pages.records import Grid, ReadMap
from burnscar_assets.publish.polygons import BURNED_LAYER, PERIMETER_LAYER
from burnscar_assets.text import clean

PROJECT_FILE: Final = "map.qgs"
QGIS_VERSION: Final = "3.22.0"
"""Of the form that is written; later versions read it too."""

DOCTYPE: Final = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
STOPS: Final = 11
ID_PREFIX: Final = "burnscar_assets_"
"""QGIS passes over layers whose ids have no more than ten characters."""

LINE_MM: Final = "0.6"


@dataclass(frozen=True)
class Layer:
    """A layer of the project.

    `source` is relative to the project, with the layer's name for GeoPackages.
    """

    id: str
    name: str
    source: str
    style: Element
    shown: bool = True

    @property
    def is_vector(self) -> bool:
        """Whether OGR reads it; else GDAL does."""
        return self.style.tag == "renderer-v2"


def qgis_project(a_map: ReadMap) -> bytes:
    """The project of a map as XML.

    What its folder lacks is left out.
    """
    layers = list(_layers(a_map))
    title = clean(a_map.record.name) + (" (simulated imagery)" if a_map.record.simulated else "")
    root = Element("qgis", projectname=title, version=QGIS_VERSION)
    SubElement(root, "title").text = title
    _crs(SubElement(root, "projectCrs"), a_map.grid.crs)
    tree = SubElement(root, "layer-tree-group")
    for layer in layers:
        SubElement(
            tree,
            "layer-tree-layer",
            id=layer.id,
            name=layer.name,
            source=layer.source,
            providerKey="ogr" if layer.is_vector else "gdal",
            checked="Qt::Checked" if layer.shown else "Qt::Unchecked",
            expanded="0",
        )
    order = SubElement(tree, "custom-order", enabled="0")
    for layer in layers:
        SubElement(order, "item").text = layer.id
    _canvas(root, a_map.grid)
    described = SubElement(root, "projectlayers")
    for layer in layers:
        _layer(described, layer, a_map.grid)
    drawn = SubElement(root, "layerorder")
    for layer in layers:
        SubElement(drawn, "layer", id=layer.id)
    properties = SubElement(root, "properties")
    SubElement(SubElement(properties, "Paths"), "Absolute", type="bool").text = "false"
    SubElement(SubElement(properties, "SpatialRefSys"), "ProjectionsEnabled", type="int").text = "1"
    indent(root, " ")
    return DOCTYPE + tostring(root, encoding="utf-8") + b"\n"


def _layers(a_map: ReadMap) -> Iterator[Layer]:
    """Topmost first; files that aren't there are passed over."""
    folder = a_map.folder
    if (folder / VECTORS).is_file():
        from pyogrio import list_layers

        there = set(list_layers(folder / VECTORS)[:, 0])
        outlines = (
            (BURNED_LAYER, "Burned area, mapped", MODEL_COLOUR, "solid"),
            (PERIMETER_LAYER, "Official perimeter", PERIMETER_COLOUR, "dash"),
        )
        for name, label, colour, dash in outlines:
            if name in there:
                yield Layer(f"{ID_PREFIX}{name}", label, f"./{VECTORS}|layername={name}", _outline(colour, dash))
    rasters = (
        ("validity", "Cloud, no data", _paletted([(value, label, colour) for value, label, colour in VALIDITY]), False),
        ("severity", "Severity (dNBR)",
         _paletted([(item.code, item.name, item.colour) for item in SEVERITY_CLASSES]), False),
        ("probability", "Probability of burn", _ramp(), True),
        ("after", f"After the fire ({a_map.record.imagery.bands})", _composite(), True),
        ("before", f"Before the fire ({a_map.record.imagery.bands})", _composite(), True),
    )  # fmt: skip
    for name, label, style, shown in rasters:
        if (folder / f"{name}.tif").is_file():
            yield Layer(f"{ID_PREFIX}{name}", label, f"./{name}.tif", style, shown)


def _layer(parent: Element, layer: Layer, grid: Grid) -> None:
    described = SubElement(parent, "maplayer", type="vector" if layer.is_vector else "raster")
    if layer.is_vector:
        described.set("geometry", "Polygon")
    SubElement(described, "id").text = layer.id
    SubElement(described, "datasource").text = layer.source
    SubElement(described, "layername").text = layer.name
    _crs(SubElement(described, "srs"), grid.crs)
    if layer.is_vector:
        SubElement(described, "provider", encoding="UTF-8").text = "ogr"
        described.append(layer.style)
        SubElement(described, "layerOpacity").text = "1"
    else:
        SubElement(described, "provider").text = "gdal"
        pipe = SubElement(described, "pipe")
        pipe.append(layer.style)
    SubElement(described, "blendMode").text = "0"


def _crs(parent: Element, crs: CRS) -> None:
    system = SubElement(parent, "spatialrefsys", nativeFormat="Wkt")
    SubElement(system, "wkt").text = crs.to_wkt()
    authority = crs.to_authority()
    if authority is not None:
        SubElement(system, "authid").text = ":".join(authority)
    SubElement(system, "description").text = crs.name
    SubElement(system, "geographicflag").text = "false"


def _canvas(parent: Element, grid: Grid) -> None:
    canvas = SubElement(parent, "mapcanvas", name="theMapCanvas", annotationsVisible="1")
    SubElement(canvas, "units").text = "meters"
    extent = SubElement(canvas, "extent")
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), grid.bounds, strict=True):
        SubElement(extent, name).text = f"{value:.3f}"
    SubElement(canvas, "rotation").text = "0"
    _crs(SubElement(canvas, "destinationsrs"), grid.crs)


def _outline(colour: str, dash: str) -> Element:
    """Polygons without a filling."""
    renderer = Element("renderer-v2", type="singleSymbol", symbollevels="0", enableorderby="0", forceraster="0")
    symbol = SubElement(SubElement(renderer, "symbols"), "symbol", type="fill", name="0", alpha="1", clip_to_extent="1")
    line = SubElement(symbol, "layer", {"class": "SimpleLine"}, enabled="1", locked="0", **{"pass": "0"})
    options = SubElement(line, "Option", type="Map")
    settings = {"line_color": _rgba(colour), "line_style": dash, "line_width": LINE_MM, "line_width_unit": "MM",
                "joinstyle": "round", "capstyle": "flat"}  # fmt: skip
    for name, value in settings.items():
        SubElement(options, "Option", name=name, type="QString", value=value)
    return renderer


def _paletted(classes: Sequence[tuple[int, str, str]]) -> Element:
    renderer = Element("rasterrenderer", type="paletted", band="1", opacity="0.8", alphaBand="-1", nodataColor="")
    palette = SubElement(renderer, "colorPalette")
    for value, label, colour in classes:
        SubElement(palette, "paletteEntry", value=str(value), label=label, color=colour, alpha="255")
    return renderer


def _ramp() -> Element:
    renderer = Element("rasterrenderer", type="singlebandpseudocolor", band="1", opacity="0.7", alphaBand="-1",
                       classificationMin="0", classificationMax="1", nodataColor="")  # fmt: skip
    shader = SubElement(
        SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED", classificationMode="1",
        clip="0", minimumValue="0", maximumValue="1", labelPrecision="2",
    )  # fmt: skip
    ramp = probability_ramp()
    for step in range(STOPS):
        value = step / (STOPS - 1)
        red, green, blue, alpha = ramp[round(value * (len(ramp) - 1))].tolist()
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        SubElement(shader, "item", value=f"{value:g}", label=f"{value:.1f}", color=colour, alpha=str(alpha))
    return renderer


def _composite() -> Element:
    renderer = Element("rasterrenderer", type="multibandcolor", redBand="1", greenBand="2", blueBand="3", opacity="1",
                       alphaBand="-1", nodataColor="")  # fmt: skip
    for name, brightest in zip(("red", "green", "blue"), STRETCH_DN, strict=True):
        contrast = SubElement(renderer, f"{name}ContrastEnhancement")
        SubElement(contrast, "minValue").text = "0"
        SubElement(contrast, "maxValue").text = str(brightest)
        SubElement(contrast, "algorithm").text = "StretchToMinimumMaximum"
    return renderer


def _rgba(colour: str) -> str:
    return ",".join(str(part) for part in (*bytes.fromhex(colour.removeprefix("#")), 255))
