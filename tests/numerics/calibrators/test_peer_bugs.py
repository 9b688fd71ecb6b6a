"""Faults of peer libraries that ours must not have; named as in the reference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from calibrant.errors import BadBatch
from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.fit import fit


def multiclass(
    rng: np.random.Generator, n: int = 4000, k: int = 5, t: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    z = rng.normal(0, 2, (n, k))
    return t * z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def test_temperature_float32_not_identity(rng: np.random.Generator) -> None:
    # EFS-OpenSource/calibration-framework#61: finite differences in float32 leave T at 1
    z, y = multiclass(rng)
    wide = fit("temperature", z, y, task="multiclass", score_kind="logits")
    narrow = fit("temperature", z.astype(np.float32), y, task="multiclass", score_kind="logits")
    t = wide.calibrator.params["temperature"]
    assert t == pytest.approx(2, rel=0.1)
    assert narrow.calibrator.params["temperature"] == pytest.approx(t, rel=1e-6)


def test_temperature_two_column_convention(rng: np.random.Generator) -> None:
    # scikit-learn reads one column x as (-x, x) and halves the answer
    z = rng.normal(0, 2, 3000)
    y = (rng.random(3000) < expit(z / 1.7)).astype(int)
    pair = np.stack([np.zeros_like(z), z], axis=1)
    one = fit("temperature", z, y, task="binary", score_kind="logits")
    two = fit("temperature", pair, y, task="binary", score_kind="logits")
    three = fit("temperature", pair, y, task="multiclass", score_kind="logits")
    t = one.calibrator.params["temperature"]
    assert t == pytest.approx(1.7, rel=0.1)
    assert two.calibrator.params["temperature"] == pytest.approx(t, rel=1e-9)
    assert three.calibrator.params["temperature"] == pytest.approx(t, rel=1e-9)


def test_beta_monotone() -> None:
    # betacal drops one parameter once and may keep a negative one
    rng = np.random.default_rng(5)
    grid = np.linspace(1e-6, 1 - 1e-6, 2001)
    active = set()
    for _ in range(60):
        p = rng.beta(*rng.uniform(0.3, 3, 2), 40)
        y = (rng.random(40) < np.where(rng.random() < 0.5, p, 0.5 + 0.2 * (p - 0.5))).astype(int)
        found = fit("beta", p, y, task="binary", score_kind="probabilities")
        if found.status not in {"ok", "at_bound"}:
            continue
        params = found.calibrator.params
        assert params["a"] >= 0
        assert params["b"] >= 0
        active.add((params["a"] == 0, params["b"] == 0))
        q = calibrate(found.calibrator, grid, score_kind="probabilities")
        assert (np.diff(q) >= -1e-15).all()
    assert {(False, False), (True, False), (False, True)} <= active


def test_beta_at_a_bound_is_the_constrained_optimum() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(2)
    checked = 0
    for _ in range(40):
        p = rng.beta(0.6, 0.8, 50)
        y = (rng.random(50) < 0.5 + 0.25 * (p - 0.5)).astype(int)
        found = fit("beta", p, y, task="binary", score_kind="probabilities", force=True)
        params = found.calibrator.params
        if found.calibrator.kind != "beta" or 0 not in {params["a"], params["b"]}:
            continue

        def loss(theta: np.ndarray, p: np.ndarray = p, y: np.ndarray = y) -> float:
            v = theta[0] * np.log(p) - theta[1] * np.log1p(-p) + theta[2]
            return float(np.logaddexp(0, v).mean() - (y * v).mean())

        best = minimize(
            loss, [0.5, 0.5, 0.0], method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)],
            options={"ftol": 1e-15, "gtol": 1e-10},
        )  # fmt: skip
        assert loss(np.array([params["a"], params["b"], params["c"]])) <= best.fun + 1e-9
        checked += 1
    assert checked >= 5


def test_isotonic_no_eps_pooling() -> None:
    # scikit-learn pools float32 scores closer than 1e-6
    p = np.sort(np.random.default_rng(0).random(4000)).astype(np.float32) * np.float32(1e-3)
    y = (np.arange(4000) // 2) % 2
    narrow = fit("isotonic", p, y, task="binary", score_kind="probabilities", force=True,
                 options={"floor": "none"})  # fmt: skip
    wide = fit("isotonic", p.astype(float), y, task="binary", score_kind="probabilities",
               force=True, options={"floor": "none"})  # fmt: skip
    assert np.array_equal(narrow.calibrator.params["x"], wide.calibrator.params["x"])
    assert np.array_equal(narrow.calibrator.params["y"], wide.calibrator.params["y"])
    near = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))] * 10, dtype=np.float32)
    split = fit("isotonic", near, np.array([0, 1] * 10), task="binary",
                score_kind="probabilities", options={"floor": "none"})  # fmt: skip
    assert split.calibrator.params["y"].tolist() == [0.0, 1.0]


def test_isotonic_pools_exact_ties_and_both_zeros() -> None:
    p = np.array([0.0, -0.0, 0.0, -0.0, 0.7, 0.7, 0.7, 0.7], dtype=np.float32)
    y = np.array([1, 0, 0, 0, 1, 1, 0, 1])
    for scores in (p, p.astype(float)):
        found = fit("isotonic", scores, y, task="binary", score_kind="probabilities",
                    options={"floor": "none"})  # fmt: skip
        assert found.calibrator.params["x"].tolist() == [0.0, float(scores[-1])]
        assert found.calibrator.params["y"].tolist() == [0.25, 0.75]


def test_isotonic_of_new_rows_has_a_finite_loss(rng: np.random.Generator) -> None:
    # infinite log loss on 95 of 20,000 new rows, NaN outside the fitted range
    z = rng.normal(0, 3, 20_200)
    y = (rng.random(len(z)) < expit(z)).astype(int)
    found = fit("isotonic", z[:200], y[:200], task="binary", score_kind="logits", force=True)
    p = calibrate(found.calibrator, 3 * z[200:], score_kind="logits")
    assert p.min() >= 1 / 202
    assert p.max() <= 201 / 202
    assert np.isfinite(np.log(np.where(y[200:] == 1, p, 1 - p))).all()


def test_calibrator_not_silently_identity(rng: np.random.Generator) -> None:
    # EFS-OpenSource/calibration-framework#48: a fit that failed looked like one that worked
    z, y = multiclass(rng)
    for kind in ("temperature", "ets", "vector", "svs", "sms", "dirichlet", "platt", "isotonic"):
        found = fit(kind, z, y, task="multiclass", score_kind="logits")
        assert (found.status, found.calibrator.kind) == ("ok", kind)
        p = calibrate(found.calibrator, z, score_kind="logits")
        assert np.abs(p - softmax(z, axis=1)).max() > 0.1
    stuck = fit("temperature", np.zeros((50, 3)), np.arange(50) % 3, task="multiclass",
                score_kind="logits")  # fmt: skip
    assert (stuck.status, stuck.calibrator.kind) == ("unidentifiable", "identity")


def test_probability_rows_not_logged_as_logits() -> None:
    # scikit-learn takes the log of logits that look like probabilities
    rng = np.random.default_rng(3)
    z = softmax(rng.normal(0, 1, (2000, 3)), axis=1)  # logits that happen to sum to one
    y = (4 * z + rng.gumbel(size=z.shape)).argmax(axis=1)
    as_logits = fit("temperature", z, y, task="multiclass", score_kind="logits")
    assert as_logits.calibrator.params["temperature"] == pytest.approx(1 / 4, rel=0.2)
    as_p = fit("temperature", z, y, task="multiclass", score_kind="probabilities")
    assert as_p.calibrator.params["temperature"] > 0.4


def test_platt_acts_on_logits(rng: np.random.Generator) -> None:
    # Platt scaling of probabilities instead of logits loses a third of what it can win
    z = rng.normal(0, 2, 5000)
    y = (rng.random(5000) < expit(z)).astype(int)
    p = expit(3 * z)
    found = fit("platt", p, y, task="binary", score_kind="probabilities")
    assert found.calibrator.params["a"] == pytest.approx(1 / 3, rel=0.1)
    oracle = -np.log(np.where(y == 1, expit(z), expit(-z))).mean()
    assert found.diagnostics.loss_after <= oracle + 1e-3


def test_temperature_of_separable_rows_is_no_solver_bound() -> None:
    # LBFGS at -4,564; others at their own bounds, for separable rows and for logits times 1e6
    z = np.concatenate([np.linspace(-3, -1, 30), np.linspace(1, 3, 30)])
    y = np.repeat([0, 1], 30)
    assert fit("temperature", z, y, task="binary", score_kind="logits").status == "at_bound"
    rng = np.random.default_rng(0)
    z, y = multiclass(rng)
    big = fit("temperature", 1e6 * z, y, task="multiclass", score_kind="logits")
    assert big.status == "ok"
    assert big.calibrator.params["temperature"] == pytest.approx(2e6, rel=0.1)


def test_near_separable_rows_have_a_sharp_temperature() -> None:
    rng = np.random.default_rng(4)
    z = np.sort(rng.normal(0, 2, 60))
    y = (z > 0).astype(int)
    i = int(np.searchsorted(z, 0))
    y[i - 1], y[i] = 1, 0
    found = fit("temperature", z, y, task="binary", score_kind="logits")
    s = np.sqrt(np.mean(z**2))
    assert found.status == "ok"
    assert found.calibrator.params["temperature"] / s < 0.15


def test_nan_labels_and_scores_are_never_fitted() -> None:
    with pytest.raises(BadBatch):
        fit("temperature", np.array([0.1, np.nan] * 10), np.array([0, 1] * 10), task="binary",
            score_kind="logits")  # fmt: skip


def test_weights_equal_repetition(rng: np.random.Generator) -> None:
    z, y = multiclass(rng, n=600, k=3)
    w = rng.integers(0, 4, 600)
    many = fit("temperature", np.repeat(z, w, axis=0), np.repeat(y, w), task="multiclass",
               score_kind="logits")  # fmt: skip
    few = fit("temperature", z, y, task="multiclass", score_kind="logits", weights=w)
    assert few.calibrator.params["temperature"] == pytest.approx(
        many.calibrator.params["temperature"], rel=1e-10
    )
