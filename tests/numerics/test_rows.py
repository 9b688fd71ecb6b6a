from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrant.errors import BadBatch
from calibrant.numerics.rows import Rows, derive, probabilities


def messages(error: pytest.ExceptionInfo[BadBatch]) -> list[tuple[str, str]]:
    return [(detail.pointer, detail.message) for detail in error.value.errors]


def reference(z: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    z = z.astype(np.float64)
    with np.errstate(divide="ignore"):
        shifted = z - z.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        p = e / e.sum(axis=1, keepdims=True)
        own = np.arange(len(y))
        nll = np.log(e.sum(axis=1)) - shifted[own, y]
    onehot = np.eye(z.shape[1])[y]
    return {
        "score": p.max(axis=1),
        "predicted": z.argmax(axis=1),
        "nll": nll,
        "brier": ((p - onehot) ** 2).sum(axis=1),
    }


def agrees(rows: Rows, expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(rows, name), values, rtol=1e-12, atol=1e-15)


# ------------------------------------------------------------------------------- what comes out


def test_binary_probabilities_by_hand() -> None:
    rows = derive(
        np.array([0.9, 0.2, 0.5]), np.array([1, 1, 0]), task="binary", score_kind="probabilities"
    )
    assert rows.predicted.tolist() == [1, 0, 1]
    assert rows.outcome.tolist() == [True, True, False]
    assert rows.correct.tolist() == [True, False, False]
    np.testing.assert_allclose(rows.brier, [0.01, 0.64, 0.25], rtol=1e-14)
    np.testing.assert_allclose(rows.nll, -np.log([0.9, 0.2, 0.5]), rtol=1e-14)
    np.testing.assert_allclose(rows.confidence, [0.9, 0.8, 0.5], rtol=1e-14)


def test_binary_logits_equal_their_two_column_form(rng: np.random.Generator) -> None:
    z, y = rng.normal(0, 4, 500), rng.integers(0, 2, 500)
    one = derive(z, y, task="binary", score_kind="logits")
    two = derive(np.stack([np.zeros(500), z], 1), y, task="binary", score_kind="logits")
    three = derive(z[:, None], y, task="binary", score_kind="logits")
    as_classes = derive(np.stack([np.zeros(500), z], 1), y, task="multiclass", score_kind="logits")
    np.testing.assert_array_equal(one.score, two.score)
    np.testing.assert_array_equal(one.score, three.score)
    np.testing.assert_allclose(one.nll, as_classes.nll, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(2 * one.brier, as_classes.brier, rtol=1e-9, atol=1e-15)


def test_nll_of_logits_is_exact_far_beyond_where_probabilities_saturate() -> None:
    rows = derive(
        np.array([800.0, -800.0, 40.0]), np.array([0, 1, 1]), task="binary", score_kind="logits"
    )
    np.testing.assert_allclose(rows.nll, [800.0, 800.0, np.exp(-40.0)], rtol=1e-12)
    assert rows.n_clipped == 0


def test_nll_of_probabilities_is_clipped_and_counted() -> None:
    rows = derive(
        np.array([0.0, 1.0, 0.4]), np.array([1, 1, 1]), task="binary", score_kind="probabilities"
    )
    np.testing.assert_allclose(rows.nll[0], 52 * np.log(2), rtol=1e-12)
    assert rows.n_clipped == 2


@pytest.mark.parametrize("k", [2, 3, 10, 63, 64, 65, 100, 257])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 130])
def test_multiclass_logits_equal_the_softmax(
    k: int, dtype: type, n: int, rng: np.random.Generator
) -> None:
    z = rng.normal(0, 3, (n, k)).astype(dtype)
    y = rng.integers(0, k, n)
    agrees(derive(z, y, task="multiclass", score_kind="logits"), reference(z, y))


