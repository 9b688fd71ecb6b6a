"""Statuses: every kind on data from which nothing, or not much, can be learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from calibrant.errors import BadBatch, Unusable
from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.auto import fit_auto
from calibrant.numerics.calibrators.fit import RECIPES, fit
from calibrant.numerics.calibrators.model import KINDS, MULTICLASS_KINDS
from calibrant.numerics.calibrators.outcome import STATUS_TEXT, Fit

FITTED = [kind for kind in KINDS if kind != "identity"]
BINARY = [kind for kind in FITTED if kind not in MULTICLASS_KINDS]
OPTIONS: dict[str, dict[str, Any]] = {"histogram": {"binning": "width"}}


def run(kind: str, scores: Any, labels: Any, *, kind_of: str = "logits", **more: Any) -> Fit:
    scores = np.asarray(scores)
    return fit(
        kind, scores, np.asarray(labels), task="binary" if scores.ndim == 1 else "multiclass",
        score_kind=kind_of, options=more.pop("options", OPTIONS.get(kind)), **more,
    )  # fmt: skip


def sound(found: Fit) -> None:
    """A fit that says something and stores something that can be applied."""
    assert found.text == STATUS_TEXT[found.status]
    assert np.isfinite(found.diagnostics.loss_before)
    assert np.isfinite(found.diagnostics.loss_after)


@pytest.mark.parametrize("kind", BINARY)
def test_one_class_of_labels(kind: str, rng: np.random.Generator) -> None:
    for label in (0, 1):
        found = run(kind, rng.normal(size=50), np.full(50, label))
        sound(found)
        assert (found.status, found.calibrator.kind) == ("single_class", "identity")


@pytest.mark.parametrize("kind", FITTED)
def test_one_class_of_labels_among_three(kind: str, rng: np.random.Generator) -> None:
    found = run(kind, rng.normal(size=(60, 3)), np.full(60, 2))
    sound(found)
    assert (found.status, found.calibrator.kind) == ("single_class", "identity")


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize("value", [0.0, 0.4, -30.0])
def test_one_constant_score(kind: str, value: float) -> None:
    found = run(kind, np.full(60, value), np.arange(60) % 2)
    sound(found)
    assert (found.status, found.calibrator.kind) == ("unidentifiable", "identity")


@pytest.mark.parametrize("kind", FITTED)
def test_logits_that_are_all_zero(kind: str) -> None:
    found = run(kind, np.zeros((60, 3)), np.arange(60) % 3)
    sound(found)
    assert (found.status, found.calibrator.kind) == ("unidentifiable", "identity")


@pytest.mark.parametrize("kind", FITTED)
def test_logits_that_differ_only_by_a_shift(kind: str) -> None:
    z = np.array([0.5, -1.0, 2.0]) + np.arange(60.0)[:, None]
    assert run(kind, z, np.arange(60) % 3).status == "unidentifiable"


@pytest.mark.parametrize("kind", FITTED)
def test_too_few_rows(kind: str) -> None:
    z = np.array([[0.3, 0.1, 0.0], [0.0, 1.0, 0.2], [0.0, 0.2, 0.9], [0.4, 0.0, 0.1]])
    found = run(kind, z, [0, 1, 2, 0])
    sound(found)
    assert (found.status, found.calibrator.kind) == ("too_few_rows", "identity")
    assert len(z) < RECIPES[kind].min_rows


SEPARABLE = np.concatenate([np.linspace(-4, -0.2, 40), np.linspace(0.2, 4, 40)])
HALVES = np.repeat([0, 1], 40)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 2000.0])
def test_separable_rows_put_temperature_at_its_bound(scale: float) -> None:
    found = run("temperature", scale * SEPARABLE, HALVES)
    sound(found)
    assert found.status == "at_bound"
    s = scale * np.sqrt(np.mean(SEPARABLE**2))
    assert found.calibrator.params["temperature"] == pytest.approx(0.05 * s)


@pytest.mark.parametrize("kind", ["temperature", "ets"])
def test_labels_at_every_maximum_put_temperature_at_its_bound(
    kind: str, rng: np.random.Generator
) -> None:
    z = rng.normal(size=(80, 4))
    found = run(kind, z, z.argmax(axis=1))
    sound(found)
    assert found.status == "at_bound"
    assert found.calibrator.kind == kind


@pytest.mark.parametrize("kind", ["platt", "beta"])
def test_separable_rows_put_hard_targets_at_their_bound(kind: str) -> None:
    options = {"targets": "hard"} if kind == "platt" else {}
    found = run(kind, SEPARABLE, HALVES, options=options)
    sound(found)
    assert found.status == "at_bound"
    p = calibrate(found.calibrator, SEPARABLE, score_kind="logits")
    assert ((p > 0.5) == (HALVES == 1)).all()


def test_soft_targets_stay_finite_on_separable_rows() -> None:
    found = run("platt", SEPARABLE, HALVES)
    sound(found)
    assert found.status in {"ok", "no_gain"}


@pytest.mark.parametrize("kind", ["temperature", "platt", "beta", "ets"])
def test_scores_that_rank_labels_backwards(kind: str, rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, 300)
    y = (rng.random(300) < expit(-z)).astype(int)
    found = run(kind, z, y)
    sound(found)
    assert found.status == "at_bound"
    p = calibrate(found.calibrator, z, score_kind="logits")
    assert np.ptp(p) < 0.2  # next to nothing is made of the scores


def test_scores_that_rank_labels_backwards_flatten_a_temperature() -> None:
    z = np.random.default_rng(1).normal(0, 2, (300, 3))
    found = run("temperature", z, (-z).argmax(axis=1))
    assert found.status == "at_bound"
    assert found.calibrator.params["temperature"] > 50


@pytest.mark.parametrize("kind", ["isotonic", "isotonic_centered", "venn_abers", "histogram"])
def test_curves_survive_separable_and_reversed_rows(kind: str) -> None:
    for labels in (HALVES, 1 - HALVES):
        sound(run(kind, SEPARABLE, labels))


@pytest.mark.parametrize("kind", FITTED)
def test_a_class_without_rows_is_named_and_not_fatal(kind: str, rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, (300, 4))
    y = (z[:, :3] + rng.gumbel(size=(300, 3))).argmax(axis=1)
    found = run(kind, z, y)
    sound(found)
    assert found.status in {"ok", "no_gain"}
    assert found.diagnostics.notes["classes_without_rows"] == [3]
    p = calibrate(found.calibrator, z, score_kind="logits")
    assert np.isfinite(p).all()


@pytest.mark.parametrize("kind", FITTED)
def test_masked_classes_are_left_out(kind: str, rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, (400, 4))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    mask = rng.random(z.shape) < 0.2
    mask[np.arange(400), y] = False
    z[mask] = -np.inf
    found = run(kind, z, y, force=True)
    sound(found)
    p = calibrate(found.calibrator, z, score_kind="logits")
    assert np.isfinite(p).all()
    if kind in {"temperature", "vector"}:
        assert (p[mask] == 0).all()


def test_a_masked_class_says_nothing_about_temperature(rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, (400, 3))
    y = (z / 1.5 + rng.gumbel(size=z.shape)).argmax(axis=1)
    wide = np.concatenate([z, np.full((400, 1), -np.inf)], axis=1)
    narrow = run("temperature", z, y).calibrator.params["temperature"]
    assert run("temperature", wide, y).calibrator.params["temperature"] == pytest.approx(narrow)


def test_a_masked_label_is_refused(rng: np.random.Generator) -> None:
    z = rng.normal(size=(50, 3))
    z[7, 1] = -np.inf
    y = np.zeros(50, dtype=int)
    y[7] = 1
    y[8] = 2
    with pytest.raises(BadBatch, match="1 row"):
        run("temperature", z, y)


@pytest.mark.parametrize("kind", BINARY)
def test_exact_zeros_and_ones(kind: str, rng: np.random.Generator) -> None:
    p = np.round(rng.beta(0.4, 0.4, 400), 1)
    y = (rng.random(400) < 0.1 + 0.8 * p).astype(int)
    assert {0.0, 1.0} <= set(p)
    found = run(kind, p, y, kind_of="probabilities")
    sound(found)
    assert found.status == "ok"
    q = calibrate(found.calibrator, p, score_kind="probabilities")
    assert ((q >= 0) & (q <= 1)).all()


@pytest.mark.parametrize("kind", FITTED)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_logits_of_any_scale(kind: str, factor: float, rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, (300, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    found = run(kind, factor * z, y)
    sound(found)
    assert found.status in {"ok", "no_gain"}


@pytest.mark.parametrize("kind", ["temperature", "platt", "beta", "isotonic", "svs", "venn_abers"])
def test_fits_of_one_row_or_none(kind: str) -> None:
    with pytest.raises(BadBatch):
        run(kind, np.zeros((0, 3)), np.zeros(0, dtype=int))
    assert run(kind, np.zeros((1, 3)), np.zeros(1, dtype=int)).status == "too_few_rows"


def test_weights_of_another_scale_do_not_swallow_the_rows(rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, 500)
    y = (rng.random(500) < expit(z / 2)).astype(int)
    w = rng.random(500)
    for kind in ("platt", "isotonic"):
        whole = run(kind, z, y, weights=w / w.mean())
        tiny = run(kind, z, y, weights=w / w.sum())
        p = calibrate(whole.calibrator, z, score_kind="logits")
        q = calibrate(tiny.calibrator, z, score_kind="logits")
        assert np.abs(p - q).max() < 1e-3


def test_a_fit_that_loses_keeps_identity_unless_forced() -> None:
    p = np.concatenate([np.full(30, 0.01), np.full(30, 0.99)])
    y = np.repeat([0, 1], 30)
    found = run("isotonic", p, y, kind_of="probabilities")
    assert (found.status, found.calibrator.kind) == ("no_gain", "identity")
    forced = run("isotonic", p, y, kind_of="probabilities", force=True)
    assert (forced.status, forced.calibrator.kind) == ("no_gain", "isotonic")
    assert forced.diagnostics.loss_after > forced.diagnostics.loss_before


def test_force_fits_curves_to_a_constant_score() -> None:
    y = np.arange(60) % 3 == 0
    for kind in ("isotonic", "histogram", "venn_abers"):
        found = run(kind, np.full(60, 0.4), y.astype(int), force=True)
        assert (found.status, found.calibrator.kind) == ("unidentifiable", kind)
        p = calibrate(found.calibrator, np.full(1, 0.4), score_kind="logits")
        assert p[0] == pytest.approx(1 / 3, abs=0.02)
    assert run("platt", np.full(60, 0.4), y.astype(int), force=True).calibrator.kind == "identity"


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "pointer"),
    [
        ([0.1, np.nan, 0.3], [0, 1, 0], None, "/scores"),
        ([0.1, np.inf, 0.3], [0, 1, 0], None, "/scores"),
        ([0.1, 0.2, 0.3], [0, 2, 0], None, "/labels"),
        ([0.1, 0.2, 0.3], [0, -1, 0], None, "/labels"),
        ([0.1, 0.2, 0.3], [0, 1], None, "/labels"),
        ([0.1, 0.2, 0.3], [0.0, 1.0, 0.5], None, "/labels"),
        ([0.1, 0.2, 0.3], [0, 1, 0], [1, -1, 1], "/weights"),
        ([0.1, 0.2, 0.3], [0, 1, 0], [1, np.nan, 1], "/weights"),
        ([0.1, 0.2, 0.3], [0, 1, 0], [0, 0, 0], "/weights"),
        ([0.1, 0.2, 0.3], [0, 1, 0], [1, 1], "/weights"),
        ([[0.1, 0.2, 0.3]] * 3, [0, 1], None, "/labels"),
        ([[0.1], [0.2], [0.3]], [0, 2, 1], None, "/labels"),
    ],
)
@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_unusable_input_is_refused(
    kind: str, scores: Any, labels: Any, weights: Any, pointer: str
) -> None:
    task = "multiclass" if np.shape(scores)[1:] == (3,) else "binary"
    for more in ({}, {"score_kind": "probabilities"}):
        with pytest.raises(BadBatch) as caught:
            fit(
                kind, np.array(scores), np.array(labels),
                **({"task": task, "score_kind": "logits"} | more),
                weights=None if weights is None else np.array(weights, dtype=float),
            )  # fmt: skip
        assert caught.value.errors[0].pointer == pointer


@pytest.mark.parametrize("kind", FITTED)
def test_every_kind_counts_rows_it_cannot_read(kind: str, rng: np.random.Generator) -> None:
    z = rng.normal(size=(60, 3))
    z[[3, 4], 1] = np.nan
    with pytest.raises(BadBatch, match="2 rows"):
        run(kind, z, np.arange(60) % 3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("quadratic", {}),
        ("histogram", {}),
        ("histogram", {"binning": "both"}),
        ("histogram", {"binning": "width", "n_bins": 0}),
        ("histogram", {"binning": "width", "n_bins": True}),
        ("histogram", {"binning": "width", "n_bins": 5.5}),
        ("platt", {"targets": 1}),
        ("platt", {"floor": "none"}),
        ("isotonic", {"floor": "zero"}),
        ("dirichlet", {"off_diagonal": -1.0}),
        ("dirichlet", {"off_diagonal": float("nan")}),
        ("svs", {}),
    ],
)
def test_unknown_kinds_and_options_are_refused(kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(Unusable) as caught:
        run(kind, np.linspace(-1, 1, 60), np.arange(60) % 2, options=options)
    assert caught.value.errors


@pytest.mark.parametrize("kind", ["sms", "dirichlet"])
def test_matrices_of_very_many_classes_are_refused(kind: str, rng: np.random.Generator) -> None:
    z = rng.normal(size=(300, 101))
    with pytest.raises(Unusable, match="100 classes"):
        run(kind, z, np.arange(300) % 101)


@pytest.mark.parametrize(
    ("scores", "labels", "status"),
    [
        (np.zeros(100), np.arange(100) % 2, "unidentifiable"),
        (np.linspace(-1, 1, 100), np.zeros(100, dtype=int), "single_class"),
        (np.linspace(-1, 1, 6), np.arange(6) % 2, "too_few_rows"),
        (np.zeros((100, 3)), np.arange(100) % 3, "unidentifiable"),
    ],
)
def test_auto_has_nothing_to_try_on_degenerate_rows(
    scores: np.ndarray, labels: np.ndarray, status: str
) -> None:
    task = "binary" if scores.ndim == 1 else "multiclass"
    found = fit_auto(scores, labels, task=task, score_kind="logits")
    assert (found.status, found.chosen, found.table) == (status, "identity", ())


def test_auto_passes_over_kinds_at_their_bound() -> None:
    found = fit_auto(SEPARABLE, HALVES, task="binary", score_kind="logits")
    status = {line.kind: line.status for line in found.table}
    assert status["temperature"] == "at_bound"
    assert (found.status, found.chosen) == ("ok", "platt")  # its soft targets stay finite


def test_auto_says_so_when_scores_rank_labels_backwards(rng: np.random.Generator) -> None:
    z = rng.normal(0, 2, 500)
    y = (rng.random(500) < expit(-z)).astype(int)
    found = fit_auto(z, y, task="binary", score_kind="logits")
    assert found.status == "at_bound"
    assert "no better than chance" in found.fit.text
