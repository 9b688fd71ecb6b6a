"""Prove on a probe set that a calibrator's graph computes what our kernels compute."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import CalibrantError
from calibrant.inference.export import Exportable
from calibrant.numerics.calibrators.apply import calibrate, calibrate_sliced
from calibrant.numerics.calibrators.model import ScoreKind, SlicedCalibrator
from calibrant.numerics.predictions import Category

TOLERANCE = 1e-6
"""Largest accepted difference in probability; float32 rounding alone gives 6e-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was compared, and by how much the results differ.

    Attributes
    ----------
    rows : int
        Size of the probe set.
    max_difference : mapping of engine to float
        Largest absolute difference in probability from our kernels. `reference` is the ONNX
        reference evaluator; `onnxruntime` is missing where it is not installed.
    versions : mapping of engine to str
    onnx_sha256 : str
        Of the graph that was run.
    """

    rows: int
    max_difference: Mapping[str, float]
    versions: Mapping[str, str]
    onnx_sha256: str
    tolerance: float = TOLERANCE


def certify(
    calibrator: Exportable, model: bytes, *, score_kind: ScoreKind, seed: int = 0
) -> Certificate:
    """Run the graph in every engine at hand and compare with our kernels.

    Raises
    ------
    CalibrantError
        If an engine differs by more than `TOLERANCE`: the artifact must not be stored.
    """
    scores = probe_scores(calibrator, score_kind, np.random.default_rng(seed))
    slices = _probe_slices(calibrator, len(scores))
    ours = _ours(calibrator, scores, score_kind, slices)
    feeds: dict[str, NDArray[Any]] = {score_kind: scores}
    for name, column in slices.items():
        feeds[f"slice.{name}"] = np.array(column.values, dtype=np.object_)[column.codes]
    differences: dict[str, float] = {}
    versions: dict[str, str] = {}
    for engine, (version, run) in _engines(model).items():
        differences[engine] = float(np.max(np.abs(run(feeds) - ours)))
        versions[engine] = version
        if not differences[engine] <= TOLERANCE:
            raise CalibrantError(
                f"The ONNX graph of this calibrator differs from our kernels by "
                f"{differences[engine]:.2e} in {engine}; it is not stored. Please report this."
            )
    return Certificate(
        rows=len(scores),
        max_difference=differences,
        versions=versions,
        onnx_sha256=hashlib.sha256(model).hexdigest(),
    )


def probe_scores(
    calibrator: Exportable, score_kind: ScoreKind, rng: np.random.Generator, n: int = 512
) -> NDArray[np.float32]:
    """Return scores that reach every part of a map: usual ones, extremes, ties, exact 0 and 1."""
    if calibrator.task == "binary":
        logits = np.concatenate([rng.normal(0, 3, n), np.linspace(-40, 40, 81), np.zeros(4)])
        if score_kind == "logits":
            return logits.astype(np.float32)
        grid = np.concatenate([np.linspace(0, 1, 101), [1e-30, 1e-9, 1 - 1e-6]])
        return np.concatenate([1 / (1 + np.exp(-logits)), grid]).astype(np.float32)
    k = calibrator.n_classes
    rows = min(n, max(16, 2**18 // k**2))
    scale = rng.choice([0.1, 1.0, 4.0, 20.0], size=(rows, 1))
    wide = np.concatenate([rng.normal(0, 1, (rows, k)) * scale, np.zeros((1, k))])
    if score_kind == "logits":
        return wide.astype(np.float32)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _ours(
    calibrator: Exportable,
    scores: NDArray[Any],
    score_kind: ScoreKind,
    slices: Mapping[str, Category],
) -> NDArray[np.float64]:
    if isinstance(calibrator, SlicedCalibrator):
        return calibrate_sliced(calibrator, scores, score_kind=score_kind, slices=slices)[0]
    return calibrate(calibrator, scores, score_kind=score_kind)


def _probe_slices(calibrator: Exportable, n: int) -> dict[str, Category]:
    if not isinstance(calibrator, SlicedCalibrator):
        return {}
    keys = [*calibrator.members, ("never seen",) * len(calibrator.dimensions)]
    return {
        name: Category.encode([keys[row % len(keys)][position] for row in range(n)])
        for position, name in enumerate(calibrator.dimensions)
    }


Run = Callable[[dict[str, NDArray[Any]]], NDArray[Any]]


def _engines(model: bytes) -> dict[str, tuple[str, Run]]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    reference: Any = ReferenceEvaluator(model)

    def refer(feeds: dict[str, NDArray[Any]]) -> NDArray[Any]:
        with np.errstate(all="ignore"):  # its sigmoid lets exp overflow on the side it discards
            found: NDArray[Any] = reference.run(None, feeds)[0]
            return found

    engines: dict[str, tuple[str, Run]] = {"reference": (onnx.__version__, refer)}
    try:
        import onnxruntime
    except ImportError:
        return engines  # without the worker extra the reference evaluator alone certifies
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    engines["onnxruntime"] = (onnxruntime.__version__, lambda feeds: session.run(None, feeds)[0])
    return engines
