"""Calibrators prepared for use: parameters bound to compiled kernels, once.

A *stage* changes one column of binary scores. On the logit axis it reads log-odds and writes
P(y=1); on the probability axis it changes P(y=1) in place. A *run* takes what a caller sent, in
either score kind, and returns the result and whether a row could not be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrant.numerics.calibrators.model import TINY, Calibrator, ScoreKind

Float64: TypeAlias = NDArray[np.float64]
LogitStage: TypeAlias = Callable[[NDArray[Any], bool, Float64], bool]
"""(log-odds, whether they may be infinite, out) -> whether a row is unusable."""
CurveStage: TypeAlias = Callable[[Float64], None]
MatrixStage: TypeAlias = Callable[[NDArray[Any], Float64], bool]
"""(logits of shape (n, k), out) -> whether a row is unusable."""
Run: TypeAlias = Callable[[NDArray[Any], float], tuple[Float64, bool]]
"""(scores, tolerance of row sums) -> (probabilities, whether a row is unusable)."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One binary map; exactly one of the two is there."""

    on_logits: LogitStage | None = None
    on_probabilities: CurveStage | None = None


def read_only(value: Any) -> Float64:
    """Return a contiguous float64 array as kernels expect it."""
    return np.ascontiguousarray(value, dtype=np.float64)


def binary_stage(calibrator: Calibrator) -> Stage:
    """Bind the parameters of one binary map."""
    return _BINARY[calibrator.kind](calibrator.params, calibrator.uniform_mix)


def binary_run(calibrator: Calibrator, score_kind: ScoreKind) -> Run:
    """Return the whole map of a binary calibrator for one score kind."""
    from calibrant.numerics.kernels import affine

    stage = binary_stage(calibrator)
    mix = calibrator.uniform_mix
    plain = calibrator.kind == "identity"

    def column(scores: NDArray[Any], tolerance: float) -> tuple[NDArray[Any], bool, bool]:
        if scores.ndim == 1:
            return scores, False, False
        if scores.shape[1] == 1:
            return scores.reshape(-1), False, False
        out = np.empty(len(scores))
        if score_kind == "logits":
            return out, True, affine.pair_logits(scores, out)
        return out, False, affine.pair_probabilities(scores, tolerance, out)

    def from_logits(scores: NDArray[Any], tolerance: float) -> tuple[Float64, bool]:
        z, infinite, bad = column(scores, tolerance)
        out = np.empty(len(z))
        if stage.on_logits is not None:
            return out, stage.on_logits(z, infinite, out) or bad
        assert stage.on_probabilities is not None
        bad = affine.affine_sigmoid(z, 1.0, 0.0, infinite, 0.0, out) or bad
        stage.on_probabilities(out)
        return out, bad

    def from_probabilities(scores: NDArray[Any], tolerance: float) -> tuple[Float64, bool]:
        p, _, bad = column(scores, tolerance)
        out = np.empty(len(p))
        if plain:
            return out, affine.probabilities_of(p, mix, out) or bad
        if stage.on_logits is not None:
            bad = affine.logits_of(p, out) or bad
            return out, stage.on_logits(out, True, out) or bad
        assert stage.on_probabilities is not None
        bad = affine.probabilities_of(p, 0.0, out) or bad
        stage.on_probabilities(out)
        return out, bad

    return from_logits if score_kind == "logits" else from_probabilities


def multiclass_run(calibrator: Calibrator, score_kind: ScoreKind) -> Run:
    """Return the whole map of a multiclass calibrator for one score kind."""
    if calibrator.classes:
        return _one_vs_rest_run(calibrator, score_kind)
    from calibrant.numerics.kernels import softmax

    stage = _MULTICLASS[calibrator.kind](calibrator.params, calibrator.uniform_mix)
    mix = calibrator.uniform_mix
    plain = calibrator.kind == "identity"

    def from_logits(scores: NDArray[Any], _: float) -> tuple[Float64, bool]:
        out = np.empty(scores.shape)
        return out, stage(scores, out)

    def from_probabilities(scores: NDArray[Any], tolerance: float) -> tuple[Float64, bool]:
        out = np.empty(scores.shape)
        if plain:
            return out, softmax.normalised(scores, tolerance, mix, out)
        logits = np.empty(scores.shape)
        bad = softmax.log_of(scores, tolerance, TINY, logits)
        return out, bad or stage(logits, out)

    return from_logits if score_kind == "logits" else from_probabilities


def _one_vs_rest_run(calibrator: Calibrator, score_kind: ScoreKind) -> Run:
    """Return the map that treats each class against the rest and divides by the sum."""
    from calibrant.numerics.kernels import affine, softmax

    stages = [binary_stage(member) for member in calibrator.classes]
    on_logits = calibrator.kind in LOGIT_KINDS
    mix = calibrator.uniform_mix

    def columns(scores: NDArray[Any], tolerance: float) -> tuple[Float64, Float64, bool]:
        out = np.empty(scores.shape)
        wide = np.empty(scores.shape[::-1])
        if score_kind == "logits" and on_logits:
            return out, wide, softmax.class_logits(scores, wide)
        if score_kind == "logits":
            bad = softmax.scaled(scores, 1.0, 0.0, out)
        else:
            bad = softmax.normalised(scores, tolerance, 0.0, out)
        softmax.class_columns(out, wide)
        if on_logits:
            affine.logits_of(wide.reshape(-1), wide.reshape(-1))
        return out, wide, bad

    def run(scores: NDArray[Any], tolerance: float) -> tuple[Float64, bool]:
        out, wide, bad = columns(scores, tolerance)
        for stage, column in zip(stages, wide, strict=True):
            if on_logits:
                assert stage.on_logits is not None
                stage.on_logits(column, True, column)
            elif stage.on_probabilities is not None:
                stage.on_probabilities(column)
        softmax.shares(wide, mix, out)
        return out, bad

    return run


