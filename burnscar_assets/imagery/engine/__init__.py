"""Pixels of many windows at once: each block of each file is read and decoded once, and every window cut from it.

The result is what rslearn's `materialize` writes, pixel by pixel; `supports` says where that is promised. Nothing is
stored here: the caller takes each window's image as it becomes whole.
"""

from burnscar_assets.imagery.engine.read import read_windows
from burnscar_assets.imagery.engine.request import Failure, FailureKind, ReadOptions, WindowImage, WindowRequest
from burnscar_assets.imagery.engine.support import supports

__all__ = ["Failure", "FailureKind", "ReadOptions", "WindowImage", "WindowRequest", "read_windows", "supports"]
