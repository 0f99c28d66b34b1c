"""An audit that could know nothing doesn't pass for one that found nothing."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
UNKNOWN = {"name": "torch", "skip_reason": "the registry serves no advisories"}
FAULTY = {"name": "torch", "version": "2", "vulns": [{"id": "GHSA-1", "fix_versions": ["3"]}]}
SOUND = {"name": "torch", "version": "2", "vulns": []}


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", REPOSITORY / "deploy" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(subprocess, "run", lambda *given, **options: None)
    monkeypatch.setattr(module, "HERE", tmp_path / "deploy")
    return module


@pytest.mark.parametrize(
    ("found", "options", "code", "said"),
    [
        (UNKNOWN, [], 1, "NOT AUDITED"),
        (UNKNOWN, ["--without-advisories"], 0, "NOT AUDITED"),
        (SOUND, [], 0, ""),
        (FAULTY, [], 1, "GHSA-1"),
        (FAULTY, ["--without-advisories"], 1, "GHSA-1"),
    ],
)
def test_what_is_known_decides(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    found: dict, options: list[str], code: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(audit, "_audit", lambda: [found])
    assert audit.main(options) == code
    assert said in capsys.readouterr().err


def test_continuous_integration_says_that_it_may_know_nothing() -> None:
    assert "make audit AUDIT_OPTIONS=--without-advisories" in (REPOSITORY / ".ci" / "run").read_text()
