"""README is replayed: every shell block, in order, in one folder, against a real service."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PIPELINES = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.live


def test_the_blocks_are_found():
    assert len(BLOCKS) >= 12
    assert len(PIPELINES) == 2


@pytest.fixture(scope="module")
def replayed(
    service, your_csv, tmp_path_factory
) -> list[tuple[str, subprocess.CompletedProcess[str]]]:
    """Run all blocks in one shell session's worth of folder and variables."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "your.csv").write_bytes(your_csv.read_bytes())
    tools = folder / "tools"
    tools.mkdir()
    _wrap_curl(tools)
    variables, done = "", []
    for block in BLOCKS:
        script = block.replace("localhost:8000", f"127.0.0.1:{service.port}")
        wrapped = f"set -euo pipefail\n{variables}\n{script}\ndeclare -p DATASET EVALUATION 2>/dev/null >variables || true\n"
        result = subprocess.run(
            ["bash", "-c", wrapped], cwd=folder, capture_output=True, text=True, timeout=120,
            check=False,
            env={**service.environment, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
        if (folder / "variables").exists():
            variables = (folder / "variables").read_text(encoding="utf-8")
        done.append((block, result))
    return done


def _wrap_curl(tools: Path) -> None:
    """Put a curl in front of the real one that fails where a user would only see a problem."""
    real = shutil.which("curl")
    if real is None:
        pytest.skip("curl is not installed")
    path = tools / "curl"
    path.write_text(
        f"#!/bin/bash\nset -o pipefail\nexec {real} --noproxy '*' --fail-with-body \"$@\"\n",
        encoding="utf-8",
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_works_as_it_stands(replayed, number):
    block, done = replayed[number]
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def test_the_gate_of_readme_is_decided_for_every_slice(replayed):
    _, done = next((b, d) for b, d in replayed if "--gate" in b)
    assert done.returncode == 0
    assert done.stdout.count(" pass ") == 5


def test_calibrated_scores_differ_by_slice(replayed):
    _, done = next((b, d) for b, d in replayed if "/calibrate " in b and "curl" in b)
    answer = json.loads(done.stdout)
    early, evening = answer["probabilities"]
    assert early < evening
    assert answer["calibrator"] == "flights"
    assert answer["version"] == 1


def steps() -> list[str]:
    github, gitlab = map(yaml.safe_load, PIPELINES)
    found = [step["run"] for step in github["jobs"]["calibration"]["steps"] if "run" in step]
    return found + gitlab["calibration"]["script"]


def test_the_pipelines_parse_and_say_what_ci_systems_want():
    github, gitlab = map(yaml.safe_load, PIPELINES)
    job = github["jobs"]["calibration"]
    assert job["runs-on"]
    assert all("uses" in step or "run" in step for step in job["steps"])
    assert gitlab["calibration"]["artifacts"]["reports"]["junit"] == "gates.xml"
    assert gitlab["calibration"]["artifacts"]["when"] == "always"


@pytest.mark.parametrize("line", [line for line in steps() if line.startswith("calibrant ")])
def test_the_commands_of_the_pipelines_work(service, root, tmp_path, line):
    data = root / "service" / "calibrant" / "cli" / "demo_data" / "flights_may.parquet"
    (tmp_path / "predictions.parquet").write_bytes(data.read_bytes())
    gates = re.search(r"cat > gates.toml <<'EOF'\n(.*?)^EOF", README, re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "gates.toml").write_text(gates, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("calibrant")), *shlex.split(line)[1:]]
    done = subprocess.run(
        command, cwd=tmp_path, env=service.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    suite = ElementTree.parse(tmp_path / "gates.xml").getroot()
    assert int(suite.get("tests")) == len(suite) == 5
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    if "--markdown" in line:
        assert (tmp_path / "gates.md").read_text(encoding="utf-8").startswith("## Calibration of")
