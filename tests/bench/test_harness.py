"""The harness on toy contenders: who runs when, what is compared with what, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.bench import environments, outcome
from tests.bench.__main__ import main
from tests.bench.cases import Case, Contender
from tests.bench.measured import Effort, Result, run
from tests.bench.rounds import Timing, disagreement, ratio

EFFORT = Effort(rounds=3, seconds=0.0)
ANNOUNCED = """
import json, sys
for line in sys.stdin:
    ask = json.loads(line)
    if ask["op"] == "load":
        print(json.dumps({{"versions": {{"toy": "1"}}}}), flush=True)
        continue
    with open({log!r}, "a") as log:
        log.write({name!r})
    reply = {{"cpu": [{cpu}] * ask["times"], "figures": {{"sum": {figure}}}}}
    print(json.dumps(reply), flush=True)
"""
COUNTED = """
from protocol import answer

def total(scores):
    print("chatter that is not part of the protocol")
    return lambda: {"sum": scores.sum()}

answer({"total": total}, ["numpy"])
"""


def toy(*names: str, target: float = 2.0) -> Case:
    contenders = tuple(Contender(name, "calibrant", f"{name}.py", "total") for name in names)
    return Case(
        "toy",
        "sums",
        10,
        lambda n: {"scores": np.ones(n)},
        contenders,
        expected=lambda arrays: {"sum": (float(arrays["scores"].sum()), 1e-9)},
        target=target,
    )


def announce(folder: Path, name: str, *, cpu: float, figure: float = 10.0) -> None:
    """Write a runner that claims its CPU time and notes in a log that it ran."""
    text = ANNOUNCED.format(log=str(folder / "log"), name=name, cpu=cpu, figure=figure)
    (folder / f"{name}.py").write_text(text)


@pytest.fixture
def result(tmp_path: Path) -> Result:
    announce(tmp_path, "a", cpu=0.001)
    announce(tmp_path, "b", cpu=0.003)
    announce(tmp_path, "c", cpu=0.0001, figure=9.0)
    (tmp_path / "d.py").write_text("raise SystemExit('it has no wheels')")
    return run(toy("a", "b", "c", "d"), EFFORT, lambda _: None, runners=tmp_path)


def test_contenders_alternate_in_every_round(result: Result, tmp_path: Path) -> None:
    assert result.timings[0].repeats == 1
    assert (tmp_path / "log").read_text().endswith("abc" * EFFORT.rounds)


def test_the_ratio_is_the_other_over_ours_in_each_round(result: Result) -> None:
    ours, other = result.timings[:2]
    assert ratio(ours, other).median == pytest.approx(3.0)
    assert len(other.cpu) == EFFORT.rounds


def test_the_median_ratio_ignores_a_disturbed_round() -> None:
    ours = Timing("a", cpu=[1.0, 1.0, 10.0])
    other = Timing("b", cpu=[2.0, 2.0, 20.0])
    assert ratio(ours, other).median == 2.0
    assert ratio(ours, Timing("c", cpu=[3.0, 4.0, 5.0])).low == 0.5


def test_a_faster_wrong_result_is_said_and_does_not_count(result: Result) -> None:
    wrong = result.timings[2]
    assert wrong.wrong == "sum 9, right is 10"
    assert result.reached == pytest.approx(3.0)


def test_a_contender_that_cannot_start_is_named_with_its_reason(result: Result) -> None:
    missing = result.timings[3]
    assert missing.missing == "it has no wheels"
    assert not missing.cpu


def test_what_is_written_holds_versions_rounds_ratios_and_reasons(
    result: Result, tmp_path: Path
) -> None:
    content = json.loads(outcome.write([result], [], EFFORT, tmp_path / "results").read_text())
    (case,) = content["cases"]
    a, b, c, d = case["contenders"]
    assert content["machine"]["load"]
    assert (case["target"], case["reached"]) == (2.0, pytest.approx(3.0))
    assert (a["versions"], b["ratio"]["median"]) == ({"toy": "1"}, pytest.approx(3.0))
    assert len(b["cpu"]) == EFFORT.rounds
    assert c["wrong"]
    assert (d["missing"], d["ratio"]) == ("it has no wheels", None)


def test_a_real_runner_answers_figures_of_the_arrays_it_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(COUNTED)
    found = run(toy("a"), EFFORT, lambda _: None, runners=tmp_path).timings[0]
    assert (found.missing, found.wrong, found.figures) == ("", "", {"sum": 10.0})
    assert found.versions == {"numpy": np.__version__}
    assert found.median > 0


def test_a_figure_that_is_not_a_number_is_wrong() -> None:
    assert disagreement({"ece": float("nan")}, {"ece": (0.1, 1e-3)})
    assert not disagreement({"other": 1.0}, {"ece": (0.1, 1e-3)})


def test_an_environment_that_cannot_be_made_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said: list[str] = []
    pins = {"toy": ("calibrant-has-no-such-package==1",)}
    with pytest.raises(environments.Unavailable, match=r"\.bench/toy could not be made"):
        environments.python("toy", said.append, home=tmp_path, pins=pins)
    assert said
    assert not (tmp_path / "toy").exists()


def test_every_contender_has_pins_and_a_runner() -> None:
    from tests.bench.cases import CASES
    from tests.bench.process import RUNNERS
    from tests.bench.serving import PEERS, SERVERS

    for contender in (one for case in CASES for one in case.contenders):
        assert contender.environment in {"calibrant", *environments.PINS}
        assert (RUNNERS / contender.runner).is_file()
    for environment, file in PEERS.values():
        assert environment in environments.PINS
        assert (SERVERS / file).is_file()


def test_an_unknown_case_is_refused() -> None:
    assert main(["--only", "no-such-case"]) == 2


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_a_quick_case_runs_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "isotonic"]) == 0
    assert "calibrant" in capsys.readouterr().out
