"""Per-slice calibrators: corrections that are earned, shrunk, and fall back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from calibrant.errors import BadBatch, Unusable
from calibrant.numerics.calibrators.apply import calibrate, calibrate_sliced
from calibrant.numerics.calibrators.auto import AutoFit
from calibrant.numerics.calibrators.sliced import MIN_ROWS, STRENGTHS, SlicedFit, fit_per_slice
from calibrant.numerics.predictions import Category

OFFSETS = {"a": -0.8, "b": 0.0, "c": 0.8}


def draw(
    seed: int, n: int, offsets: dict[str, float] = OFFSETS
) -> tuple[np.ndarray, np.ndarray, Category]:
    rng = np.random.default_rng(seed)
    names = rng.choice(list(offsets), n)
    z = rng.normal(0, 1.5, n)
    shift = np.array([offsets[name] for name in names])
    return z, (rng.random(n) < expit(z + shift)).astype(int), Category.encode(names.tolist())


def per_slice(z: np.ndarray, y: np.ndarray, column: Category, **more: object) -> SlicedFit:
    task = "binary" if z.ndim == 1 else "multiclass"
    kind = more.pop("kind", "platt")
    return fit_per_slice(kind, z, y, {"s": column}, task=task, score_kind="logits", **more)


def nll(p: np.ndarray, y: np.ndarray) -> float:
    own = np.where(y == 1, p, 1 - p) if p.ndim == 1 else p[np.arange(len(y)), y]
    return float(-np.log(own).mean())


def test_slices_with_opposite_errors_are_both_repaired() -> None:
    z, y, column = draw(1, 4000)
    found = per_slice(z, y, column)
    assert found.status == "ok"
    assert [part.status for part in found.slices] == ["ok"] * 3
    z, y, column = draw(2, 4000)
    slices = {"s": column}
    p, n_fallback = calibrate_sliced(found.calibrator, z, score_kind="logits", slices=slices)
    pooled = calibrate(found.calibrator.pooled, z, score_kind="logits")
    assert n_fallback == 0
    assert nll(p, y) < nll(pooled, y) - 0.02
    for code in range(3):
        rows = column.codes == code
        assert abs((p - y)[rows].mean()) < 0.04


def test_slices_without_a_difference_stay_pooled() -> None:
    z, y, column = draw(3, 3000, dict.fromkeys("abcdefghij", 0.0))
    found = per_slice(z, y, column)
    assert found.strength is None
    assert {part.status for part in found.slices} == {"pooled"}
    assert {member.kind for member in found.calibrator.members.values()} == {"identity"}
    assert len(found.table) == len(STRENGTHS)


def test_small_slices_take_the_pooled_fit_and_unknown_ones_fall_back() -> None:
    z, y, column = draw(4, 4000)
    names = [column.values[code] for code in column.codes]
    names[: MIN_ROWS - 1] = ["tiny"] * (MIN_ROWS - 1)
    found = per_slice(z, y, Category.encode(names))
    status = {part.key: (part.n, part.status) for part in found.slices}
    assert status["tiny",] == (MIN_ROWS - 1, "too_few_rows")
    slices = {"s": Category.encode(["tiny", "never seen", None])}
    p, n_fallback = calibrate_sliced(found.calibrator, z[:3], score_kind="logits", slices=slices)
    assert n_fallback == 2
    assert np.array_equal(p, calibrate(found.calibrator.pooled, z[:3], score_kind="logits"))


def test_small_slices_are_shrunk_more_than_large_ones() -> None:
    offsets = {f"s{i}": 0.7 * (-1) ** i for i in range(12)}
    z, y, column = draw(5, 12_000, offsets)
    names = np.array([column.values[code] for code in column.codes])
    keep = (names != "s0") | (np.cumsum(names == "s0") <= 60)
    found = per_slice(z[keep], y[keep], Category.encode(names[keep].tolist()))
    assert found.strength is not None
    members = found.calibrator.members
    assert abs(members["s0",].params["b"]) < abs(members["s2",].params["b"])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_more_penalty_means_closer_to_the_pool(strength: float) -> None:
    from calibrant.numerics.calibrators import sliced
    from calibrant.numerics.calibrators.inputs import read
    from calibrant.numerics.calibrators.model import identity

    z, y, column = draw(6, 2000)
    data = read(z, y, task="binary", score_kind="logits")
    axis = sliced.axis_of(identity("binary", 2), data)
    index = np.flatnonzero(column.codes == 0)
    weak = sliced.correction(axis, index, data, strength)
    strong = sliced.correction(axis, index, data, 10 * strength)
    assert abs(strong["b"]) < abs(weak["b"])


def test_the_correction_minimises_what_the_docstring_says() -> None:
    from scipy.optimize import minimize

    from calibrant.numerics.calibrators import sliced
    from calibrant.numerics.calibrators.inputs import read
    from calibrant.numerics.calibrators.model import identity

    z, y, column = draw(7, 1500)
    w = np.random.default_rng(0).random(1500) + 0.5
    data = read(z, y, task="binary", score_kind="logits", weights=w)
    axis = sliced.axis_of(identity("binary", 2), data)
    index = np.flatnonzero(column.codes == 1)
    x, t, v = z[index], y[index], w[index]
    u = (x - np.average(z, weights=w)) / np.sqrt(
        np.average((z - np.average(z, weights=w)) ** 2, weights=w)
    )

    def objective(theta: np.ndarray) -> float:
        eta = x + theta[0] + theta[1] * u
        return float(v @ (np.logaddexp(0, eta) - t * eta) + 15.0 * theta @ theta)

    best = minimize(objective, np.zeros(2), options={"gtol": 1e-9})
    got = sliced.correction(axis, index, data, 30.0)
    eta = x + best.x[0] + best.x[1] * u
    assert np.allclose(got["a"] * x + got["b"], eta, atol=1e-6)


def test_multiclass_slices_are_repaired() -> None:
    rng = np.random.default_rng(8)
    z = rng.normal(0, 1.5, (4000, 3))
    names = rng.choice(["a", "b"], 4000)
    shift = np.where(names[:, None] == "a", [1.0, 0.0, -1.0], [-1.0, 0.0, 1.0])
    y = (z + shift + rng.gumbel(size=z.shape)).argmax(axis=1)
    column = Category.encode(names.tolist())
    found = per_slice(z[:3000], y[:3000], column.take(np.arange(3000)), kind="temperature")
    p, _ = calibrate_sliced(
        found.calibrator, z[3000:], score_kind="logits",
        slices={"s": column.take(np.arange(3000, 4000))},
    )  # fmt: skip
    oracle = np.exp(log_softmax(z + shift, axis=1))[3000:]
    pooled = calibrate(found.calibrator.pooled, z[3000:], score_kind="logits")
    assert nll(p, y[3000:]) < nll(pooled, y[3000:]) - 0.1
    assert nll(p, y[3000:]) < nll(oracle, y[3000:]) + 0.02


def test_a_reversed_slice_is_flattened_not_turned_round() -> None:
    rng = np.random.default_rng(9)
    names = rng.choice(["right", "wrong"], 4000, p=[0.8, 0.2])
    z = rng.normal(0, 2, 4000)
    y = (rng.random(4000) < expit(np.where(names == "wrong", -z, z))).astype(int)
    found = per_slice(z, y, Category.encode(names.tolist()))
    assert found.calibrator.members["wrong",].params["a"] == 0


def test_auto_can_be_the_pool() -> None:
    z, y, column = draw(10, 3000)
    found = per_slice(2 * z, y, column, kind="auto")
    assert isinstance(found.pooled, AutoFit)
    assert found.status == "ok"


def test_corrections_on_top_of_identity_are_a_gain() -> None:
    z, y, column = draw(11, 6000)
    found = per_slice(z, y, column, kind="identity")
    assert found.calibrator.pooled.kind == "identity"
    assert found.strength is not None
    assert found.status == "ok"


def test_two_dimensions_make_crossed_slices() -> None:
    z, y, column = draw(12, 3000)
    other = Category.encode(["x" if i % 2 else "y" for i in range(3000)])
    found = fit_per_slice(
        "platt", z, y, {"s": column, "t": other}, task="binary", score_kind="logits"
    )
    assert found.calibrator.dimensions == ("s", "t")
    assert len(found.slices) == 6
    assert sum(part.n for part in found.slices) == 3000


def test_rows_without_a_slice_are_counted_and_pooled() -> None:
    z, y, column = draw(13, 2000)
    names = [None if i < 100 else column.values[code] for i, code in enumerate(column.codes)]
    found = per_slice(z, y, Category.encode(names))
    assert found.n_without_slice == 100


def test_same_seed_same_corrections_and_groups_are_kept_whole() -> None:
    z, y, column = draw(14, 2000)
    groups = np.arange(2000) // 4
    one = per_slice(z, y, column, groups=groups, seed=1)
    two = per_slice(z, y, column, groups=groups, seed=1)
    assert one.calibrator.to_dict() == two.calibrator.to_dict()
    assert one.table == two.table


def test_progress_counts_the_folds() -> None:
    seen: list[int] = []
    z, y, column = draw(15, 1000)
    per_slice(z, y, column, progress=lambda done, _of, _text: seen.append(done))
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_bad_slices_are_refused() -> None:
    z, y, column = draw(16, 500)
    with pytest.raises(Unusable):
        fit_per_slice("platt", z, y, {}, task="binary", score_kind="logits")
    with pytest.raises(BadBatch):
        per_slice(z, y, column.take(np.arange(10)))


def test_degenerate_rows_stay_pooled() -> None:
    column = Category.encode(["a", "b"] * 200)
    found = per_slice(np.zeros(400), np.arange(400) % 2, column)
    assert found.status == "unidentifiable"
    found = per_slice(np.linspace(-1, 1, 400), np.zeros(400, dtype=int), column)
    assert found.status == "single_class"
    assert found.strength is None


def test_hours_of_flights_stop_cancelling(shared: Callable[[str], Path]) -> None:
    # data README, section 6: fine on the whole in May, .107 too high early, .091 too low at night
    import pyarrow.parquet as pq

    table = pq.read_table(shared("data") / "flights" / "stream.parquet")
    label = np.asarray(table["label"].to_numpy(zero_copy_only=False), dtype=float)
    month, p = np.asarray(table["month"]), np.asarray(table["prob_hgb"])
    hours = table["hour_bucket"].cast("string").to_pylist()
    march = np.flatnonzero(~np.isnan(label) & (month == 3))
    may = np.flatnonzero(~np.isnan(label) & (month == 5))
    found = fit_per_slice(
        "isotonic", p[march], label[march].astype(int),
        {"hour": Category.encode([hours[i] for i in march])},
        task="binary", score_kind="probabilities",
    )  # fmt: skip
    column = Category.encode([hours[i] for i in may])
    q, _ = calibrate_sliced(
        found.calibrator, p[may], score_kind="probabilities", slices={"hour": column}
    )
    pooled = calibrate(found.calibrator.pooled, p[may], score_kind="probabilities")
    y = label[may]
    for hour in ("early", "evening"):
        rows = column.codes == column.values.index(hour)
        assert abs((pooled - y)[rows].mean()) > 0.085
        assert abs((q - y)[rows].mean()) < 0.5 * abs((pooled - y)[rows].mean())
    assert nll(q, y) < nll(pooled, y) - 0.01
