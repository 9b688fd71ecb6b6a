"""Applying calibrators: maps by hand, shapes, dtypes, masked classes, slices, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax

from calibrant.errors import BadBatch
from calibrant.numerics.calibrators.apply import (
    calibrate,
    calibrate_sliced,
    compiled,
    venn_abers_bounds,
    warm,
)
from calibrant.numerics.calibrators.model import Calibrator, SlicedCalibrator, identity
from calibrant.numerics.predictions import Category

Z = np.array([-3.0, -0.5, 0.0, 0.4, 2.5])
P = expit(Z)


def binary(kind: str, mix: float = 0.0, **params: Any) -> Calibrator:
    held = {k: np.array(v) if isinstance(v, list) else v for k, v in params.items()}
    return Calibrator(kind, "binary", 2, held, mix)


def multi(kind: str, k: int = 3, mix: float = 0.0, **params: Any) -> Calibrator:
    held = {k: np.array(v) if isinstance(v, list) else v for k, v in params.items()}
    return Calibrator(kind, "multiclass", k, held, mix)


MAPS = [
    (binary("identity"), P),
    (binary("temperature", temperature=2.0), expit(Z / 2)),
    (binary("platt", a=0.5, b=0.3), expit(0.5 * Z + 0.3)),
    (binary("platt", a=0.0, b=0.3), np.full(5, expit(0.3))),
    (binary("beta", a=0.7, b=1.3, c=-0.2), expit(0.7 * np.log(P) - 1.3 * np.log(1 - P) - 0.2)),
    (
        binary("ets", temperature=2.0, weights=[0.5, 0.3, 0.2]),
        0.5 * expit(Z / 2) + 0.3 * P + 0.1,
    ),
    (
        binary("isotonic", x=[0.1, 0.5, 0.9], y=[0.2, 0.4, 0.8], interpolation="linear"),
        np.interp(P, [0.1, 0.5, 0.9], [0.2, 0.4, 0.8]),
    ),
    (
        binary("isotonic", x=[0.1, 0.5, 0.9], y=[0.2, 0.4, 0.8], interpolation="step"),
        np.array([0.2, 0.2, 0.4, 0.4, 0.8]),
    ),
    (
        binary("isotonic_centered", x=[0.1, 0.9], y=[0.2, 0.8]),
        np.interp(P, [0.1, 0.9], [0.2, 0.8]),
    ),
    (
        binary("histogram", edges=[0.0, 0.5, 1.0], values=[0.3, 0.6], binning="width"),
        np.array([0.3, 0.3, 0.6, 0.6, 0.6]),
    ),
    (
        binary("histogram", edges=[0.0, 0.5, 1.0], values=[0.3, 0.6], binning="mass"),
        np.array([0.3, 0.3, 0.3, 0.6, 0.6]),
    ),
    (
        binary("venn_abers", x0=[0.5], p0=[0.0, 0.4], x1=[0.5], p1=[0.6, 1.0]),
        np.array([0.6 / 1.6, 0.6 / 1.6, 0.6 / 1.2, 1 / 1.6, 1 / 1.6]),
    ),
]


@pytest.mark.parametrize(("calibrator", "want"), MAPS)
def test_each_binary_map_is_its_formula(calibrator: Calibrator, want: np.ndarray) -> None:
    from_p = calibrate(calibrator, P, score_kind="probabilities")
    from_z = calibrate(calibrator, Z, score_kind="logits")
    assert np.allclose(from_p, want, rtol=1e-13, atol=0)
    assert np.allclose(from_z, want, rtol=1e-13, atol=0)


@pytest.mark.parametrize(("calibrator", "want"), MAPS)
def test_two_columns_are_both_classes(calibrator: Calibrator, want: np.ndarray) -> None:
    shifted = np.stack([np.full(5, 0.7), Z + 0.7], axis=1)
    both = np.stack([1 - P, P], axis=1)
    assert np.allclose(calibrate(calibrator, shifted, score_kind="logits"), want, rtol=1e-12)
    assert np.allclose(calibrate(calibrator, both, score_kind="probabilities"), want, rtol=1e-12)


@pytest.mark.parametrize(("calibrator", "want"), MAPS)
def test_one_column_is_one_number_a_row(calibrator: Calibrator, want: np.ndarray) -> None:
    assert np.allclose(calibrate(calibrator, Z[:, None], score_kind="logits"), want, rtol=1e-13)


@pytest.mark.parametrize(("calibrator", "want"), MAPS)
def test_uniform_mix_comes_last(calibrator: Calibrator, want: np.ndarray) -> None:
    mixed = Calibrator(calibrator.kind, "binary", 2, calibrator.params, 0.1)
    got = calibrate(mixed, Z, score_kind="logits")
    assert np.allclose(got, want * 0.9 + 0.05, rtol=1e-13)


X = np.array([[1.0, 0.5, -2.0], [0.0, 0.0, 0.0], [-1.0, 4.0, 3.9], [10.0, -700.0, 2.0]])
MATRIX = np.array([[1.0, 0.1, -0.1], [0.0, 0.9, 0.2], [0.3, 0.0, 1.1]])
OFF = MATRIX - np.diag(np.diag(MATRIX))
B = np.array([0.1, -0.2, 0.3])
FLOOR = np.log(1e-38)


def smoothed(temperature: float, s: float) -> np.ndarray:
    return np.log(np.maximum((1 - s) * softmax(X / temperature, axis=1) + s / 3, 1e-38))


MULTI = [
    (multi("identity"), softmax(X, axis=1)),
    (multi("temperature", temperature=2.0), softmax(X / 2, axis=1)),
    (
        multi("ets", temperature=2.0, weights=[0.5, 0.3, 0.2]),
        0.5 * softmax(X / 2, axis=1) + 0.3 * softmax(X, axis=1) + 0.2 / 3,
    ),
    (multi("vector", scale=np.diag(MATRIX), bias=B), softmax(np.diag(MATRIX) * X + B, axis=1)),
    (
        multi("svs", temperature=2.0, smoothing=0.01, scale=np.diag(MATRIX), bias=B),
        softmax(np.diag(MATRIX) * smoothed(2.0, 0.01) + B, axis=1),
    ),
    (
        multi("sms", temperature=2.0, smoothing=0.01, scale=np.diag(MATRIX), bias=B, matrix=OFF),
        softmax(smoothed(2.0, 0.01) @ MATRIX.T + B, axis=1),
    ),
    (
        multi("dirichlet", matrix=MATRIX, bias=B),
        softmax(np.maximum(log_softmax(X, axis=1), FLOOR) @ MATRIX.T + B, axis=1),
    ),
]


@pytest.mark.parametrize(("calibrator", "want"), MULTI)
def test_each_multiclass_map_is_its_formula(calibrator: Calibrator, want: np.ndarray) -> None:
    got = calibrate(calibrator, X, score_kind="logits")
    assert np.allclose(got, want, rtol=1e-12, atol=1e-300)
    assert np.allclose(got.sum(axis=1), 1)


@pytest.mark.parametrize(("calibrator", "_want"), [*MAPS, *MULTI])
def test_float32_read_only_strided_and_whole_numbers_are_accepted(
    calibrator: Calibrator, _want: np.ndarray
) -> None:
    scores = Z if calibrator.task == "binary" else X
    want = calibrate(calibrator, scores.astype(np.float32), score_kind="logits")
    for given in (
        scores.astype(np.float32).astype(np.float64),
        np.frombuffer(scores.astype(np.float32).tobytes(), np.float32).reshape(scores.shape),
        np.repeat(scores.astype(np.float32), 2, axis=0)[::2],
        np.asfortranarray(scores.astype(np.float32)),
    ):
        assert np.array_equal(calibrate(calibrator, given, score_kind="logits"), want)
    whole = np.rint(scores).astype(np.int64)
    assert np.array_equal(
        calibrate(calibrator, whole, score_kind="logits"),
        calibrate(calibrator, whole.astype(float), score_kind="logits"),
    )


@pytest.mark.parametrize(("calibrator", "_want"), [*MAPS, *MULTI])
def test_a_row_alone_gets_what_it_gets_in_a_batch(
    calibrator: Calibrator, _want: np.ndarray
) -> None:
    scores = Z if calibrator.task == "binary" else X
    serve = compiled(calibrator)
    batch = serve(scores, "logits")
    for i in range(len(scores)):
        assert np.allclose(serve(scores[i : i + 1], "logits")[0], batch[i], rtol=1e-13, atol=0)


def one_vs_rest(kind: str, member: Calibrator) -> Calibrator:
    return Calibrator(kind, "multiclass", 3, {}, 0.0, (member,) * 3)


@pytest.mark.parametrize(
    "member",
    [
        binary("platt", a=0.5, b=0.3),
        binary("beta", a=0.7, b=1.3, c=-0.2),
        binary("isotonic", x=[0.0, 1.0], y=[0.1, 0.6], interpolation="linear"),
        binary("histogram", edges=[0.0, 0.5, 1.0], values=[0.3, 0.6], binning="width"),
    ],
)
def test_one_versus_rest_is_each_class_then_shares(member: Calibrator) -> None:
    p = softmax(X[:3], axis=1)
    columns = np.stack(
        [calibrate(member, p[:, j], score_kind="probabilities") for j in range(3)], 1
    )
    want = columns / columns.sum(axis=1, keepdims=True)
    calibrator = one_vs_rest(member.kind, member)
    assert np.allclose(calibrate(calibrator, X[:3], score_kind="logits"), want, rtol=1e-9)
    assert np.allclose(calibrate(calibrator, p, score_kind="probabilities"), want, rtol=1e-9)


def test_one_versus_rest_of_nothing_is_uniform() -> None:
    zero = binary("isotonic", x=[0.5], y=[0.0], interpolation="step")
    got = calibrate(one_vs_rest("isotonic", zero), X, score_kind="logits")
    assert np.array_equal(got, np.full((4, 3), 1 / 3))


def test_one_versus_rest_log_odds_do_not_cancel() -> None:
    z = np.array([[60.0, 0.0, -1.0], [2000.0, 0.0, -1000.0]])
    got = calibrate(one_vs_rest("platt", binary("platt", a=0.01, b=0.0)), z, score_kind="logits")
    first = np.array([60 - np.log1p(np.exp(-1)), -60.0, -61.0])
    want = expit(0.01 * first)
    assert np.allclose(got[0], want / want.sum(), rtol=1e-12)
    second = expit(0.01 * np.array([2000.0, -2000.0, -3000.0]))
    assert np.allclose(got[1], second / second.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "calibrator",
    [
        multi("identity"),
        multi("temperature", temperature=3.0),
        multi("vector", scale=[1.0, -1.0, 0.0], bias=B),
    ],
)
def test_a_masked_class_has_probability_zero(calibrator: Calibrator) -> None:
    z = np.array([[1.0, -np.inf, 2.0], [-np.inf, -np.inf, 0.0]])
    got = calibrate(calibrator, z, score_kind="logits")
    assert (got[np.isneginf(z)] == 0).all()
    assert np.allclose(got.sum(axis=1), 1)


@pytest.mark.parametrize(("calibrator", "_want"), [*MAPS, *MULTI])
def test_extreme_scores_stay_probabilities(calibrator: Calibrator, _want: np.ndarray) -> None:
    if calibrator.task == "binary":
        z = np.array([-np.inf, -1e308, -800.0, 0.0, 800.0, 1e308])
        pairs = np.array([[-np.inf, 0.0], [0.0, -np.inf], [1e4, -1e4]])
        found = [calibrate(calibrator, pairs, score_kind="logits")]
        p = np.array([0.0, 1e-320, 1e-300, 0.5, 1 - 2.0**-53, 1.0])
    else:
        z = np.array([[800.0, -800.0, 0.0], [-np.inf, 0.0, 1e308], [-1e308, -1e308, -1e308]])
        p = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [1e-320, 1.0, 0.0]])
        found = []
    found += [calibrate(calibrator, z, score_kind="logits")]
    found += [calibrate(calibrator, p, score_kind="probabilities")]
    for got in found:
        assert np.isfinite(got).all()
        assert (got >= 0).all()
        assert (got <= 1).all()


def test_probabilities_that_are_rounded_are_divided_out() -> None:
    rounded = softmax(X[:3], axis=1).astype(np.float16)
    got = calibrate(multi("identity"), rounded, score_kind="probabilities")
    assert np.allclose(got.sum(axis=1), 1, atol=1e-12)


BAD = [
    (MAPS[0][0], np.array([0.1, np.nan]), "probabilities", "1 row"),
    (MAPS[0][0], np.array([0.1, 1.1]), "probabilities", "1 row"),
    (MAPS[0][0], np.array([-0.1, 1.1]), "probabilities", "2 rows"),
    (MAPS[0][0], np.array([0.1, np.inf]), "logits", "1 row"),
    (MAPS[2][0], np.array([np.nan]), "logits", "1 row"),
    (MAPS[2][0], np.array([[0.5, 0.6]]), "probabilities", "1 row"),
    (MAPS[2][0], np.array([[-np.inf, -np.inf]]), "logits", "1 row"),
    (MAPS[6][0], np.array([np.nan]), "logits", "1 row"),
    (MULTI[1][0], np.array([[0.0, np.nan, 0.0]]), "logits", "1 row"),
    (MULTI[1][0], np.array([[0.0, np.inf, 0.0]]), "logits", "1 row"),
    (MULTI[1][0], np.array([[-np.inf, -np.inf, -np.inf]]), "logits", "1 row"),
    (MULTI[1][0], np.array([[0.2, 0.2, 0.2]]), "probabilities", "1 row"),
    (MULTI[1][0], np.array([[1.2, -0.2, 0.0]]), "probabilities", "row"),
    (MULTI[4][0], np.array([[0.0, np.nan, 0.0]]), "logits", "1 row"),
    (MULTI[5][0], np.array([[0.0, np.nan, 0.0]]), "logits", "1 row"),
    (MULTI[6][0], np.array([[np.nan, 0.0, 0.0]]), "probabilities", "1 row"),
]


@pytest.mark.parametrize(("calibrator", "scores", "kind", "count"), BAD)
def test_unusable_rows_are_counted(
    calibrator: Calibrator, scores: np.ndarray, kind: str, count: str
) -> None:
    with pytest.raises(BadBatch) as caught:
        calibrate(calibrator, scores, score_kind=kind)
    assert count in caught.value.detail + caught.value.errors[0].message
    assert caught.value.errors[0].pointer == "/scores"


@pytest.mark.parametrize("shape", [(0,), (2, 3), (2, 2, 2), ()])
def test_wrong_shapes_are_refused_for_binary(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadBatch):
        calibrate(identity("binary", 2), np.zeros(shape), score_kind="logits")


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2), (2, 4), ()])
def test_wrong_shapes_are_refused_for_multiclass(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadBatch):
        calibrate(identity("multiclass", 3), np.zeros(shape), score_kind="logits")


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(BadBatch):
        calibrate(identity("binary", 2), np.array(["0.5"]), score_kind="logits")
    with pytest.raises(BadBatch):
        calibrate(identity("binary", 2), np.array([True]), score_kind="logits")


def test_venn_abers_bounds_hold_the_prediction() -> None:
    calibrator = MAPS[-1][0]
    low, high = venn_abers_bounds(calibrator, P, score_kind="probabilities")
    assert low.tolist() == [0.0, 0.0, 0.4, 0.4, 0.4]
    assert high.tolist() == [0.6, 0.6, 0.6, 1.0, 1.0]
    p = calibrate(calibrator, P, score_kind="probabilities")
    assert ((low <= p) & (p <= high)).all()


SLICED = SlicedCalibrator(
    binary("temperature", temperature=2.0),
    ("origin", "hour"),
    {
        ("JFK", "early"): binary("platt", a=0.5, b=1.0),
        ("LGA", "late"): identity("binary", 2),
    },
)


def test_slices_are_corrected_on_the_pooled_logit() -> None:
    slices = {
        "hour": Category.encode(["early", "late", "early", None, "early"]),
        "origin": Category.encode(["JFK", "LGA", "LGA", "JFK", "EWR"]),
        "other": Category.encode(["x"] * 5),
    }
    got, n_fallback = calibrate_sliced(SLICED, Z, score_kind="logits", slices=slices)
    want = expit(Z / 2)
    want[0] = expit(0.5 * logit(want[0]) + 1.0)
    assert np.allclose(got, want, rtol=1e-12)
    assert n_fallback == 3  # (LGA, early), missing, (EWR, early); LGA late is known and pooled


def test_slices_as_texts_are_slices_as_categories() -> None:
    texts = {
        "origin": ["JFK", "LGA", "x", None, "JFK"],
        "hour": ["early", "late", "late", "early", "late"],
    }
    encoded = {name: Category.encode(values) for name, values in texts.items()}
    serve = compiled(SLICED)
    plain, n_plain = serve(Z, "logits", texts)
    coded, n_coded = serve(Z, "logits", encoded)
    mixed, n_mixed = serve(Z, "logits", {**texts, "hour": encoded["hour"]})
    assert np.array_equal(plain, coded)
    assert np.array_equal(plain, mixed)
    assert n_plain == n_coded == n_mixed == 3


def test_multiclass_slices_are_corrected_on_the_pooled_log_probabilities() -> None:
    scale, bias = np.array([1.1, 0.9, 1.0]), np.array([0.2, 0.0, -0.1])
    sliced = SlicedCalibrator(
        multi("temperature", temperature=2.0), ("origin",),
        {("JFK",): multi("vector", scale=scale, bias=bias, mix=0.01)},
    )  # fmt: skip
    slices = {"origin": Category.encode(["JFK", "LGA", "JFK"])}
    got, n_fallback = calibrate_sliced(sliced, X[:3], score_kind="logits", slices=slices)
    pooled = softmax(X[:3] / 2, axis=1)
    want = softmax(scale * np.log(pooled) + bias, axis=1) * 0.99 + 0.01 / 3
    assert np.allclose(got[[0, 2]], want[[0, 2]], rtol=1e-12)
    assert np.allclose(got[1], pooled[1], rtol=1e-14)
    assert n_fallback == 1


def test_missing_and_short_slice_columns_are_refused() -> None:
    with pytest.raises(BadBatch, match="missing"):
        calibrate_sliced(SLICED, Z, score_kind="logits", slices={"origin": ["JFK"] * 5})
    with pytest.raises(BadBatch, match="one entry a row"):
        calibrate_sliced(
            SLICED, Z, score_kind="logits", slices={"origin": ["JFK"] * 5, "hour": ["x"]}
        )


def test_very_many_slice_values_still_find_their_member() -> None:
    names = tuple(f"d{i}" for i in range(8))
    values = [str(i) for i in range(300)]
    key = tuple("7" for _ in names)
    sliced = SlicedCalibrator(identity("binary", 2), names, {key: binary("platt", a=0.0, b=0.0)})
    slices = {name: Category.encode(values) for name in names}  # 301**8 > 2**62
    p = np.full(300, 0.9)
    got, n_fallback = calibrate_sliced(sliced, p, score_kind="probabilities", slices=slices)
    assert n_fallback == 299
    assert np.flatnonzero(got == 0.5).tolist() == [7]


def test_warming_twice_is_harmless() -> None:
    warm()
    warm()
