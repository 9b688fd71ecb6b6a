"""Every fitting record of the golden set, to its own tolerance."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from calibrant.numerics.calibrators.apply import calibrate, venn_abers_bounds
from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.calibrators.outcome import Fit
from calibrant.numerics.rows import probabilities

FOLDER = Path(__file__).parent.parent / "golden"
RECORDS = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))["records"]


class Split:
    """One data set: fitted on even rows, judged on odd ones."""

    def __init__(self, name: str) -> None:
        data = np.load(FOLDER / f"{name}.npz")
        self.scores, self.labels, self.weights = data["logits"], data["labels"], data["weights"]
        self.fit_rows, self.eval_rows = data["fit_idx"], data["eval_idx"]
        self.task = "binary" if self.scores.ndim == 1 else "multiclass"
        self.kind = "probabilities" if data["is_probs"] else "logits"
        self.p = probabilities(self.scores, task=self.task, score_kind=self.kind)

    def fit(self, kind: str, *, weighted: bool, probs: bool = False, **options: Any) -> Fit:
        rows = self.fit_rows
        return fit(
            kind,
            (self.p if probs else self.scores)[rows],
            self.labels[rows],
            task=self.task,
            score_kind="probabilities" if probs else self.kind,
            weights=self.weights[rows] if weighted else None,
            options=options,
            force=True,
        )

    def predict(self, found: Fit) -> np.ndarray:
        return calibrate(found.calibrator, self.p[self.eval_rows], score_kind="probabilities")


@cache
def split(name: str) -> Split:
    return Split(name)


def temperature(data: Split, weighted: bool, _: Any) -> Any:
    found = data.fit("temperature", weighted=weighted)
    return found.calibrator.params["temperature"]


def affine(data: Split, weighted: bool, _: Any) -> Any:
    params = data.fit("platt", weighted=weighted, targets="hard").calibrator.params
    return [params["b"], params["a"]]


def platt(data: Split, weighted: bool, _: Any) -> Any:
    params = data.fit("platt", weighted=weighted).calibrator.params
    return [-params["a"], -params["b"]]


def isotonic(data: Split, weighted: bool, _: Any) -> Any:
    found = data.fit("isotonic", weighted=weighted, probs=True, floor="none")
    params = found.calibrator.params
    return {"x": params["x"], "y": params["y"], "pred_eval": data.predict(found)}


def isotonic_at_fit_points(data: Split, weighted: bool, want: Any) -> Any:
    found = data.fit("isotonic", weighted=weighted, probs=True, floor="none")
    x = np.array(want["x_unique"])
    y = calibrate(found.calibrator, x, score_kind="probabilities")
    return {"x_unique": np.unique(data.p[data.fit_rows]), "y": y}


def one_vs_rest(data: Split, weighted: bool, _: Any) -> Any:
    return data.predict(data.fit("isotonic", weighted=weighted, floor="none"))[:20]


def venn_abers(data: Split, weighted: bool, _: Any) -> Any:
    found = data.fit("venn_abers", weighted=weighted, probs=True)
    low, high = venn_abers_bounds(
        found.calibrator, data.p[data.eval_rows], score_kind="probabilities"
    )
    return np.stack([low, high], axis=1)


def histogram(data: Split, weighted: bool, _: Any) -> Any:
    return data.predict(
        data.fit("histogram", weighted=weighted, probs=True, binning="width", n_bins=10)
    )


def structured(kind: str, **options: Any) -> Callable[[Split, bool, Any], Any]:
    def run(data: Split, weighted: bool, _: Any) -> Any:
        p = data.predict(data.fit(kind, weighted=weighted, probs=True, **options))
        loss = -np.log(p[np.arange(len(p)), data.labels[data.eval_rows]]).mean()
        return {"pred_eval_first20": p[:20], "eval_logloss": loss}

    return run


FITS: dict[str, Callable[[Split, bool, Any], Any]] = {
    "temperature": temperature,
    "temperature_weighted": temperature,
    "platt_affine_mle_[intercept,slope]": affine,
    "platt_affine_mle_weighted": affine,
    "platt1999_[A,B]": platt,
    "isotonic": isotonic,
    "isotonic_weighted": isotonic,
    "isotonic_at_fit_points": isotonic_at_fit_points,
    "isotonic_ovr_normalised_first20": one_vs_rest,
    "ivap_p0p1_eval": venn_abers,
    "histogram_uniform_pred_eval": histogram,
    "svs": structured("svs"),
    "sms": structured("sms"),
    "ets_mse": structured("ets", loss="mse"),
}


def unique(record: dict[str, Any]) -> bool:
    # the golden README: not unique on a constant score, the peer's value is where it stopped
    return not (record["quantity"].startswith("platt1999") and "const" in record["dataset"])


@pytest.mark.parametrize("quantity", FITS)
def test_fits_agree_with_peers(quantity: str) -> None:
    records = [r for r in RECORDS if r["quantity"] == quantity and unique(r)]
    assert records
    for record in records:
        want = record["value"]
        got = FITS[quantity](split(record["dataset"]), quantity.endswith("_weighted"), want)
        if not isinstance(want, dict):
            got, want = {"": got}, {"": want}
        for name, value in want.items():
            assert np.allclose(got[name], value, rtol=record["rtol"], atol=record["atol"]), (
                record["dataset"],
                record["peer"],
                name,
            )


def test_no_fitting_record_is_forgotten() -> None:
    words = ("temperature", "platt", "isotonic", "ivap", "histogram", "svs", "sms", "ets", "beta_")
    named = {r["quantity"] for r in RECORDS if r["quantity"].startswith(words)}
    assert named - set(FITS) == {"beta_abm"}  # below


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("family", ["overconf", "rare", "near_separable"])
def test_beta_agrees_with_betacal_or_fits_better(family: str, seed: int) -> None:
    # betacal penalises slightly and stops early; the optimum of the same convex loss is ours
    name = f"bin_{family}_s{seed}"
    data = split(name)
    (record,) = [r for r in RECORDS if r["dataset"] == name and r["quantity"] == "beta_abm"]
    found = data.fit("beta", weighted=False)
    assert found.status == "ok"
    a, b, m = record["value"]["map"]
    eps = np.finfo(float).eps
    p = np.clip(data.p[data.fit_rows], eps, 1 - eps)
    peer = expit(a * (np.log(p) - np.log(m)) - b * (np.log1p(-p) - np.log1p(-m)))
    y = data.labels[data.fit_rows]
    peer_loss = -np.log(np.where(y == 1, peer, 1 - peer)).mean()
    assert found.diagnostics.loss_after <= peer_loss + 1e-12
    close = np.allclose(
        data.predict(found), record["value"]["pred_eval"], rtol=record["rtol"], atol=record["atol"]
    )
    assert close or found.diagnostics.loss_after < peer_loss - 1e-9