LOGIT_KINDS = ("platt", "beta")
"""Binary kinds that read log-odds; the others read P(y=1)."""


def _identity_binary(_: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import affine

    return Stage(on_logits=lambda z, inf, out: affine.affine_sigmoid(z, 1.0, 0.0, inf, mix, out))


def _temperature_binary(params: Any, mix: float) -> Stage:
    return _platt({"a": 1.0 / params["temperature"], "b": 0.0}, mix)


def _platt(params: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import affine

    a, b = float(params["a"]), float(params["b"])
    return Stage(on_logits=lambda z, inf, out: affine.affine_sigmoid(z, a, b, inf, mix, out))


def _beta(params: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import affine

    a, b, c = float(params["a"]), float(params["b"]), float(params["c"])
    return Stage(on_logits=lambda z, inf, out: affine.beta_sigmoid(z, a, b, c, inf, mix, out))


def _ets_binary(params: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import affine

    beta = 1.0 / params["temperature"]
    w0, w1, w2 = map(float, params["weights"])
    return Stage(
        on_logits=lambda z, inf, out: affine.ensemble_sigmoid(z, beta, w0, w1, w2, inf, mix, out)
    )


def _isotonic(params: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import curve

    x, y = read_only(params["x"]), read_only(params["y"])
    step = params.get("interpolation") == "step"
    return Stage(on_probabilities=lambda p: curve.interpolate(p, x, y, step, mix))


def _histogram(params: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import curve

    edges, values = read_only(params["edges"]), read_only(params["values"])
    right = params["binning"] == "mass"
    return Stage(on_probabilities=lambda p: curve.binned(p, edges, values, right, mix))


def _venn_abers(params: Any, mix: float) -> Stage:
    from calibrant.numerics.kernels import curve

    x0, p0, x1, p1 = (read_only(params[name]) for name in ("x0", "p0", "x1", "p1"))
    return Stage(on_probabilities=lambda p: curve.venn_abers(p, x0, p0, x1, p1, mix))


_BINARY: dict[str, Callable[[Any, float], Stage]] = {
    "identity": _identity_binary,
    "temperature": _temperature_binary,
    "platt": _platt,
    "beta": _beta,
    "ets": _ets_binary,
    "isotonic": _isotonic,
    "isotonic_centered": _isotonic,
    "histogram": _histogram,
    "venn_abers": _venn_abers,
}


def _scaled(beta: float, mix: float) -> MatrixStage:
    from calibrant.numerics.kernels import softmax

    return lambda z, out: softmax.scaled(z, beta, mix, out)


def _ets(params: Any, mix: float) -> MatrixStage:
    from calibrant.numerics.kernels import softmax

    beta = 1.0 / params["temperature"]
    w0, w1, w2 = map(float, params["weights"])
    return lambda z, out: softmax.ensemble(z, beta, w0, w1, w2, mix, out)


def _vector(params: Any, mix: float) -> MatrixStage:
    from calibrant.numerics.kernels import softmax

    scale, bias = read_only(params["scale"]), read_only(params["bias"])
    return lambda z, out: softmax.affine(z, scale, bias, mix, out)


def _svs(params: Any, mix: float) -> MatrixStage:
    from calibrant.numerics.kernels import softmax

    beta, smoothing = 1.0 / params["temperature"], float(params["smoothing"])
    scale, bias = read_only(params["scale"]), read_only(params["bias"])

    def stage(z: NDArray[Any], out: Float64) -> bool:
        x = np.empty(z.shape)
        bad = softmax.log_probabilities(z, beta, smoothing, TINY, x)
        return bad or softmax.affine(x, scale, bias, mix, out)

    return stage


def _matrix(
    matrix: Float64, bias: Float64, beta: float, smoothing: float, mix: float
) -> MatrixStage:
    """Return the map softmax(matrix @ x + bias) of log-probabilities x."""
    from calibrant.numerics.kernels import softmax

    turned = np.ascontiguousarray(matrix.T)

    def stage(z: NDArray[Any], out: Float64) -> bool:
        x = np.empty(z.shape)
        if softmax.log_probabilities(z, beta, smoothing, TINY, x):
            return True
        np.matmul(x, turned, out=out)
        out += bias
        softmax.softmax_in_place(out, mix)
        return False

    return stage


def _sms(params: Any, mix: float) -> MatrixStage:
    matrix = np.diag(params["scale"]) + params["matrix"]
    bias, beta = read_only(params["bias"]), 1.0 / params["temperature"]
    return _matrix(matrix, bias, beta, float(params["smoothing"]), mix)


def _dirichlet(params: Any, mix: float) -> MatrixStage:
    return _matrix(read_only(params["matrix"]), read_only(params["bias"]), 1.0, 0.0, mix)


_MULTICLASS: dict[str, Callable[[Any, float], MatrixStage]] = {
    "identity": lambda _, mix: _scaled(1.0, mix),
    "temperature": lambda params, mix: _scaled(1.0 / params["temperature"], mix),
    "ets": _ets,
    "vector": _vector,
    "svs": _svs,
    "sms": _sms,
    "dirichlet": _dirichlet,
}
