"""`calibrant fit`: a calibrator out, judged on rows it has not seen."""

from __future__ import annotations

import json

import numpy as np
import pytest


def test_a_fit_writes_parameters_and_graph_that_agree(calibrant, tmp_path, table, said, columns):
    import onnxruntime

    artifact, graph = tmp_path / "calm.json", tmp_path / "calm.onnx"
    done = calibrant(
        "fit", table, *said, "--ids", "id", "--method", "temperature", "--out", artifact,
        "--onnx", graph,
    )  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads(artifact.read_bytes())
    assert (found["kind"], found["task"]) == ("temperature", "binary")
    assert "On held-out rows" in done.out
    session = onnxruntime.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    dtype = np.float64 if "double" in given.type else np.float32
    p = columns["p"][:5].astype(dtype)
    shaped = p if len(given.shape) == 1 else p[:, None]
    answer = np.asarray(session.run(None, {given.name: shaped})[0]).reshape(5, -1)[:, -1]
    temperature = next(iter(np.ravel(found["params"]["temperature"])))
    logit = np.log(columns["p"][:5] / (1 - columns["p"][:5]))
    np.testing.assert_allclose(answer, 1 / (1 + np.exp(-logit / temperature)), rtol=1e-5)


def test_auto_shows_its_candidates_with_identity_among_them(calibrant, tmp_path, table, said):
    done = calibrant("fit", table, *said, "--ids", "id", "--out", tmp_path / "calm.json")
    assert done.code == 0, done.err
    for word in ("identity", "temperature ←", "beta", "log loss"):
        assert word in done.out


def test_calibrated_scores_are_left_alone_and_that_is_said(calibrant, tmp_path, write, said):
    rng = np.random.default_rng(3)
    p = rng.uniform(0.02, 0.98, 2000)
    good = {"id": np.arange(2000), "p": p, "y": (rng.random(2000) < p).astype(int)}
    artifact = tmp_path / "calm.json"
    done = calibrant(
        "fit", write(tmp_path / "good.csv", good), *said, "--ids", "id", "--out", artifact
    )
    assert done.code == 0, done.err
    assert "no_gain" in done.out
    assert json.loads(artifact.read_bytes())["kind"] == "identity"


def test_a_fit_per_slice_corrects_each_slice(calibrant, tmp_path, table, said):
    artifact = tmp_path / "calm.json"
    done = calibrant(
        "fit", table, *said, "--ids", "id", "--method", "temperature", "--per-slice", "region",
        "--out", artifact,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "by region" in done.out
    found = json.loads(artifact.read_bytes())
    assert found["dimensions"] == ["region"]
    assert len(found["members"]) == 2


@pytest.mark.parametrize("by", ["hash", "time"])
def test_rows_are_held_out_by_a_rule(calibrant, tmp_path, table, said, by):
    done = calibrant(
        "fit", table, *said, "--ids", "id", "--time", "day", "--by", by, "--holdout", "0.25",
        "--method", "temperature", "--out", tmp_path / "calm.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    fitted = int(done.out.split("fitted on ")[1].split(" rows")[0].replace(",", ""))
    assert abs(fitted - 2250) <= (1 if by == "time" else 100)


def test_rows_are_held_out_by_whole_groups(calibrant, tmp_path, write, columns, said):
    grouped = {**columns, "customer": np.arange(3000) // 5}
    done = calibrant(
        "fit", write(tmp_path / "rows.parquet", grouped), *said, "--ids", "id", "--groups",
        "customer", "--by", "group", "--method", "temperature", "--out", tmp_path / "calm.json",
    )  # fmt: skip
    assert done.code == 0, done.err


def test_judging_on_fitted_rows_is_refused_with_a_count(calibrant, tmp_path, table, said):
    artifact = tmp_path / "calm.json"
    done = calibrant("fit", table, *said, "--ids", "id", "--evaluate-on", table, "--out", artifact)
    assert done.code == 3
    assert "3000 of 3000 rows" in done.err
    assert not artifact.exists()


def test_a_fit_is_judged_on_another_file(calibrant, tmp_path, write, columns, said):
    first = write(tmp_path / "a.csv", {name: values[:1500] for name, values in columns.items()})
    second = write(tmp_path / "b.csv", {name: values[1500:] for name, values in columns.items()})
    done = calibrant(
        "fit", first, *said, "--ids", "id", "--evaluate-on", second, "--method", "temperature",
        "--out", tmp_path / "calm.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "fitted on 1,500 rows" in done.out
    assert "1,500 labelled rows" in done.out


def test_a_fit_at_its_bound_is_written_only_by_force(calibrant, tmp_path, write, said):
    p = np.tile([0.4, 0.6], 300)
    separable = {"id": np.arange(600), "p": p, "y": (p > 0.5).astype(int)}
    file, artifact = write(tmp_path / "rows.csv", separable), tmp_path / "calm.json"
    arguments = ("fit", file, *said, "--ids", "id", "--method", "temperature", "--out", artifact)
    refused = calibrant(*arguments)
    assert refused.code == 3
    assert "--force" in refused.err
    assert not artifact.exists()
    assert calibrant(*arguments, "--force").code == 0
    assert artifact.exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--by", "moon"), "moon"),
        (("--by", "group"), "groups"),
        (("--by", "time"), "time"),
        (("--method", "magic"), "method"),
        (("--holdout", "0"), "holdout"),
        (("--holdout", "nan"), "holdout"),
        (("--holdout", "1e-9"), "holdout"),
        (("--per-slice", "planet"), "no such column"),
        (("--evaluate-on", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(calibrant, tmp_path, table, said, options, word):
    artifact = tmp_path / "calm.json"
    done = calibrant("fit", table, *said, "--ids", "id", "--out", artifact, *options)
    assert done.code == 3
    assert word in done.err
    assert not artifact.exists()
