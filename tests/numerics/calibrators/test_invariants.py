"""What holds for every fit, whatever the data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from scipy.special import expit

from calibrant.numerics import ranked
from calibrant.numerics.calibrators.apply import calibrate, venn_abers_bounds
from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.calibrators.model import (
    BINARY_KINDS,
    KINDS,
    MULTICLASS_KINDS,
    Calibrator,
    from_dict,
)

SEEDS = st.integers(0, 2**32 - 1)
OPTIONS = {"histogram": {"binning": "width"}}
SMOOTH_BINARY = ("temperature", "platt", "beta", "ets")


def draw(seed: int, n: int, k: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0.3, 3)
    if k == 2:
        z = rng.normal(rng.normal(), rng.uniform(0.5, 3), n)
        y = (rng.random(n) < expit(z + rng.normal())).astype(int)
    else:
        z = rng.normal(0, rng.uniform(0.5, 3), (n, k))
        y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    z = z * factor
    return (np.round(z, 1) if ties else z), y


def task_of(k: int) -> str:
    return "binary" if k == 2 else "multiclass"


def fit_one(kind: str, z: np.ndarray, y: np.ndarray, k: int, **more: object) -> Calibrator:
    found = fit(
        kind, z, y, task=task_of(k), score_kind="logits", options=OPTIONS.get(kind), force=True,
        **more,
    )  # fmt: skip
    return found.calibrator


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([3, 7]), st.sampled_from(["temperature", "ets"]))
def test_temperature_and_ets_keep_every_row_s_order(seed: int, k: int, kind: str) -> None:
    z, y = draw(seed, 120, k, ties=True)
    p = calibrate(fit_one(kind, z, y, k), z, score_kind="logits")
    for row, before in zip(p, z, strict=True):
        order = np.argsort(before, kind="stable")
        assert (np.diff(row[order]) >= 0).all()
        # new ties only where rounding leaves no room
        assert row[before.argmax()] == row.max()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(SMOOTH_BINARY))
def test_strictly_rising_maps_keep_auroc(seed: int, kind: str) -> None:
    z, y = draw(seed, 200, 2, ties=True)
    found = fit(kind, z, y, task="binary", score_kind="logits")
    if found.diagnostics.rank_changed or y.min() == y.max():
        return
    p = calibrate(found.calibrator, z, score_kind="logits")
    assert ranked.auroc(ranked.rank(p, y == 1)) == pytest.approx(
        ranked.auroc(ranked.rank(expit(z), y == 1)), abs=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(["isotonic", "isotonic_centered", "venn_abers", "beta", "platt"]))
def test_monotone_kinds_never_reverse_two_scores(seed: int, kind: str) -> None:
    z, y = draw(seed, 150, 2, ties=True)
    calibrator = fit_one(kind, z, y, 2)
    p = calibrate(calibrator, np.sort(np.concatenate([z, z + 0.05])), score_kind="logits")
    assert (np.diff(p) >= -1e-15).all()


@settings(max_examples=8, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize(
    ("kind", "k"),
    [(kind, 2) for kind in KINDS if kind not in MULTICLASS_KINDS]
    + [(kind, 3) for kind in KINDS if kind not in {"histogram", "isotonic_centered"}],
)
def test_an_integer_weight_is_a_repetition(kind: str, k: int, seed: int) -> None:
    z, y = draw(seed, 90, k, ties=True)
    w = np.random.default_rng(seed + 1).integers(0, 4, len(y))
    w[:k] = 1
    y[:k] = np.arange(k)
    more = fit_one(kind, np.repeat(z, w, axis=0), np.repeat(y, w), k)
    weighted = fit_one(kind, z, y, k, weights=w.astype(float))
    p = calibrate(more, z, score_kind="logits")
    q = calibrate(weighted, z, score_kind="logits")
    assert np.allclose(p, q, rtol=1e-5 if k > 2 else 1e-7, atol=1e-7)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in MULTICLASS_KINDS])
def test_the_order_of_rows_does_not_matter(kind: str, seed: int) -> None:
    z, y = draw(seed, 100, 2, ties=True)
    order = np.random.default_rng(seed).permutation(len(y))
    p = calibrate(fit_one(kind, z, y, 2), z, score_kind="logits")
    q = calibrate(fit_one(kind, z[order], y[order], 2), z, score_kind="logits")
    assert np.allclose(p, q, rtol=1e-8, atol=1e-9)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.floats(0.01, 1000))
@pytest.mark.parametrize("k", [2, 4])
def test_temperature_scales_with_the_logits(k: int, seed: int, factor: float) -> None:
    z, y = draw(seed, 150, k)
    one = fit("temperature", z, y, task=task_of(k), score_kind="logits")
    two = fit("temperature", factor * z, y, task=task_of(k), score_kind="logits")
    assert one.status == two.status
    if one.status == "ok":
        t = one.calibrator.params["temperature"]
        assert two.calibrator.params["temperature"] == pytest.approx(factor * t, rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(3, 6))
def test_temperature_ignores_a_shift_of_rows(seed: int, k: int) -> None:
    z, y = draw(seed, 150, k)
    shift = np.random.default_rng(seed).normal(0, 50, (len(y), 1))
    one = fit("temperature", z, y, task="multiclass", score_kind="logits")
    two = fit("temperature", z + shift, y, task="multiclass", score_kind="logits")
    assert one.status == two.status
    if one.status == "ok":
        t = one.calibrator.params["temperature"]
        assert two.calibrator.params["temperature"] == pytest.approx(t, rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_temperature_is_the_root_of_its_derivative(seed: int) -> None:
    z, y = draw(seed, 200, 4)
    found = fit("temperature", z, y, task="multiclass", score_kind="logits")
    if found.status != "ok":
        return
    beta = 1 / found.calibrator.params["temperature"]
    e = np.exp(beta * (z - z.max(axis=1, keepdims=True)))
    p = e / e.sum(axis=1, keepdims=True)
    slope = (p * z).sum(axis=1) - z[np.arange(len(y)), y]
    assert abs(slope.mean()) <= 1e-9 * np.abs(slope).mean()


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(["vector", "svs", "sms", "dirichlet"]))
def test_many_parameter_fits_are_stationary(seed: int, kind: str) -> None:
    z, y = draw(seed, 300, 3)
    found = fit(kind, z, y, task="multiclass", score_kind="logits", force=True)
    assert found.status in {"ok", "no_gain", "at_bound"}
    assert found.diagnostics.gradient <= 1e-8


def test_many_parameter_gradients_match_differences(rng: np.random.Generator) -> None:
    from calibrant.numerics.calibrators.multinomial import Problem

    n, k = 40, 3
    share = rng.random(n)
    d = 2 * k + k * k
    problem = Problem(
        x=rng.normal(size=(n, k)), masked=None, labels=rng.integers(0, k, n),
        share=share / share.sum(), size=np.ones(d), start=np.zeros(d), centre=rng.normal(size=d),
        strength=rng.random(d), full=True, offset=rng.normal(size=(n, k)),
    )  # fmt: skip
    theta, step = rng.normal(size=d), 1e-6
    off = [i for i in range(d) if i < 2 * k or (i - 2 * k) % (k + 1)]
    theta[[i for i in range(d) if i not in off]] = 0  # the matrix has a zero diagonal
    _, gradient, p = problem.evaluate(theta)
    for i in off:
        e = np.eye(d)[i] * step
        up, down = problem.evaluate(theta + e), problem.evaluate(theta - e)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7)
        bend = (up[1] - down[1]) / (2 * step)
        assert np.allclose(problem.curvature(p, np.eye(d)[i])[off], bend[off], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(5, 60), st.booleans(), st.booleans())
def test_isotonic_is_scipy_s_on_pooled_ties(
    seed: int, n: int, weighted: bool, narrow: bool
) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), int(rng.integers(1, 4))).astype(np.float32 if narrow else float)
    y = (rng.random(n) < p).astype(int)
    w = rng.random(n) + 0.1 if weighted else np.ones(n)
    found = fit(
        "isotonic", p, y, task="binary", score_kind="probabilities",
        weights=w if weighted else None, options={"floor": "none"}, force=True,
    )  # fmt: skip
    if found.calibrator.kind == "identity":
        assert found.status in {"single_class", "unidentifiable"}
        return
    x, at = np.unique(p.astype(float), return_inverse=True)
    weight = np.bincount(at, w)
    want = isotonic_regression(np.bincount(at, w * y) / weight, weights=weight).x
    assert np.allclose(
        calibrate(found.calibrator, x, score_kind="probabilities"), want, atol=1e-12, rtol=0
    )


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(5, 40), st.booleans())
def test_venn_abers_is_isotonic_with_one_more_row(seed: int, n: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), 1)
    y = (rng.random(n) < p).astype(int)
    w = rng.integers(1, 4, n).astype(float) if weighted else None
    found = fit(
        "venn_abers", p, y, task="binary", score_kind="probabilities", weights=w, force=True
    )
    if found.calibrator.kind == "identity":
        return
    asked = np.unique(np.concatenate([p, p + 0.05, [0.0, 1.0]]).clip(0, 1))
    bounds = venn_abers_bounds(found.calibrator, asked, score_kind="probabilities")
    for label, got in zip((0.0, 1.0), bounds, strict=True):
        for score, value in zip(asked, got, strict=True):
            x, at = np.unique(np.append(p, score), return_inverse=True)
            weight = np.bincount(at, np.append(np.ones(n) if w is None else w, 1.0))
            total = np.bincount(at, np.append(y if w is None else w * y, label))
            want = isotonic_regression(total / weight, weights=weight).x[np.searchsorted(x, score)]
            assert value == pytest.approx(want, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_centred_isotonic_rises_strictly_between_its_ends(seed: int) -> None:
    z, y = draw(seed, 200, 2)
    found = fit("isotonic_centered", z, y, task="binary", score_kind="logits", force=True)
    x, value = found.calibrator.params["x"], found.calibrator.params["y"]
    assert (np.diff(x) > 0).all()
    inside = (value > value.min()) & (value < value.max())
    assert (np.diff(value[inside]) > 0).all()
    assert value.min() >= 1 / 202
    assert value.max() <= 201 / 202


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from(["width", "mass"]), st.integers(1, 30))
def test_histogram_keeps_the_base_rate(seed: int, binning: str, n_bins: int) -> None:
    z, y = draw(seed, 200, 2, ties=True)
    found = fit(
        "histogram", z, y, task="binary", score_kind="logits",
        options={"binning": binning, "n_bins": n_bins}, force=True,
    )  # fmt: skip
    if found.status == "single_class":
        return
    p = calibrate(found.calibrator, z, score_kind="logits")
    assert p.mean() == pytest.approx(y.mean(), abs=1e-12)
    assert len(found.calibrator.params["values"]) <= n_bins


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(list(KINDS)))
def test_stored_and_read_again_is_the_same(seed: int, kind: str) -> None:
    z, y = draw(seed, 80, 3)
    calibrator = fit_one(kind, z, y, 3, uniform_mix=0.01)
    again = from_dict(json.loads(json.dumps(calibrator.to_dict())))
    assert again.to_dict() == calibrator.to_dict()


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(KINDS))
def test_results_are_probabilities(seed: int, kind: str) -> None:
    z, y = draw(seed, 80, 3)
    p = calibrate(fit_one(kind, z, y, 3), 3 * z, score_kind="logits")
    assert (p >= 0).all()
    assert np.allclose(p.sum(axis=1), 1, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.sampled_from(SMOOTH_BINARY), st.booleans())
def test_fitting_never_raises_the_loss_of_its_rows(seed: int, kind: str, wide: bool) -> None:
    z, y = draw(seed, 120, 2)
    scores = np.stack([np.zeros_like(z), z], axis=1) if wide else z
    found = fit(kind, scores, y, task="binary", score_kind="logits")
    assert found.diagnostics.loss_after <= found.diagnostics.loss_before + 1e-9 or (
        found.status != "ok"
    )


def test_every_binary_kind_is_one_versus_rest_on_more_classes() -> None:
    z, y = draw(3, 300, 3)
    for kind in BINARY_KINDS:
        calibrator = fit_one(kind, z, y, 3)
        assert len(calibrator.classes) == 3
        member = fit_one(kind, np.log(_odds(z)[:, 1]), (y == 1).astype(int), 2)
        if kind in {"platt", "beta"}:
            for name, value in member.params.items():
                assert calibrator.classes[1].params[name] == pytest.approx(value, rel=1e-5)


def _odds(z: np.ndarray) -> np.ndarray:
    e = np.exp(z)
    return e / (e.sum(axis=1, keepdims=True) - e)
