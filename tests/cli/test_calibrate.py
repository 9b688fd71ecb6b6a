"""`calibrant calibrate`: the table again, with calibrated probabilities appended."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator

HALF = Calibrator("temperature", "binary", 2, {"temperature": 2.0})
IDENTITY = Calibrator("identity", "binary", 2)
SHARP = Calibrator("platt", "binary", 2, {"a": 2.0, "b": 0.3})
SCORES = ("--scores", "p", "--score-kind", "probabilities")


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "calm.json"
    path.write_text(json.dumps(HALF.to_dict()), encoding="utf-8")
    return path


def read(path):
    if path.suffix == ".csv":
        return pyarrow.csv.read_csv(path).to_pydict()
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pydict()
    if path.suffix == ".arrow":
        return pyarrow.ipc.open_file(path).read_all().to_pydict()
    if path.suffix == ".npz":
        with np.load(path) as found:
            return {name: found[name].tolist() for name in found.files}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "ndjson", "arrow", "npz"])
def test_probabilities_are_appended_in_every_format(
    calibrant, tmp_path, table, columns, artifact, suffix
):
    out = tmp_path / f"out.{suffix}"
    done = calibrant("calibrate", table, "--calibrator", artifact, "--out", out, *SCORES)
    assert done.code == 0, done.err
    assert "3,000 rows, `calibrated` appended" in done.out
    found = read(out)
    assert list(found) == [*columns, "calibrated"]
    p = np.asarray(found["p"], dtype=float)
    expected = calibrate(HALF, p, score_kind="probabilities")
    np.testing.assert_allclose(found["calibrated"], expected, rtol=1e-12)
    assert found["id"] == columns["id"].tolist()


def test_the_new_column_has_the_name_that_is_wanted(calibrant, tmp_path, table, artifact):
    out = tmp_path / "out.csv"
    arguments = ("calibrate", table, "--calibrator", artifact, "--out", out, *SCORES)
    assert calibrant(*arguments, "--column", "honest").code == 0
    assert "honest" in read(out)
    assert calibrant(*arguments, "--column", "p").code == 3


def test_rows_of_unknown_slices_are_counted(calibrant, tmp_path, table, columns):
    sliced = SlicedCalibrator(IDENTITY, ("region",), {("us",): SHARP})
    artifact, out = tmp_path / "sliced.json", tmp_path / "out.parquet"
    artifact.write_text(json.dumps(sliced.to_dict()), encoding="utf-8")
    done = calibrant("calibrate", table, "--calibrator", artifact, "--out", out, *SCORES)
    assert done.code == 0, done.err
    assert "2,000 rows of unknown slices" in done.err
    found = np.array(read(out)["calibrated"])
    us = columns["region"] == "us"
    p = np.array(read(out)["p"])
    for rows, member in ((us, SHARP), (~us, IDENTITY)):
        expected = calibrate(member, p[rows], score_kind="probabilities")
        np.testing.assert_allclose(found[rows], expected, rtol=1e-12)


def test_scores_of_many_classes_become_as_many_columns(calibrant, tmp_path, write):
    rng = np.random.default_rng(2)
    z = rng.normal(size=(50, 3))
    file = write(tmp_path / "z.parquet", {f"z_{k}": z[:, k] for k in range(3)})
    artifact, out = tmp_path / "calm.json", tmp_path / "out.parquet"
    cooled = Calibrator("temperature", "multiclass", 3, {"temperature": 2.0})
    artifact.write_text(json.dumps(cooled.to_dict()), encoding="utf-8")
    done = calibrant(
        "calibrate", file, "--calibrator", artifact, "--out", out, "--scores", "z_*",
        "--score-kind", "logits",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = read(out)
    got = np.stack([found[f"calibrated_{k}"] for k in range(3)], axis=1)
    expected = np.exp(z / 2) / np.exp(z / 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_columns_are_not_guessed_in_silence(calibrant, tmp_path, table, artifact):
    out = tmp_path / "out.csv"
    refused = calibrant("calibrate", table, "--calibrator", artifact, "--out", out)
    assert refused.code == 3
    assert not out.exists()
    assert calibrant("calibrate", table, "--calibrator", artifact, "--out", out, "--yes").code == 0


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\xff\xfe not json", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "format"),
        (b"[]", "JSON object"),
        (b'{"format": 99}', "format"),
    ],
)
def test_what_is_not_an_artifact_is_refused(calibrant, tmp_path, table, content, word):
    wrong, out = tmp_path / "wrong.json", tmp_path / "out.csv"
    wrong.write_bytes(content)
    done = calibrant("calibrate", table, "--calibrator", wrong, "--out", out, *SCORES)
    assert done.code == 3
    assert word in done.text
    assert not out.exists()


@pytest.mark.parametrize(
    ("scores", "out", "word"),
    [
        ("p", "out.xlsx", "written as"),
        ("p", "nowhere/out.csv", "nowhere"),
        ("missing", "out.csv", "no such column"),
        ("q_*", "out.csv", "no such column"),
    ],
)
def test_what_cannot_be_written_is_said(
    calibrant, monkeypatch, tmp_path, table, artifact, scores, out, word
):
    monkeypatch.chdir(tmp_path)
    done = calibrant(
        "calibrate", table, "--calibrator", artifact, "--scores", scores, "--score-kind",
        "probabilities", "--out", out,
    )  # fmt: skip
    assert done.code == 3
    assert word in done.err.replace("There is", "")
    assert not list(tmp_path.glob("out*"))
