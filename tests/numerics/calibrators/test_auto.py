"""The `auto` rule: what races, who wins, what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from calibrant.errors import BadBatch, Unusable
from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.auto import AutoFit, candidates, fit_auto
from calibrant.numerics.calibrators.folds import assign


def draw(seed: int, n: int, t: float, k: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if k == 2:
        z = rng.normal(0, 2, n)
        return t * z, (rng.random(n) < expit(z)).astype(int)
    z = rng.normal(0, 1.5, (n, k))
    return t * z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def auto(z: np.ndarray, y: np.ndarray, **more: object) -> AutoFit:
    task = "binary" if z.ndim == 1 else "multiclass"
    return fit_auto(z, y, task=task, score_kind="logits", **more)


@pytest.mark.parametrize(
    ("task", "n", "k", "kinds"),
    [
        ("binary", 1_499, 2, "identity temperature platt beta ets"),
        ("binary", 1_500, 2, "identity temperature platt beta"),
        ("binary", 12_000, 2, "identity temperature platt beta isotonic_centered venn_abers"),
        ("multiclass", 499, 10, "identity temperature svs"),
        ("multiclass", 500, 10, "identity temperature svs sms"),
        ("multiclass", 10**6, 101, "identity temperature svs"),
    ],
)
def test_candidates_follow_rows_and_classes(task: str, n: int, k: int, kinds: str) -> None:
    assert candidates(task, n, k) == tuple(kinds.split())


def test_nothing_to_gain_is_an_honest_outcome() -> None:
    found = auto(*draw(1, 1000, 1.0))
    assert (found.status, found.chosen, found.fit.calibrator.kind) == (
        "no_gain",
        "identity",
        "identity",
    )
    assert found.fit.calibrator.uniform_mix == 0
    assert found.table[0].kind == "identity"
    assert found.table[0].gain == 0


def test_overconfident_scores_get_the_simplest_cure() -> None:
    z, y = draw(2, 3000, 2.0)
    found = auto(z, y)
    assert (found.status, found.chosen) == ("ok", "temperature")
    assert found.fit.calibrator.params["temperature"] == pytest.approx(2, rel=0.1)
    assert found.fit.calibrator.uniform_mix == pytest.approx(1 / 3001)
    lines = {line.kind: line for line in found.table}
    assert lines["temperature"].gain_low > 0
    assert lines["temperature"].loss < lines["identity"].loss


def test_a_shift_of_the_base_rate_needs_more_than_a_temperature() -> None:
    z, y = draw(3, 3000, 1.5)
    assert auto(z + 1.5, y).chosen in {"platt", "beta"}


def test_a_bent_curve_gets_a_curve_where_rows_are_many() -> None:
    rng = np.random.default_rng(4)
    p = rng.random(15_000)
    y = (rng.random(15_000) < np.where(p < 0.5, 0.2 + 0.1 * p, 0.7 + 0.1 * p)).astype(int)
    found = fit_auto(p, y, task="binary", score_kind="probabilities")
    assert found.chosen in {"isotonic_centered", "venn_abers"}
    assert found.fit.calibrator.uniform_mix == 0


def test_multiclass_scores_are_cured_too() -> None:
    found = auto(*draw(5, 1500, 1.7, k=3))
    assert found.status == "ok"
    assert [line.kind for line in found.table] == ["identity", "temperature", "svs", "sms"]


def test_the_cross_validated_loss_is_finite_and_the_final_one_too() -> None:
    z, y = draw(6, 400, 4.0)
    found = auto(z, y)
    p = calibrate(found.fit.calibrator, np.array([-1e6, 1e6]), score_kind="logits")
    assert np.isfinite(np.log(p)).all()
    assert np.isfinite(np.log(1 - p)).all()
    assert all(np.isfinite(line.loss) for line in found.table)


def test_same_seed_same_answer_another_seed_another_split() -> None:
    z, y = draw(7, 800, 1.3)
    assert auto(z, y, seed=3).table == auto(z, y, seed=3).table
    assert auto(z, y, seed=3).table != auto(z, y, seed=4).table


def test_progress_ends_at_the_end() -> None:
    seen: list[tuple[int, int, str]] = []
    auto(*draw(8, 300, 1.5), progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {of for _, of, _ in seen} == {6}
    assert all(text for _, _, text in seen)


def test_kinds_can_be_named_and_identity_still_races() -> None:
    z, y = draw(9, 500, 1.5)
    found = auto(z, y, kinds=["isotonic", "platt"], options={"platt": {"targets": "hard"}})
    assert [line.kind for line in found.table] == ["identity", "platt", "isotonic"]
    with pytest.raises(Unusable):
        auto(z, y, kinds=["quadratic"])
    with pytest.raises(Unusable):
        auto(z, y, kinds=["svs"])
    with pytest.raises(Unusable):
        auto(z, y, options={"platt": {"targets": "soft"}})


def test_a_kind_that_no_fold_can_fit_has_no_figures() -> None:
    z, y = draw(9, 25, 1.0)
    found = auto(z, y, kinds=["ets", "beta"], n_folds=2)
    assert len(found.table) == 3
    small, labels = draw(9, 24, 1.0, k=3)
    line = auto(small, labels, kinds=["svs"], n_folds=2).table[1]
    assert (line.kind, line.loss, line.gain, line.status) == ("svs", None, None, "too_few_rows")


def test_brier_is_a_loss_on_request() -> None:
    z, y = draw(10, 2000, 2.0)
    found = auto(z, y, loss="brier")
    assert found.chosen == "temperature"
    p = expit(z)
    assert found.table[0].loss == pytest.approx(((p - y) ** 2).mean(), rel=1e-12)
    wide, labels = draw(11, 500, 1.0, k=3)
    e = np.exp(wide)
    q = e / e.sum(axis=1, keepdims=True)
    want = ((q - np.eye(3)[labels]) ** 2).sum(axis=1).mean()
    assert auto(wide, labels, loss="brier").table[0].loss == pytest.approx(want, rel=1e-12)


def test_errors_are_robust_to_groups() -> None:
    # 60 clusters of 20 equal rows hold the evidence of 60 rows
    z, y = draw(12, 60, 1.8)
    z, y, groups = np.repeat(z, 20), np.repeat(y, 20), np.repeat(np.arange(60), 20)
    blind, aware = auto(z, y), auto(z, y, groups=groups)
    width = {
        name: found.table[1].gain_high - found.table[1].gain_low
        for name, found in (("blind", blind), ("aware", aware))
    }
    assert width["aware"] > 3 * width["blind"]


def test_weights_count_and_zero_weights_do_not() -> None:
    z, y = draw(13, 900, 1.6)
    w = np.ones(1000)
    w[900:] = 0
    noise = np.random.default_rng(0).normal(0, 50, 100)
    more = auto(np.concatenate([z, noise]), np.concatenate([y, np.zeros(100, int)]), weights=w)
    assert more.table == auto(z, y, weights=np.ones(900)).table


@pytest.mark.parametrize("groups", [np.zeros(3, int), np.zeros(500), np.array(["a"] * 500)])
def test_broken_groups_are_refused(groups: np.ndarray) -> None:
    z, y = draw(14, 500, 1.0)
    with pytest.raises(BadBatch):
        auto(z, y, groups=groups)


def test_folds_keep_class_shares() -> None:
    labels = np.random.default_rng(0).choice(4, 503, p=[0.7, 0.2, 0.07, 0.03])
    fold = assign(labels, n_folds=5, seed=1)
    for label in range(4):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert np.ptp(counts) <= 1
    assert np.ptp(np.bincount(fold)) <= 4


def test_folds_never_part_a_group() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(-1, 40, 1000)  # -1: rows of no group
    labels = rng.integers(0, 2, 1000)
    fold = assign(labels, n_folds=5, seed=1, groups=groups)
    for group in range(40):
        assert len(set(fold[groups == group])) == 1
    assert len(set(fold[groups == -1])) > 1
    sizes = np.bincount(fold, labels, 5)
    assert sizes.max() <= 1.2 * sizes.min()
