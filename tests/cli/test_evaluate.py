"""`calibrant evaluate`: a file in; verdict, picture and exit code out."""

from __future__ import annotations

import gzip
import json
from xml.etree import ElementTree

import numpy as np
import pytest

FORMATS = ("csv", "parquet", "ndjson", "arrow", "npz")


@pytest.fixture(scope="module")
def reports():
    return {}


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_report(calibrant, tmp_path, write, said, reports, suffix):
    file = write(tmp_path / f"rows.{suffix}")
    report = tmp_path / "report.json"
    done = calibrant("evaluate", file, *said, "--slice", "region", "--json", report)
    assert done.code == 0, done.err
    found = json.loads(report.read_bytes())
    assert found["metrics"]["n"] == 3000
    for part in ("verdict", "metrics", "slices", "worst_slices"):
        assert found[part] == reports.setdefault(part, found[part]), part


def test_a_compressed_file_is_read(calibrant, tmp_path, table, said):
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    assert calibrant("evaluate", packed, *said).code == 0


def test_the_verdict_comes_first_and_slices_follow(calibrant, table, said):
    done = calibrant("evaluate", table, *said, "--slice", "region")
    assert done.out.startswith("The probabilities are over-confident")
    assert "3,000 labelled rows" in done.out
    assert "by region" in done.out
    assert done.out.index("by region") > done.out.index("labelled rows")


def test_a_proposal_is_shown_and_not_used_without_agreement(calibrant, table):
    done = calibrant("evaluate", table)
    assert done.code == 3
    assert done.out == ""
    for line in (
        "scores: p",
        "labels: y",
        "slices: region",
        "ids: id",
        "score_kind: probabilities",
    ):
        assert line in done.err
    assert "--yes" in done.err
    assert not table.with_suffix(".reliability.svg").exists()


def test_the_refusal_holds_options_that_work(calibrant, table):
    refused = calibrant("evaluate", table)
    line = next(line for line in refused.err.splitlines() if "calibrant ... " in line)
    arguments = line.split("calibrant ... ")[1].split()
    assert calibrant("evaluate", *arguments).code == 0


def test_an_agreed_proposal_is_used_and_still_shown(calibrant, table):
    done = calibrant("evaluate", table, "--yes")
    assert done.code == 0
    assert "Proposed columns" in done.err
    assert "by region" in done.out


def test_what_is_said_is_used_and_nothing_is_proposed(calibrant, tmp_path, table, said):
    report = tmp_path / "report.json"
    done = calibrant("evaluate", table, *said, "--json", report)
    assert done.code == 0
    assert "Proposed" not in done.err
    dimensions = {part["dimension"] for part in json.loads(report.read_bytes())["slices"]}
    assert dimensions == {"score_band"}


def test_part_of_the_columns_said_needs_agreement_for_the_rest(calibrant, table):
    assert calibrant("evaluate", table, "--scores", "p", "--labels", "y").code == 3


def test_the_picture_lies_next_to_the_file_or_where_it_is_wanted(calibrant, tmp_path, table, said):
    calibrant("evaluate", table, *said)
    beside = tmp_path / "rows.reliability.svg"
    assert ElementTree.parse(beside).getroot().tag.endswith("svg")
    elsewhere = tmp_path / "wanted.svg"
    done = calibrant("evaluate", table, *said, "--picture", elsewhere)
    assert elsewhere.read_text(encoding="utf-8") == beside.read_text(encoding="utf-8")
    assert str(elsewhere) in done.out


def test_a_pattern_names_the_columns_of_many_classes(calibrant, tmp_path, write):
    rng = np.random.default_rng(5)
    p = rng.dirichlet((1, 1, 1), 600)
    labels = (p.cumsum(axis=1) < rng.random(600)[:, None]).sum(axis=1)
    file = write(
        tmp_path / "classes.parquet", {**{f"c_{k}": p[:, k] for k in range(3)}, "y": labels}
    )
    report = tmp_path / "report.json"
    done = calibrant(
        "evaluate", file, "--scores", "c_*", "--labels", "y", "--task", "multiclass",
        "--score-kind", "probabilities", "--metrics", "all", "--json", report,
    )  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads(report.read_bytes())
    assert (found["task"], found["n_classes"]) == ("multiclass", 3)
    assert found["metrics"]["ece_classwise"] is not None


