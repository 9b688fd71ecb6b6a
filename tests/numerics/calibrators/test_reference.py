"""Fits on real data against reference values and published figures; needs `../shared`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.rows import derive
from calibrant.numerics.table import Bins


@pytest.fixture
def folder(shared: Callable[[str], Path]) -> Path:
    return shared("data")


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return found


def ece15(p: np.ndarray, y: np.ndarray) -> float:
    task = "binary" if p.ndim == 1 else "multiclass"
    rows = derive(p, y, task=task, score_kind="probabilities")
    bins = Bins.from_rows(rows.score, rows.outcome, edges=np.linspace(0, 1, 16), closed="right")
    return float(np.abs(bins.p - bins.y).sum() / len(y))


def check(
    before: np.ndarray, kind: str, y: np.ndarray, t: float, want: dict[str, float], rows: slice
) -> None:
    """Fit T on the first rows, compare T, and loss and ECE on the others."""
    k = before.shape[1]
    rest = slice(rows.stop, None)
    found = fit("temperature", before[rows], y[rows], task="multiclass", score_kind=kind)
    assert found.status == "ok"
    assert found.calibrator.params["temperature"] == pytest.approx(t, rel=1e-9)
    p = calibrate(found.calibrator, before[rest], score_kind=kind)
    assert p.shape[1] == k
    assert -np.log(p[np.arange(len(p)), y[rest]]).mean() == pytest.approx(want["nll"], abs=1e-8)
    assert ece15(p, y[rest]) == pytest.approx(want["ece15"], abs=1e-8)


def test_temperature_of_the_netcal_networks(folder: Path, expected: dict[str, Any]) -> None:
    for name, want in expected["netcal_cifar"].items():
        data = np.load(folder / "netcal_cifar" / f"{name}.npz")
        check(
            data["probs"], "probabilities", data["labels"].astype(int), want["T_first5000"],
            want["test_last5000_after"], slice(0, 5000),
        )  # fmt: skip


def test_temperature_of_the_widmann_networks(folder: Path, expected: dict[str, Any]) -> None:
    data = np.load(folder / "widmann_cifar10" / "probs.npz")
    y = data["labels"].astype(int)
    for name, want in expected["widmann_cifar10"].items():
        check(
            data[name], "probabilities", y, want["T_first5000"], want["test_last5000_after"],
            slice(0, 5000),
        )  # fmt: skip
        everything = fit(
            "temperature", data[name], y, task="multiclass", score_kind="probabilities"
        )
        assert everything.calibrator.params["temperature"] == pytest.approx(want["T_all"], rel=1e-9)


def test_temperature_of_bigmart(folder: Path, expected: dict[str, Any]) -> None:
    data = np.load(folder / "bigmart" / "bigmart_logits.npz")
    want = expected["bigmart"]
    for part, name in (("val", "T_val"), ("test", "T_test")):
        found = fit(
            "temperature", data[f"{part}_logits"], data[f"{part}_labels"].astype(int),
            task="binary", score_kind="logits",
        )  # fmt: skip
        assert found.calibrator.params["temperature"] == pytest.approx(want[name], rel=1e-9)
        wide = fit(
            "temperature", data[f"{part}_logits"], data[f"{part}_labels"].astype(int),
            task="multiclass", score_kind="logits",
        )  # fmt: skip
        assert wide.calibrator.params["temperature"] == pytest.approx(want[name], rel=1e-9)


class Flights:
    """Labelled flights by month."""

    def __init__(self, folder: Path, model: str) -> None:
        import pyarrow.parquet as pq

        table = pq.read_table(folder / "flights" / "stream.parquet")
        label = np.asarray(table["label"].to_numpy(zero_copy_only=False), dtype=float)
        self.known = ~np.isnan(label)
        self.label = np.where(self.known, label, 0).astype(int)
        self.month = np.asarray(table["month"])
        self.p = np.asarray(table[f"prob_{model}"])
        self.hour = np.asarray(table["hour_bucket"].cast("string").to_pylist())

    def rows(self, month: int) -> np.ndarray:
        return np.flatnonzero(self.known & (self.month == month))


@pytest.mark.parametrize("model", ["hgb", "mlp"])
def test_calibrators_of_march_on_later_flights(
    model: str, folder: Path, expected: dict[str, Any]
) -> None:
    want, data = expected["flights"][model], Flights(folder, model)
    march = data.rows(3)
    fits = {
        name: fit(
            name, data.p[march], data.label[march], task="binary", score_kind="probabilities",
            options=options, force=True,
        )
        for name, options in (
            ("temperature", {}), ("platt", {"targets": "hard"}), ("isotonic", {"floor": "none"}),
        )
    }  # fmt: skip
    params = {name: found.calibrator.params for name, found in fits.items()}
    assert params["temperature"]["temperature"] == pytest.approx(want["T_march"], rel=1e-9)
    assert params["platt"]["a"] == pytest.approx(want["platt_a_march"], rel=1e-9)
    assert params["platt"]["b"] == pytest.approx(want["platt_b_march"], rel=1e-9)
    for month, values in want["months"].items():
        rows = data.rows(int(month))
        for name, found in fits.items():
            p = calibrate(found.calibrator, data.p[rows], score_kind="probabilities")
            gap = float((p - data.label[rows]).mean())
            assert ece15(p, data.label[rows]) == pytest.approx(values[f"ece15_{name}"], abs=1e-8)
            assert gap == pytest.approx(values[f"signed_gap_{name}"], abs=1e-8)


def test_isotonic_values_to_the_last_digits(folder: Path) -> None:
    data = Flights(folder, "hgb")
    march = data.rows(3)
    found = fit(
        "isotonic", data.p[march], data.label[march], task="binary", score_kind="probabilities",
        options={"floor": "none"},
    )  # fmt: skip
    x, at = np.unique(data.p[march].astype(np.float64), return_inverse=True)
    weight = np.bincount(at)
    want = isotonic_regression(np.bincount(at, data.label[march]) / weight, weights=weight).x
    got = calibrate(found.calibrator, x, score_kind="probabilities")
    assert np.abs(got - want).max() <= 1e-12


def test_isotonic_of_adult(folder: Path, expected: dict[str, Any]) -> None:
    import pyarrow.parquet as pq

    (path,) = (folder / "adult_rf").glob("*.parquet")
    table = pq.read_table(path)
    p, y = np.asarray(table["p"], dtype=np.float64), np.asarray(table["label"]).astype(int)
    found = fit(
        "isotonic", p[:8140], y[:8140], task="binary", score_kind="probabilities",
        options={"floor": "none"},
    )  # fmt: skip
    q = np.clip(calibrate(found.calibrator, p[8141:], score_kind="probabilities"), 1e-15, 1 - 1e-15)
    loss = -np.log(np.where(y[8141:] == 1, q, 1 - q)).mean()
    assert loss == pytest.approx(expected["adult_rf"]["test_logloss_isotonic"], abs=1e-8)
