"""What the build adds to pyproject.toml: files of the repository's top level that the package reads when it runs."""

import shutil
from pathlib import Path
from typing import Final

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE: Final = "burnscar_assets"
FOLDER: Final = "configs"
FILE: Final = "dagster.yaml"


class BuildWithShippedFiles(build_py):
    """Puts them into the package, where `burnscar_assets.environment` looks before it looks beside the package."""

    def run(self) -> None:
        """Build; an editable installation reads them in the repository."""
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib, PACKAGE)
        shutil.rmtree(package / FOLDER, ignore_errors=True)  # what an earlier build left and is gone since
        shutil.copytree(FOLDER, package / FOLDER)
        shutil.copyfile(FILE, package / FILE)


setup(cmdclass={"build_py": BuildWithShippedFiles})
