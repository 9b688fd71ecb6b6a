"""Write a calibrator as an ONNX graph: scores in, calibrated probabilities out.

The graph takes float32, computes in float64 and answers float32, so it differs from our own
kernels by rounding of the last step only. Piecewise maps are found by a binary search unrolled
into `Gather` and `Where`: log2(m) steps whatever the number of rows, where comparing with every
point would cost n x m memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrant.inference.graph import GraphBuilder
from calibrant.numerics.calibrators.model import (
    EPS,
    TINY,
    Calibrator,
    ScoreKind,
    SlicedCalibrator,
)

OUTPUT = "calibrated"
"""Name of the graph's output."""

Exportable: TypeAlias = Calibrator | SlicedCalibrator


def to_onnx(calibrator: Exportable, *, score_kind: ScoreKind) -> bytes:
    """Return the serialized ONNX model of a calibrator.

    Parameters
    ----------
    calibrator : Calibrator or SlicedCalibrator
        Of any kind.
    score_kind : {"probabilities", "logits"}
        What the graph's first input holds; it is named so. Shape (N,) when binary (class 1), else
        (N, k). A sliced calibrator adds one string input of shape (N,) per dimension, named
        `slice.<dimension>`; an unknown value takes the pooled calibrator.

    Returns
    -------
    bytes
        Opset 17, domains `""` and `ai.onnx.ml` only.
    """
    graph = GraphBuilder()
    pooled = calibrator.pooled if isinstance(calibrator, SlicedCalibrator) else calibrator
    shape: list[Any] = ["N"] if pooled.task == "binary" else ["N", pooled.n_classes]
    inputs: dict[str, tuple[str, list[Any]]] = {score_kind: ("float", shape)}
    result = _apply(graph, pooled, graph.double(score_kind), score_kind)
    if isinstance(calibrator, SlicedCalibrator):
        for dimension in calibrator.dimensions:
            inputs[f"slice.{dimension}"] = ("string", ["N"])
        result = _apply_members(graph, calibrator, result)
    graph.output(result, OUTPUT)
    what = f"calibrant calibrator: {pooled.kind}, {pooled.task}, {score_kind} in"
    return graph.serialize(inputs, (OUTPUT, shape), what)


def _apply(graph: GraphBuilder, calibrator: Calibrator, scores: str, kind: ScoreKind) -> str:
    if calibrator.classes:
        result = _one_vs_rest(graph, calibrator, scores, kind)
    elif calibrator.task == "binary":
        result = _BINARY[calibrator.kind](graph, calibrator, _BinaryAxes(graph, scores, kind))
    else:
        result = _MULTICLASS[calibrator.kind](graph, calibrator, _ClassAxes(graph, scores, kind))
    return _mix(graph, calibrator, result)


def _mix(graph: GraphBuilder, calibrator: Calibrator, p: str) -> str:
    mix = calibrator.uniform_mix
    if mix == 0:
        return p
    kept = graph.op("Mul", p, graph.constant(1 - mix))
    return graph.op("Add", kept, graph.constant(mix / calibrator.n_classes))


class _BinaryAxes:
    """The axes a binary map may want, each written into the graph when first asked for."""

    def __init__(self, graph: GraphBuilder, scores: str, kind: ScoreKind) -> None:
        self._graph, self._scores, self._kind = graph, scores, kind

    def probability(self) -> str:
        if self._kind == "probabilities":
            return self._scores
        return self._graph.op("Sigmoid", self._scores)

    def logs(self) -> tuple[str, str]:
        """Return ln p and ln(1 - p), p held off both ends."""
        g = self._graph
        one, low = g.constant(1.0), g.constant(EPS)
        p = self.probability()
        high = g.op("Sub", one, low)
        held = g.op("Min", g.op("Max", p, low), high)
        rest = g.op("Min", g.op("Max", g.op("Sub", one, p), low), high)
        return g.op("Log", held), g.op("Log", rest)

    def logit(self) -> str:
        if self._kind == "logits":
            return self._scores
        return self._graph.op("Sub", *self.logs())


