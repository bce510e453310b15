"""`lifecycle doctor`: what is missing is named with what mends it, before a run finds out."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle import machine
from lifecycle.machine import Finding, examine_machine, open_files
from tests.graph_home import ROOT


def found(findings: list[Finding]) -> dict[str, Finding]:
    return {each.what: each for each in findings}


def test_the_machine_of_these_tests_can_do_the_work_and_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there"
    findings = found(examine_machine(home, f"sqlite:///{home}/mlflow.db"))
    assert {name for name, each in findings.items() if each.state == "missing"} == set()
    assert "made by the first run" in findings["MLflow"].found
    assert "made by the first run" in findings["Dagster home"].found
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_an_exit_status_and_says_how_to_mend_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assets.cli", "doctor", "--home", str(tmp_path), "--tracking-uri", "http://127.0.0.1:9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "MLflow" in done.stdout
    assert "pip install 'lifecycle[vllm]'" in done.stdout, "brackets are markup to the table"
    said = " ".join(done.stdout.replace("│", " ").split())
    assert "does not answer" in said
    assert "jobs run on this machine" in said, "no cluster is named"


def test_a_container_with_64_megabytes_of_shared_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL and data loaders end with `bus error` there, long after the start."""
    monkeypatch.setattr(machine, "SHARED_MEMORY", 1 << 60)
    finding = found(examine_machine(tmp_path, f"sqlite:///{tmp_path}/mlflow.db"))["shared memory"]
    assert finding.state == "slower"
    assert "--shm-size" in finding.advice


def test_a_dagster_home_without_settings_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster makes do without them: no pools, and two trainings at once share the machine."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    finding = found(examine_machine(tmp_path, f"sqlite:///{tmp_path}/mlflow.db"))["Dagster home"]
    assert finding.state == "slower"
    assert "deploy/dagster.yaml" in finding.advice
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").touch()
    finding = found(examine_machine(tmp_path, f"sqlite:///{tmp_path}/mlflow.db"))["Dagster home"]
    assert (finding.state, finding.found) == ("good", str(tmp_path / "dagster"))


def test_few_open_files_are_told() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert (open_files().state, open_files().advice) == ("slower", "ulimit -n 4096")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
