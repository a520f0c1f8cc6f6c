"""What `riskml drift` says to what it cannot use; the whole is tried on a world, end to end."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from riskml.cli import main

OLD = Path(__file__).parents[2] / "data" / "bundles" / "format_3"


def test_a_bundle_without_a_reference_is_refused() -> None:
    words = ["--bundle", str(OLD / "bundle"), "--source", str(OLD / "events.parquet")]
    result = CliRunner().invoke(main, ["drift", *words])
    assert result.exit_code == 2
    assert "has no drift.json: it was exported without one; train again" in result.stderr


def test_impossible_rules_name_their_option(tmp_path: Path) -> None:
    words = ["--bundle", str(OLD / "bundle"), "--source", "log.csv", "--psi", "-1"]
    result = CliRunner().invoke(main, ["drift", *words])
    assert result.exit_code == 2
    assert "--psi" in result.stderr