class _ClassAxes:
    """The axes a multiclass map may want."""

    def __init__(self, graph: GraphBuilder, scores: str, kind: ScoreKind) -> None:
        self._graph, self._scores, self._kind = graph, scores, kind

    def probability(self) -> str:
        if self._kind == "probabilities":
            return self._scores
        return self._graph.op("Softmax", self._scores, axis=1)

    def logits(self) -> str:
        if self._kind == "logits":
            return self._scores
        return self._graph.op(
            "Log", self._graph.op("Max", self._scores, self._graph.constant(TINY))
        )

    def log_probability(self) -> str:
        if self._kind == "logits":
            return self._graph.op("LogSoftmax", self._scores, axis=1)
        return self.logits()


def _identity(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes | _ClassAxes) -> str:
    del calibrator
    return graph.op("Identity", axes.probability())


def _number(calibrator: Calibrator, name: str) -> float:
    value = calibrator.params[name]
    assert isinstance(value, float | int)
    return float(value)


def _array(calibrator: Calibrator, name: str) -> NDArray[np.float64]:
    return np.asarray(calibrator.params[name], dtype=np.float64)


def _scaled(graph: GraphBuilder, z: str, calibrator: Calibrator) -> str:
    return graph.op("Div", z, graph.constant(_number(calibrator, "temperature")))