@pytest.mark.parametrize("k", [2, 10, 64, 65, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multiclass_probabilities_equal_numpy(
    k: int, dtype: type, rng: np.random.Generator
) -> None:
    p = rng.dirichlet(np.ones(k), 130).astype(dtype)
    y = rng.integers(0, k, 130)
    rows = derive(p, y, task="multiclass", score_kind="probabilities")
    wide = p.astype(np.float64)
    total = wide.sum(axis=1, keepdims=True)
    wide = np.where(np.abs(total - 1) > 4 * k * 2.0**-52, wide / total, wide)
    np.testing.assert_array_equal(rows.predicted, p.argmax(axis=1))
    np.testing.assert_allclose(rows.score, wide.max(axis=1), rtol=1e-14)
    np.testing.assert_allclose(
        rows.brier, ((wide - np.eye(k)[y]) ** 2).sum(axis=1), rtol=1e-12, atol=1e-15
    )
    chance = np.clip(wide[np.arange(130), y], 2.0**-52, 1 - 2.0**-52)
    np.testing.assert_allclose(rows.nll, -np.log(chance), rtol=1e-12)


@pytest.mark.parametrize("k", [4, 100])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_ties_go_to_the_first_class(k: int, kind: str) -> None:
    scores = np.full((3, k), 1.0 / k)
    rows = derive(scores, np.array([0, 1, k - 1]), task="multiclass", score_kind=kind)
    assert rows.predicted.tolist() == [0, 0, 0]
    assert rows.correct.tolist() == [True, False, False]


@pytest.mark.parametrize("k", [4, 100])
def test_negative_zero_is_zero(k: int) -> None:
    scores = np.zeros((1, k))
    scores[0, 0], scores[0, 1] = -0.0, 1.0
    rows = derive(scores, np.array([1]), task="multiclass", score_kind="probabilities")
    assert rows.score.tolist() == [1.0]
    binary = derive(np.array([-0.0]), np.array([0]), task="binary", score_kind="probabilities")
    assert not np.signbit(binary.score[0])


@pytest.mark.parametrize("k", [3, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_masked_class_has_no_probability(k: int, dtype: type) -> None:
    z = np.zeros((1, k), dtype=dtype)
    z[0, 0] = -np.inf
    rows = derive(z, np.array([1]), task="multiclass", score_kind="logits")
    np.testing.assert_allclose(rows.score, 1 / (k - 1), rtol=1e-14)
    p = probabilities(z, task="multiclass", score_kind="logits")
    assert p[0, 0] == 0
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-14)


def test_a_masked_class_of_two_leaves_the_other_certain() -> None:
    z = np.array([[-np.inf, 0.0], [0.0, -np.inf]])
    rows = derive(z, np.array([1, 0]), task="binary", score_kind="logits")
    assert rows.score.tolist() == [1.0, 0.0]
    assert rows.nll.tolist() == [0.0, 0.0]


def test_rows_of_weight_zero_are_dropped_before_anything_else() -> None:
    rows = derive(
        np.array([0.5, np.nan, 0.25]),
        np.array([1, 7, 0]),
        task="binary",
        score_kind="probabilities",
        weights=np.array([1.0, 0.0, 3.0]),
    )
    assert rows.score.tolist() == [0.5, 0.25]
    assert rows.weights is not None
    assert rows.weights.tolist() == [1.0, 3.0]


def test_read_only_and_strided_input_gives_the_same_rows(rng: np.random.Generator) -> None:
    z, y = rng.normal(0, 2, (50, 6)), rng.integers(0, 3, 50)
    expected = derive(z[:, ::2].copy(), y, task="multiclass", score_kind="logits")
    frozen = np.frombuffer(np.ascontiguousarray(z[:, ::2]).tobytes()).reshape(50, 3)
    for scores in (z[:, ::2], frozen, np.asfortranarray(z[:, ::2])):
        rows = derive(scores, y, task="multiclass", score_kind="logits")
        np.testing.assert_array_equal(rows.nll, expected.nll)


def test_parts_join_to_the_whole(rng: np.random.Generator) -> None:
    z, y = rng.normal(0, 2, (50, 3)), rng.integers(0, 3, 50)
    whole = derive(z, y, task="multiclass", score_kind="logits")
    parts = [
        derive(z[a:b], y[a:b], task="multiclass", score_kind="logits")
        for a, b in ((0, 7), (7, 30), (30, 50))
    ]
    for joined in (Rows.concat(parts), Rows.gather(iter(parts), 80)):
        assert len(joined) == 50
        np.testing.assert_array_equal(joined.nll, whole.nll)
        np.testing.assert_array_equal(joined.outcome, whole.outcome)
    np.testing.assert_array_equal(whole.take(y == 1).nll, whole.nll[y == 1])


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("k", [None, 2, 10, 64, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_of_a_row_depend_on_that_row_alone(
    kind: str, k: int | None, dtype: type, rng: np.random.Generator
) -> None:
    n = 333
    z, y = rng.normal(0, 4, n if k is None else (n, k)), rng.integers(0, k or 2, n)
    if kind == "probabilities":
        z = np.exp(-np.abs(z)) if k is None else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    elif k is not None:
        z[::5, 0], y[::5] = -np.inf, k - 1  # masked classes are judged row by row
    z = z.astype(dtype)
    task: Any = "binary" if k is None else "multiclass"
    whole = derive(z, y, task=task, score_kind=kind)  # type: ignore[arg-type]
    order = rng.permutation(n)
    for a, b in ((0, 1), (1, 70), (70, 333)):
        rows = order[a:b]
        part = derive(z[rows], y[rows], task=task, score_kind=kind)  # type: ignore[arg-type]
        for name in ("score", "predicted", "nll", "brier"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[rows])


@pytest.mark.parametrize("p", [1e-16, 1e-12, 1e-9, 1e-7, 0.3, 0.5, 0.7, 1 - 1e-9, 1 - 2.0**-52])
def test_nll_keeps_its_digits_at_both_ends(p: float) -> None:
    rows = derive(np.array([p, p]), np.array([0, 1]), task="binary", score_kind="probabilities")
    inside = max(p, 2.0**-52)
    np.testing.assert_allclose(rows.nll, [-np.log1p(-inside), -np.log(inside)], rtol=5e-16)


@pytest.mark.parametrize("k", [3, 64, 65, 128, 130, 300])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_of_equal_classes_is_predicted_wherever_it_lies(
    k: int, kind: str, dtype: type
) -> None:
    scores = np.full((k, k), 0.5 / k, dtype=dtype)
    for first in range(k):
        scores[first, first:] += 0.5 / (k - first)
    rows = derive(scores, np.arange(k), task="multiclass", score_kind=kind)  # type: ignore[arg-type]
    np.testing.assert_array_equal(rows.predicted, np.arange(k))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 80), st.floats(-700, 700), st.integers(0, 2**32 - 1))
def test_a_shift_of_logits_changes_nothing_but_rounding(k: int, shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y = rng.normal(0, 3, (5, k)), rng.integers(0, k, 5)
    a = derive(z, y, task="multiclass", score_kind="logits")
    b = derive(z + shift, y, task="multiclass", score_kind="logits")
    np.testing.assert_allclose(a.nll, b.nll, rtol=0, atol=1e-11)
    assert (a.nll >= 0).all()
    assert ((a.brier >= 0) & (a.brier <= 2)).all()
    assert ((a.score > 0) & (a.score <= 1)).all()


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("k", [3, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf], ids=["nan", "-nan", "inf"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_scores_that_are_no_numbers_are_counted(k: int, dtype: type, bad: float, kind: str) -> None:
    scores = np.full((200, k), 1 / k, dtype=dtype)
    scores[3, 1] = scores[150, k - 1] = bad
    with pytest.raises(BadBatch) as error:
        derive(scores, np.zeros(200, int), task="multiclass", score_kind=kind, first_row=1000)
    assert messages(error) == [("/scores", "2 rows: not a finite number (rows 1003, 1150, from 0)")]


@pytest.mark.parametrize("k", [3, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [-1e-9, 1.0000001192092896, 5.0])
def test_numbers_that_are_no_probabilities_are_counted(k: int, dtype: type, bad: float) -> None:
    scores = np.full((9, k), 1 / k, dtype=dtype)
    scores[7, 0] = bad
    with pytest.raises(BadBatch) as error:
        derive(scores, np.zeros(9, int), task="multiclass", score_kind="probabilities")
    assert messages(error) == [("/scores", "1 row: outside [0, 1] (row 7, from 0)")]


@pytest.mark.parametrize("k", [3, 100])
def test_rows_that_do_not_sum_to_one_are_counted(k: int) -> None:
    scores = np.full((12, k), 1 / k)
    scores[:10, 0] += 1e-5
    with pytest.raises(BadBatch) as error:
        derive(scores, np.zeros(12, int), task="multiclass", score_kind="probabilities")
    assert messages(error) == [
        ("/scores", "10 rows: probabilities that do not sum to 1 (rows 0, 1, 2, 3, 4, ..., from 0)")
    ]


@pytest.mark.parametrize("k", [3, 100])
def test_small_misses_of_one_are_repaired_and_flagged(k: int) -> None:
    scores = np.full((12, k), 1 / k)
    scores[:10, 0] += 5e-7
    rows = derive(scores, np.zeros(12, int), task="multiclass", score_kind="probabilities")
    assert rows.n_renormalised == 10
    np.testing.assert_allclose(rows.score[0], (1 / k + 5e-7) / (1 + 5e-7), rtol=1e-13)


@pytest.mark.parametrize("k", [3, 100])
def test_masked_labels_and_masked_rows_are_refused(k: int) -> None:
    z = np.zeros((3, k))
    z[1, 2], z[2] = -np.inf, -np.inf
    with pytest.raises(BadBatch) as error:
        derive(z, np.array([0, 2, 0]), task="multiclass", score_kind="logits")
    assert messages(error) == [
        ("/labels", "1 row: the label's score is -inf, a masked class (row 1, from 0)"),
        ("/scores", "1 row: every score is -inf (row 2, from 0)"),
    ]


@pytest.mark.parametrize(
    "labels", [[0, -1], [0, 2], [0, 2**40], [0.0, 0.5], [0.0, np.nan], [0.0, np.inf]]
)
def test_labels_that_are_no_class_are_counted(labels: list[Any]) -> None:
    with pytest.raises(BadBatch) as error:
        derive(np.array([0.5, 0.5]), np.array(labels), task="binary", score_kind="logits")
    assert messages(error) == [("/labels", "1 row: outside 0..1 (row 1, from 0)")]


def test_labels_beyond_64_bits_do_not_wrap_into_a_class() -> None:
    with pytest.raises(BadBatch):
        derive(
            np.array([0.5]), np.array([2**64 - 1], np.uint64), task="binary", score_kind="logits"
        )


@pytest.mark.parametrize("weights", [[-1.0, 1.0], [np.nan, 1.0], [np.inf, 1.0], [0.0, 0.0]])
def test_weights_that_are_no_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(BadBatch) as error:
        derive(
            np.array([0.5, 0.5]),
            np.array([0, 1]),
            task="binary",
            score_kind="logits",
            weights=np.array(weights),
        )
    assert error.value.errors[0].pointer == "/weights"


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros((2, 3)), [0, 1]),
        (np.zeros((2, 2, 2)), [0, 1]),
        (np.zeros(2), [0]),
        (np.zeros(0), []),
    ],
)
def test_binary_shapes_that_do_not_fit_are_refused(scores: np.ndarray, labels: list[int]) -> None:
    with pytest.raises(BadBatch):
        derive(scores, np.array(labels, dtype=int), task="binary", score_kind="logits")


def test_multiclass_scores_of_one_column_are_refused() -> None:
    with pytest.raises(BadBatch, match="at least two classes"):
        derive(np.zeros((3, 1)), np.zeros(3, int), task="multiclass", score_kind="logits")


def test_row_numbers_survive_dropped_rows() -> None:
    with pytest.raises(BadBatch) as error:
        derive(
            np.array([0.5, 0.5, np.nan]),
            np.array([0, 1, 1]),
            task="binary",
            score_kind="logits",
            weights=np.array([1.0, 0.0, 1.0]),
        )
    assert messages(error) == [("/scores", "1 row: not a finite number (row 2, from 0)")]


def test_probabilities_of_scores_without_labels(rng: np.random.Generator) -> None:
    z = rng.normal(0, 3, 40)
    p = probabilities(z, task="binary", score_kind="logits")
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-z)), rtol=1e-14)
    with pytest.raises(BadBatch):
        probabilities(np.array([0.5, np.nan]), task="binary", score_kind="logits")
    with pytest.raises(BadBatch):
        probabilities(np.array([[0.5, 0.6]]), task="multiclass", score_kind="probabilities")


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_two_binary_columns_are_judged_like_rows_of_classes(kind: str) -> None:
    scores = np.array([[0.5, 0.5], [np.nan, 0.5], [0.5, np.nan]])
    with pytest.raises(BadBatch) as error:
        derive(
            scores,
            np.array([0, 1, 1]),
            task="binary",
            score_kind=kind,  # type: ignore[arg-type]
            weights=np.array([1.0, 0.0, 1.0]),
            first_row=10,
        )
    assert messages(error) == [("/scores", "1 row: not a finite number (row 12, from 0)")]
    with pytest.raises(BadBatch):
        derive(
            np.full((1, 2), -np.inf if kind == "logits" else 0.6),
            np.array([0]),
            task="binary",
            score_kind=kind,  # type: ignore[arg-type]
        )


def test_a_single_number_is_no_batch_of_classes() -> None:
    with pytest.raises(BadBatch):
        derive(np.float64(0.5), np.array([0]), task="multiclass", score_kind="logits")


@pytest.mark.parametrize("label", [0, 1])
def test_a_masked_label_of_two_is_refused(label: int) -> None:
    z = np.zeros((1, 2))
    z[0, label] = -np.inf
    with pytest.raises(BadBatch) as error:
        derive(z, np.array([label]), task="binary", score_kind="logits")
    assert error.value.errors[0].pointer == "/labels"
    p = probabilities(z, task="binary", score_kind="logits")
    assert p.tolist() == [1.0 - label]
