"""Known faults of the locked dependencies, and the bill of materials of what is locked: `make audit`.

A fault that stands is a line of audit-exceptions.yaml: its id, the reason, and the day until which that holds.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import yaml

HERE = Path(__file__).parent
LOCK = HERE.parent / "requirements.lock"
EXCEPTIONS = HERE / "audit-exceptions.yaml"
BIN = Path(sys.executable).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 1 if a fault is known that no exception covers, or none could be known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--without-advisories",
        action="store_true",
        help="pass where the registry serves no advisories: nothing is known",
    )
    options = parser.parse_args(arguments)
    sbom = HERE.parent / "build" / "sbom.json"
    sbom.parent.mkdir(exist_ok=True)
    bill = ["requirements", str(LOCK), "--output-reproducible", "--of", "JSON", "-o", str(sbom)]
    subprocess.run([BIN / "cyclonedx-py", *bill], check=True)
    dependencies = _audit()
    audited = [one for one in dependencies if "skip_reason" not in one]
    faults = {
        fault[
            "id"
        ]: f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or '–'}"
        for one in audited
        for fault in one["vulns"]
    }
    standing, problems = _exceptions(datetime.now(UTC).date())
    problems += [text for name, text in sorted(faults.items()) if name not in standing]
    print(f"{len(audited)} of {len(dependencies)} packages audited, {len(faults)} known faults; bill: {sbom}")
    if not audited:
        print(
            "NOT AUDITED: the package registry in use serves no advisories, so no fault could be known", file=sys.stderr
        )
        if not options.without_advisories:
            problems.append("use a registry that serves advisories, as pypi.org does, or --without-advisories")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return int(bool(problems))


def _audit() -> list[dict]:
    options = ["--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run([BIN / "pip-audit", *options, "--format", "json"], capture_output=True, check=False)
    if not done.stdout:
        sys.exit(f"error: pip-audit failed: {done.stderr.decode()}")
    return json.loads(done.stdout)["dependencies"]


def _exceptions(today: date) -> tuple[set[str], list[str]]:
    """Ids of faults that stand, and exceptions that don't hold."""
    listed = yaml.safe_load(EXCEPTIONS.read_text(encoding="utf-8")) or []
    over = [f"the exception of {one['id']} ended on {one['until']}" for one in listed if one["until"] < today]
    unexplained = [f"the exception of {one['id']} has no reason" for one in listed if not one.get("reason")]
    return {one["id"] for one in listed}, over + unexplained


if __name__ == "__main__":
    sys.exit(main())
