"""Every kind of calibrator, run as a graph, gives what our kernels give."""

from __future__ import annotations

import numpy as np
import pytest

from calibrant.errors import CalibrantError
from calibrant.inference.export import to_onnx
from calibrant.inference.parity import certify
from calibrant.numerics.calibrators.model import Calibrator, ScoreKind, SlicedCalibrator

K = 4
RNG = np.random.default_rng(7)
X = np.array([0.05, 0.2, 0.2000001, 0.5, 0.9])
Y = np.array([0.01, 0.1, 0.1, 0.6, 0.97])

BINARY = {
    "identity": {},
    "temperature": {"temperature": 1.7},
    "platt": {"a": 0.5, "b": -0.3},
    "beta": {"a": 0.6, "b": 1.2, "c": 0.1},
    "isotonic": {"x": X, "y": Y, "interpolation": "linear"},
    "isotonic_centered": {"x": X, "y": Y},
    "histogram": {
        "edges": np.linspace(0, 1, 6),
        "values": np.array([0.1, 0.2, 0.4, 0.6, 0.9]),
        "binning": "width",
    },
    "ets": {"temperature": 2.0, "weights": np.array([0.5, 0.3, 0.2])},
    "venn_abers": {
        "x0": np.array([0.2, 0.6]),
        "p0": np.array([0.0, 0.3, 0.8]),
        "x1": np.array([0.1, 0.6]),
        "p1": np.array([0.1, 0.4, 1.0]),
    },
}
VARIANTS = {
    "step": ("isotonic", {**BINARY["isotonic"], "interpolation": "step"}),
    "mass": ("histogram", {**BINARY["histogram"], "binning": "mass"}),
    "one_bin": (
        "histogram",
        {"edges": np.array([0.0, 1.0]), "values": np.array([0.3]), "binning": "width"},
    ),
    "one_point": (
        "isotonic",
        {"x": np.array([0.4]), "y": np.array([0.3]), "interpolation": "linear"},
    ),
}
MULTICLASS = {
    "identity": {},
    "temperature": {"temperature": 0.6},
    "ets": {"temperature": 2.0, "weights": np.array([0.5, 0.3, 0.2])},
    "vector": {"scale": np.array([1.0, 0.5, 2.0, 1.1]), "bias": RNG.normal(size=K)},
    "svs": {
        "temperature": 1.3,
        "smoothing": 0.01,
        "scale": np.array([1.0, 0.5, 2.0, 1.1]),
        "bias": RNG.normal(size=K),
    },
    "sms": {
        "temperature": 1.3,
        "smoothing": 0.01,
        "scale": np.array([1.0, 0.5, 2.0, 1.1]),
        "bias": RNG.normal(size=K),
        "matrix": RNG.normal(size=(K, K)) * (1 - np.eye(K)) * 0.1,
    },
    "dirichlet": {"matrix": np.eye(K) + RNG.normal(size=(K, K)) * 0.1, "bias": RNG.normal(size=K)},
}
KINDS: tuple[ScoreKind, ...] = ("logits", "probabilities")


def binary(kind: str, params: dict[str, object], mix: float = 0.01) -> Calibrator:
    return Calibrator(kind, "binary", 2, params, mix)  # type: ignore[arg-type]


def largest_difference(calibrator: Calibrator | SlicedCalibrator, kind: ScoreKind) -> float:
    pytest.importorskip("onnxruntime")
    certificate = certify(calibrator, to_onnx(calibrator, score_kind=kind), score_kind=kind)
    assert set(certificate.max_difference) == {"reference", "onnxruntime"}
    return max(certificate.max_difference.values())


@pytest.mark.parametrize("score_kind", KINDS)
@pytest.mark.parametrize("kind", BINARY)
def test_a_binary_graph_equals_the_kernel(kind: str, score_kind: ScoreKind) -> None:
    assert largest_difference(binary(kind, BINARY[kind]), score_kind) < 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_a_piecewise_graph_equals_the_kernel(variant: str) -> None:
    kind, params = VARIANTS[variant]
    assert largest_difference(binary(kind, params), "probabilities") < 1e-6


@pytest.mark.parametrize("score_kind", KINDS)
@pytest.mark.parametrize("kind", MULTICLASS)
def test_a_multiclass_graph_equals_the_kernel(kind: str, score_kind: ScoreKind) -> None:
    calibrator = Calibrator(kind, "multiclass", K, MULTICLASS[kind], 0.001)  # type: ignore[arg-type]
    assert largest_difference(calibrator, score_kind) < 1e-6


@pytest.mark.parametrize("score_kind", KINDS)
@pytest.mark.parametrize("kind", ["platt", "isotonic", "beta", "venn_abers"])
def test_a_one_versus_rest_graph_equals_the_kernel(kind: str, score_kind: ScoreKind) -> None:
    members = tuple(binary(kind, BINARY[kind], 0.0) for _ in range(K - 1))
    members += (Calibrator("identity", "binary", 2),)
    calibrator = Calibrator(kind, "multiclass", K, {}, 0.001, members)
    assert largest_difference(calibrator, score_kind) < 1e-6


@pytest.mark.parametrize("score_kind", KINDS)
def test_a_per_slice_graph_equals_the_kernel_for_known_and_unknown_slices(
    score_kind: ScoreKind,
) -> None:
    sliced = SlicedCalibrator(
        binary("isotonic", BINARY["isotonic"]),
        ("origin", "hour"),
        {
            ("JFK", "early"): binary("platt", {"a": 0.9, "b": -0.5}, 0.0),
            ("EWR", "late"): binary("platt", {"a": 1.1, "b": 0.5}, 0.002),
            ("LGA", "early"): Calibrator("identity", "binary", 2),
        },
    )
    assert largest_difference(sliced, score_kind) < 1e-6


def test_a_multiclass_per_slice_graph_equals_the_kernel() -> None:
    pooled = Calibrator("temperature", "multiclass", K, {"temperature": 1.4}, 0.001)
    member = Calibrator("vector", "multiclass", K, MULTICLASS["vector"])  # type: ignore[arg-type]
    sliced = SlicedCalibrator(pooled, ("region",), {("eu",): member})
    assert largest_difference(sliced, "logits") < 1e-6


def test_a_graph_that_differs_is_refused() -> None:
    model = to_onnx(binary("platt", {"a": 0.5, "b": 0.0}), score_kind="logits")
    with pytest.raises(CalibrantError, match="differs from our kernels"):
        certify(binary("platt", {"a": 0.6, "b": 0.0}), model, score_kind="logits")


def test_the_same_calibrator_gives_the_same_bytes() -> None:
    calibrator = binary("beta", BINARY["beta"])
    assert to_onnx(calibrator, score_kind="logits") == to_onnx(calibrator, score_kind="logits")