@pytest.mark.parametrize(
    ("bars", "code", "word"),
    [
        ("max = 0.9", 0, "pass"),
        ("max = 0.001", 1, "fail"),
        ("max = {value}", 2, "inconclusive"),
    ],
)
def test_a_gate_decides_the_exit_code(calibrant, tmp_path, table, said, bars, code, word):
    report, gates = tmp_path / "report.json", tmp_path / "gates.toml"
    calibrant("evaluate", table, *said, "--json", report)
    value = json.loads(report.read_bytes())["metrics"]["ece"]
    gates.write_text(f'[[gate]]\nmetric = "ece"\n{bars.format(value=value)}\n', encoding="utf-8")
    done = calibrant("evaluate", table, *said, "--gate", gates)
    assert done.code == code, done.text
    assert word in done.out


def test_a_failed_gate_counts_more_than_an_inconclusive_one(calibrant, tmp_path, table, said):
    gates = tmp_path / "gates.toml"
    gates.write_text(
        '[[gate]]\nmetric = "ece"\nmax = 0.001\n'
        '[[gate]]\nmetric = "bias"\nmin = 0.0\n'
        '[[gate]]\nmetric = "brier"\nmax = 0.9\n',
        encoding="utf-8",
    )
    assert calibrant("evaluate", table, *said, "--gate", gates).code == 1


def test_gates_are_written_as_junit_and_markdown(calibrant, tmp_path, write, columns, said):
    hostile = {**columns, "region": np.where(columns["region"] == "us", '<a|b>&"[/bold]', "eu")}
    file, gates = write(tmp_path / "rows.csv", hostile), tmp_path / "gates.toml"
    gates.write_text(
        '[[gate]]\nmetric = "ece"\nmax = 0.001\nslices = ["region"]\n', encoding="utf-8"
    )
    xml, md = tmp_path / "gates.xml", tmp_path / "gates.md"
    done = calibrant(
        "evaluate", file, *said, "--slice", "region", "--gate", gates, "--junit", xml,
        "--markdown", md,
    )  # fmt: skip
    assert done.code == 1, done.err
    suite = ElementTree.parse(xml).getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "testsuite", "2", "2", "0",
    )  # fmt: skip
    names = {case.get("name") for case in suite}
    assert names == {'ece on region=<a|b>&"[/bold]', "ece on region=eu"}
    assert all(case.find("failure").get("message") for case in suite)
    lines = md.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "## Calibration of rows.csv"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4
    assert {line.replace("\\|", "").count("|") for line in rows} == {6}
    assert '<a|b>&"[/bold]' in done.out


def test_a_calibrator_is_judged_on_rows_it_has_not_seen(calibrant, tmp_path, write, columns, said):
    first = {name: values[:1500] for name, values in columns.items()}
    second = {name: values[1500:] for name, values in columns.items()}
    fitted, fresh = write(tmp_path / "first.csv", first), write(tmp_path / "second.csv", second)
    artifact, report = tmp_path / "calm.json", tmp_path / "report.json"
    assert calibrant("fit", fitted, *said, "--ids", "id", "--out", artifact).code == 0
    done = calibrant("evaluate", fresh, *said, "--calibrator", artifact, "--json", report)
    assert done.code == 0, done.err
    found = json.loads(report.read_bytes())
    assert found["calibrator"] == "calm"
    names = [part["name"] for part in found["comparison"]["candidates"]]
    assert names == ["identity", "calm"]
    before, after = (part["metrics"]["nll"] for part in found["comparison"]["candidates"])
    assert after < before


def test_names_with_brackets_are_shown_as_they_are(calibrant, tmp_path, write, said):
    file = write(tmp_path / "rows[bold][red].csv")
    done = calibrant("evaluate", file, *said)
    assert done.code == 0, done.err
    assert "rows[bold][red].reliability.svg" in done.text.replace(" ", "")