def _binary_temperature(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    return graph.op("Sigmoid", _scaled(graph, axes.logit(), calibrator))


def _platt(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    slope, shift = (graph.constant(_number(calibrator, name)) for name in "ab")
    return graph.op("Sigmoid", graph.op("Add", graph.op("Mul", axes.logit(), slope), shift))


def _beta(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    a, b, c = (graph.constant(_number(calibrator, name)) for name in "abc")
    low, high = axes.logs()
    gap = graph.op("Sub", graph.op("Mul", low, a), graph.op("Mul", high, b))
    return graph.op("Sigmoid", graph.op("Add", gap, c))


def _binary_ets(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    hot = _binary_temperature(graph, calibrator, axes)
    return _blend(graph, calibrator, hot, axes.probability())


def _blend(graph: GraphBuilder, calibrator: Calibrator, hot: str, plain: str) -> str:
    w = _array(calibrator, "weights")
    mixed = graph.op(
        "Add",
        graph.op("Mul", hot, graph.constant(w[0])),
        graph.op("Mul", plain, graph.constant(w[1])),
    )
    return graph.op("Add", mixed, graph.constant(w[2] / calibrator.n_classes))


def _last_at_most(graph: GraphBuilder, p: str, points: NDArray[np.float64], *, strict: bool) -> str:
    """Return the index of the last point <= p (< p when strict), -1 before the first."""
    steps = max(1, int(np.ceil(np.log2(len(points) + 1))))
    padded = np.full(2**steps, np.inf)
    padded[: len(points)] = points
    table = graph.constant(padded)
    # start at -1 and take every power of two that still leads to a point not beyond p
    index = graph.op("Cast", graph.op("Mul", p, graph.constant(0.0)), to=7)
    index = graph.op("Add", index, graph.constant(-1, np.int64))
    for step in reversed(range(steps)):
        probe = graph.op("Add", index, graph.constant(2**step, np.int64))
        at = graph.op("Gather", table, probe)
        reached = graph.op("Greater" if strict else "GreaterOrEqual", p, at)
        index = graph.op("Where", reached, probe, index)
    return index


def _isotonic(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    x, y = _array(calibrator, "x"), _array(calibrator, "y")
    p = axes.probability()
    step = calibrator.params.get("interpolation") == "step"
    below = _last_at_most(graph, p, x, strict=False)
    zero, last = graph.constant(0, np.int64), graph.constant(len(x) - 1, np.int64)
    low = graph.op("Max", below, zero)
    values = graph.constant(y)
    y0 = graph.op("Gather", values, low)
    if step:
        return y0
    high = graph.op("Min", graph.op("Add", below, graph.constant(1, np.int64)), last)
    points = graph.constant(x)
    x0, x1 = graph.op("Gather", points, low), graph.op("Gather", points, high)
    y1 = graph.op("Gather", values, high)
    width = graph.op("Sub", x1, x0)
    flat = graph.op("LessOrEqual", width, graph.constant(0.0))
    share = graph.op(
        "Div", graph.op("Sub", p, x0), graph.op("Where", flat, graph.constant(1.0), width)
    )
    between = graph.op("Add", y0, graph.op("Mul", share, graph.op("Sub", y1, y0)))
    return graph.op("Where", flat, y0, between)


def _histogram(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    inner = _array(calibrator, "edges")[1:-1]
    values = graph.constant(_array(calibrator, "values"))
    p = axes.probability()
    if not len(inner):
        zero = graph.op("Cast", graph.op("Mul", p, graph.constant(0.0)), to=7)
        return graph.op("Gather", values, zero)
    mass = calibrator.params["binning"] == "mass"
    below = _last_at_most(graph, p, inner, strict=mass)
    return graph.op("Gather", values, graph.op("Add", below, graph.constant(1, np.int64)))


def _venn_abers(graph: GraphBuilder, calibrator: Calibrator, axes: _BinaryAxes) -> str:
    p = axes.probability()
    sides = []
    for side, strict in (("0", False), ("1", True)):
        points = _array(calibrator, f"x{side}")
        values = graph.constant(_array(calibrator, f"p{side}"))
        passed = _last_at_most(graph, p, points, strict=strict)
        passed = graph.op("Add", passed, graph.constant(1, np.int64))
        sides.append(graph.op("Gather", values, passed))
    p0, p1 = sides
    total = graph.op("Add", graph.op("Sub", graph.constant(1.0), p0), p1)
    return graph.op("Div", p1, total)


def _temperature(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    return graph.op("Softmax", _scaled(graph, axes.logits(), calibrator), axis=1)


def _ets(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    return _blend(graph, calibrator, _temperature(graph, calibrator, axes), axes.probability())


def _affine_softmax(graph: GraphBuilder, x: str, calibrator: Calibrator, *, matrix: bool) -> str:
    total = graph.constant(_array(calibrator, "bias"))
    if "scale" in calibrator.params:
        scaled = graph.op("Mul", x, graph.constant(_array(calibrator, "scale")))
        total = graph.op("Add", scaled, total)
    if matrix:
        turned = graph.op("MatMul", x, graph.constant(_array(calibrator, "matrix").T.copy()))
        total = graph.op("Add", turned, total)
    return graph.op("Softmax", total, axis=1)


def _vector(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    return _affine_softmax(graph, axes.logits(), calibrator, matrix=False)


def _dirichlet(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    return _affine_softmax(graph, axes.log_probability(), calibrator, matrix=True)


def _smoothed(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    share = _number(calibrator, "smoothing")
    p = graph.op("Mul", _temperature(graph, calibrator, axes), graph.constant(1 - share))
    return graph.op("Log", graph.op("Add", p, graph.constant(share / calibrator.n_classes)))


def _svs(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    return _affine_softmax(graph, _smoothed(graph, calibrator, axes), calibrator, matrix=False)


def _sms(graph: GraphBuilder, calibrator: Calibrator, axes: _ClassAxes) -> str:
    return _affine_softmax(graph, _smoothed(graph, calibrator, axes), calibrator, matrix=True)


_BINARY: dict[str, Callable[[GraphBuilder, Calibrator, _BinaryAxes], str]] = {
    "identity": _identity,
    "temperature": _binary_temperature,
    "ets": _binary_ets,
    "platt": _platt,
    "beta": _beta,
    "isotonic": _isotonic,
    "isotonic_centered": _isotonic,
    "histogram": _histogram,
    "venn_abers": _venn_abers,
}

_MULTICLASS: dict[str, Callable[[GraphBuilder, Calibrator, _ClassAxes], str]] = {
    "identity": _identity,
    "temperature": _temperature,
    "ets": _ets,
    "vector": _vector,
    "svs": _svs,
    "sms": _sms,
    "dirichlet": _dirichlet,
}


def _one_vs_rest(graph: GraphBuilder, calibrator: Calibrator, scores: str, kind: ScoreKind) -> str:
    k = calibrator.n_classes
    binary_scores = scores if kind == "probabilities" else _logits_against_rest(graph, scores, k)
    columns = []
    for position, member in enumerate(calibrator.classes):
        column = graph.op("Gather", binary_scores, graph.constant(position, np.int64), axis=1)
        result = _apply(graph, member, column, kind)
        columns.append(graph.op("Unsqueeze", result, graph.constant([1], np.int64)))
    joined = graph.op("Concat", *columns, axis=1)
    total = graph.op("ReduceSum", joined, graph.constant([1], np.int64), keepdims=1)
    empty = graph.op("LessOrEqual", total, graph.constant(0.0))
    shares = graph.op("Div", joined, graph.op("Where", empty, graph.constant(1.0), total))
    return graph.op("Where", empty, graph.constant(1.0 / k), shares)


def _logits_against_rest(graph: GraphBuilder, scores: str, k: int) -> str:
    """Return each class's logit: its score minus the log-sum-exp of the others."""
    others = np.zeros((1, k, k))
    others[0, np.arange(k), np.arange(k)] = -np.inf
    spread = graph.op("Unsqueeze", scores, graph.constant([1], np.int64))
    masked = graph.op("Add", spread, graph.constant(others))
    return graph.op("Sub", scores, graph.op("ReduceLogSumExp", masked, axes=[2], keepdims=0))


def _apply_members(graph: GraphBuilder, calibrator: SlicedCalibrator, pooled: str) -> str:
    """Correct the pooled probabilities by the member of each row's slice."""
    member = _member_index(graph, calibrator)
    members = list(calibrator.members.values())
    binary = calibrator.task == "binary"
    names = ("a", "b") if binary else ("scale", "bias")
    blank = (
        (1.0, 0.0) if binary else (np.ones(calibrator.n_classes), np.zeros(calibrator.n_classes))
    )
    tables = [
        np.array([m.params.get(name, plain) for m in members] + [plain], dtype=np.float64)
        for name, plain in zip(names, blank, strict=True)
    ]
    slope, shift = (graph.op("Gather", graph.constant(table), member) for table in tables)
    if binary:
        axis = _BinaryAxes(graph, pooled, "probabilities").logit()
    else:
        axis = _ClassAxes(graph, pooled, "probabilities").logits()
    moved = graph.op("Add", graph.op("Mul", axis, slope), shift)
    corrected = graph.op("Sigmoid", moved) if binary else graph.op("Softmax", moved, axis=1)
    mixes = graph.constant([m.uniform_mix for m in members] + [0.0])
    mix = graph.op("Gather", mixes, member)
    untouched = graph.constant([m.kind == "identity" for m in members] + [True], np.bool_)
    keep = graph.op("Gather", untouched, member)
    if not binary:
        mix, keep = (graph.op("Unsqueeze", v, graph.constant([1], np.int64)) for v in (mix, keep))
    share = graph.op("Mul", mix, graph.constant(1 / calibrator.n_classes))
    rest = graph.op("Sub", graph.constant(1.0), mix)
    mixed = graph.op("Add", graph.op("Mul", corrected, rest), share)
    return graph.op("Where", keep, pooled, mixed)


def _member_index(graph: GraphBuilder, calibrator: SlicedCalibrator) -> str:
    """Return the position of each row's member, one past the last for an unknown slice."""
    n = len(calibrator.members)
    values = [
        sorted({key[d] for key in calibrator.members}) for d in range(len(calibrator.dimensions))
    ]
    place = graph.constant(0, np.int64)
    for dimension, known in zip(calibrator.dimensions, values, strict=True):
        code = graph.op(
            "LabelEncoder",
            f"slice.{dimension}",
            domain="ai.onnx.ml",
            keys_strings=known,
            values_int64s=list(range(len(known))),
            default_int64=len(known),
        )
        size = graph.constant(len(known) + 1, np.int64)
        place = graph.op("Add", graph.op("Mul", place, size), code)
    table = np.full([len(known) + 1 for known in values], n, dtype=np.int64)
    for position, key in enumerate(calibrator.members):
        spot = tuple(known.index(value) for known, value in zip(values, key, strict=True))
        table[spot] = position
    return graph.op("Gather", graph.constant(table.ravel(), np.int64), place)
