"""Figures published by the authors of data, and the reference values computed from them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrant.numerics import calibration, ranked, scoring
from calibrant.numerics.edges import equal_edges
from calibrant.numerics.rows import CLIP_EPS, Rows, derive, probabilities
from calibrant.numerics.table import Bins

Shared = Callable[[str], Path]


@pytest.fixture
def folder(shared: Shared) -> Path:
    return shared("data")


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return found


def right(p: np.ndarray, y: np.ndarray, n: int) -> Bins:
    """Bins of the published tables: (i/n, (i+1)/n]."""
    return Bins.from_rows(p, y, edges=np.arange(n + 1) / n, closed="right")


def ece(p: np.ndarray, y: np.ndarray, n: int = 15) -> float:
    return float(calibration.ece(right(p, y, n))[0])


def mce(p: np.ndarray, y: np.ndarray, n: int = 15) -> float:
    return float(calibration.mce(right(p, y, n), min_count=1).value[0])


def log_of(p: np.ndarray) -> np.ndarray:
    return np.log(np.clip(p.astype(np.float64), 1e-38, 1))


def summary(z: np.ndarray, y: np.ndarray) -> dict[str, float]:
    rows = derive(z, y, task="multiclass", score_kind="logits")
    p = probabilities(z, task="multiclass", score_kind="logits")
    ranks = ranked.rank(rows.score, rows.outcome)
    return {
        "acc": float(rows.correct.mean()),
        "nll": float(rows.nll.mean()),
        "brier": float(rows.brier.mean()),
        "ece15": ece(rows.score, rows.outcome),
        "mce15": mce(rows.score, rows.outcome),
        "ece10": ece(rows.score, rows.outcome, 10),
        "ece15_equal_mass": float(calibration.ece(ranked.equal_mass_bins(ranks))[0]),
        "cwece15": scoring.classwise_ece(p, y, closed="right").mean,
        "mean_conf": float(rows.score.mean()),
    }


def agree(got: dict[str, float], want: dict[str, float]) -> None:
    for name, value in got.items():
        assert value == pytest.approx(want[name], abs=1e-8), name


# ------------------------------------------------------------------------------ published figures


@pytest.mark.parametrize(
    ("net", "ece_", "mce_", "error"),
    [
        ("densenet40_c10", 0.055003, 0.333955, 7.58),
        ("densenet40_c100", 0.211563, 0.454003, 30.00),
        ("resnet110_c10", 0.047503, None, 6.44),
        ("resnet110_c100", 0.184805, None, 28.52),
    ],
)
def test_kull_2019(net: str, ece_: float, mce_: float | None, error: float, folder: Path) -> None:
    with np.load(folder / "toplabel/toplabel.npz") as z:
        p = z[f"probs_{net}_logits__conf"]
        y = z[f"probs_{net}_logits__true"] == z[f"probs_{net}_logits__pred"]
    assert ece(p, y) == pytest.approx(ece_, abs=1.1e-6)
    assert 100 * (1 - y.mean()) == pytest.approx(error, abs=0.005)
    if mce_ is not None:
        assert mce(p, y) == pytest.approx(mce_, abs=6e-7)


def test_hollance_reliability_diagrams(folder: Path) -> None:
    with np.load(folder / "toplabel/toplabel.npz") as z:
        p = z["gluon_senet154__conf"]
        y = z["gluon_senet154__true"] == z["gluon_senet154__pred"]
    assert 100 * ece(p, y, 20) == pytest.approx(5.14, abs=0.005)


def test_widmann_2019_whole_simplex(folder: Path) -> None:
    with (folder / "widmann_cifar10/published_errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "widmann_cifar10/probs.npz") as z:
        y = z["labels"].astype(int)
        assert len(rows) == 7
        for row in rows:
            p = z[row["model"]].astype(np.float64)
            found = scoring.full_simplex_ece(p, y, closed="right")
            assert found == pytest.approx(float(row["ECE_uniform"]), abs=2e-8)


def test_zajac_2014(folder: Path) -> None:
    p, y = adult(folder)
    half = len(y) // 2 + 1
    rows = derive(p[half:], y[half:], task="binary", score_kind="probabilities")
    # He rounds half to even: an even chance is called 0.
    assert np.mean((p[half:] > 0.5) == y[half:]) == pytest.approx(0.847788697789, abs=1e-11)
    assert ranked.auroc(ranked.rank(rows.score, rows.outcome)) == pytest.approx(
        0.878139845077, abs=1e-11
    )
    # His log loss clips at 1e-15, ours at 2^-52: each wrong certainty differs by their ratio.
    # (and 1 - 1e-15 is not representable: his certain 1s are clipped a little further in).
    wrong_zero = (rows.score == 0) & rows.outcome
    wrong_one = (rows.score == 1) & ~rows.outcome
    shift = wrong_zero.mean() * np.log(CLIP_EPS / 1e-15)
    shift += wrong_one.mean() * np.log(CLIP_EPS / (1 - (1 - 1e-15)))
    assert rows.nll.mean() + shift == pytest.approx(0.630525772871, abs=1e-11)
    assert rows.n_clipped == np.isin(rows.score, [0, 1]).sum()


def test_reliabilitydiag_emos(folder: Path) -> None:
    p, y = niamey(folder, "EMOS")
    found = ranked.corp(ranked.rank(p, y))
    assert found.score == pytest.approx(0.232, abs=5e-4)
    assert found.miscalibration == pytest.approx(0.0183, abs=5e-5)
    assert found.discrimination == pytest.approx(0.0305, abs=5e-5)
    assert found.uncertainty == pytest.approx(0.244, abs=5e-4)


# ------------------------------------------------------------------------------- reference values


def test_toplabel_sets(folder: Path, expected: dict[str, Any]) -> None:
    with np.load(folder / "toplabel/toplabel.npz") as z:
        assert len(expected["toplabel"]) == 20
        for name, want in expected["toplabel"].items():
            p, y = z[f"{name}__conf"].astype(float), z[f"{name}__true"] == z[f"{name}__pred"]
            got = {f"ece{n}": ece(p, y, n) for n in (10, 15, 20)}
            got |= {f"mce{n}": mce(p, y, n) for n in (10, 15, 20)}
            bins = ranked.equal_mass_bins(ranked.rank(p, y))
            got["ece15_equal_mass"] = float(calibration.ece(bins)[0])
            got["error_pct"] = float(100 * (1 - y.mean()))
            agree(got, want)


def test_bigmart(folder: Path, expected: dict[str, Any]) -> None:
    with np.load(folder / "bigmart/bigmart_logits.npz") as z:
        agree(summary(z["test_logits"], z["test_labels"]), expected["bigmart"]["before"])
        for stage, temperature in (("after_Tval", "T_val"), ("after_Ttest", "T_test")):
            scaled = z["test_logits"].astype(float) / expected["bigmart"][temperature]
            agree(summary(scaled, z["test_labels"]), expected["bigmart"][stage])


def test_widmann_nets(folder: Path, expected: dict[str, Any]) -> None:
    with np.load(folder / "widmann_cifar10/probs.npz") as z:
        y = z["labels"].astype(int)
        for name, want in expected["widmann_cifar10"].items():
            agree(summary(log_of(z[name]), y), want["all"])
            agree(summary(log_of(z[name])[5000:], y[5000:]), want["test_last5000_before"])
            scaled = log_of(z[name])[5000:] / want["T_first5000"]
            agree(summary(scaled, y[5000:]), want["test_last5000_after"])


@pytest.mark.parametrize("name", ["densenet-bc-100-cifar-100", "lenet-5-cifar-10"])
def test_netcal_nets(name: str, folder: Path, expected: dict[str, Any]) -> None:
    with np.load(folder / f"netcal_cifar/{name}.npz") as z:
        p, y = z["probs"], z["labels"].astype(int)
    want = expected["netcal_cifar"][name]
    agree(summary(log_of(p), y), want["all"])
    scaled = log_of(p)[5000:] / want["T_first5000"]
    agree(summary(scaled, y[5000:]), want["test_last5000_after"])


def test_verified_cifar(folder: Path, expected: dict[str, Any]) -> None:
    with np.load(folder / "verified_cifar/vgg_cifar10.npz") as z:
        p, y = z["probs"].astype(float), z["labels"].astype(int)
    want = expected["verified_cifar"]
    agree(summary(log_of(p), y), want)
    top = ranked.equal_mass_bins(ranked.rank(p.max(1), p.argmax(1) == y))
    assert calibration.l2_debiased_kumar(top)[0] == pytest.approx(
        want["l2_toplabel_debiased"], abs=1e-8
    )
    # The authors' marginal error keeps the squares of classes below zero out one by one.
    classes = [ranked.equal_mass_bins(ranked.rank(p[:, k], y == k)) for k in range(10)]
    for metric, name in (
        (calibration.l2_debiased_kumar, "l2_marginal_debiased"),
        (calibration.rmsce, "l2_marginal_plugin"),
    ):
        marginal = np.sqrt(np.mean([metric(bins)[0] ** 2 for bins in classes]))
        assert marginal == pytest.approx(want[name], abs=1e-8)


def test_adult_rf(folder: Path, expected: dict[str, Any]) -> None:
    import pyarrow.parquet

    p, y = adult(folder)
    want = expected["adult_rf"]
    agree(binary(p, y), want["all"])
    agree(left(p, y, (10, 15)), want["all"])
    names = ["sex", "education"]
    table = pyarrow.parquet.read_table(folder / "adult_rf/adult_rf.parquet", columns=names)
    columns = {name: np.array(table[name].to_pylist(), dtype=str) for name in names}
    for name, values in want["slices"].items():
        dimension, value = name.split("=", 1)
        rows = columns[dimension] == value
        got = {
            "n": float(rows.sum()),
            "ece10": ece(p[rows], y[rows], 10),
            "signed_gap": float(calibration.bias(Bins.from_rows(p[rows], y[rows]))[0]),
        } | left(p[rows], y[rows], (10,))
        assert set(got) == set(values)
        agree(got, values)


def test_niamey(folder: Path, expected: dict[str, Any]) -> None:
    for name, want in expected["niamey"].items():
        found = ranked.corp(ranked.rank(*niamey(folder, name)))
        got = {
            "mean": found.score, "MCB": found.miscalibration,
            "DSC": found.discrimination, "UNC": found.uncertainty,
        }  # fmt: skip
        agree(got, want)


def test_f538(folder: Path, expected: dict[str, Any]) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "f538/nba_games.parquet")
    p, y = table["prob1"].to_numpy(), table["prob1_outcome"].to_numpy() == 1
    seasons = np.array(table["season"].to_pylist()).astype(str)
    for name, want in expected["f538_nba"].items():
        rows = np.ones(len(p), bool) if name == "all" else seasons == name
        got = binary(p[rows], y[rows])
        got["signed_gap"] = float(calibration.bias(Bins.from_rows(p[rows], y[rows]))[0])
        agree({key: got[key] for key in want if key != "n"}, want)


def test_magika_looks_fine_as_a_whole_and_is_bad_in_a_slice(
    folder: Path, expected: dict[str, Any]
) -> None:
    with np.load(folder / "magika/eval.npz") as z:
        p, y = z["expected_top_conf"], z["expected_top_label"] == z["labels"]
        extension = z["ext"].astype(str)
    p = np.minimum(p.astype(float), 1.0)
    for name, want in expected["magika"].items():
        rows = np.ones(len(p), bool) if name == "all" else extension == name.split("=")[1]
        agree({"ece15": ece(p[rows], y[rows]), "acc": float(y[rows].mean())}, want)


@pytest.mark.parametrize("model", ["hgb", "mlp"])
def test_flights_by_month(model: str, folder: Path, expected: dict[str, Any]) -> None:
    import pyarrow.parquet

    columns = ["label", "month", f"prob_{model}"]
    table = pyarrow.parquet.read_table(folder / "flights/stream.parquet", columns=columns)
    table = table.filter(table["label"].is_valid())
    y, month = table["label"].to_numpy() == 1, table["month"].to_numpy()
    p = np.clip(table[f"prob_{model}"].to_numpy().astype(float), 1e-6, 1 - 1e-6)
    for name, want in expected["flights"][model]["months"].items():
        rows = month == int(name)
        got = {
            "base_rate": float(y[rows].mean()),
            "auc": ranked.auroc(ranked.rank(p[rows], y[rows])),
            "ece15_raw": ece(p[rows], y[rows]),
            "signed_gap_raw": float(calibration.bias(Bins.from_rows(p[rows], y[rows]))[0]),
        }
        agree(got, want)
    slices = ranked.auroc_by_slice(p, y, month - 3, 4)
    months = expected["flights"][model]["months"].values()
    np.testing.assert_allclose(slices, [want["auc"] for want in months], atol=1e-8)


def binary(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    rows: Rows = derive(p, y.astype(int), task="binary", score_kind="probabilities")
    return {
        "base_rate": float(y.mean()),
        "brier": float(rows.brier.mean()),
        "ece10": ece(p, y, 10),
        "ece15": ece(p, y),
    }


def left(p: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> dict[str, float]:
    return {
        f"ece{n}_left": float(calibration.ece(Bins.from_rows(p, y, edges=equal_edges(n)))[0])
        for n in widths
    }


def adult(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "adult_rf/adult_rf.parquet", columns=["p", "label"])
    return table["p"].to_numpy(), table["label"].to_numpy() == 1


def niamey(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    with (folder / "niamey/niamey.csv").open() as file:
        rows = list(csv.DictReader(file))
    return (
        np.array([float(row[name]) for row in rows]),
        np.array([row["obs"] in ("1", "1.0", "True", "TRUE") for row in rows]),
    )
