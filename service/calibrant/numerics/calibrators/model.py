"""What a fitted calibrator is: a kind and its parameters; plain data that can be stored and sent.

Three axes occur. *Logits*: the score itself when `score_kind` is `logits`; `log p` (multiclass) or
`log p - log(1-p)` (binary) when it is `probabilities`. *Log-probabilities*: the exact log-softmax of
logits, or `log p`. *Probability*: `P(y=1)`. Binary logits are the log-odds of class 1, the softmax
of `[0, z]`. Wherever a logarithm of a given probability is taken, `p` is first raised to at least
`TINY` = 1e-38; a binary `p` and its complement are held to at least `EPS` = 2.2e-16 (2**-52).
`k` is `n_classes`, `m` the number of points, `B` the number of bins.

=================  ==============  =====================================  ========================
kind               axis            params (name: shape, rule)             map
=================  ==============  =====================================  ========================
identity           -               none                                   softmax(z) or p itself
temperature        logits          temperature: float > 0                 softmax(z / T)
platt              binary logit    a: float >= 0; b: float                sigmoid(a z + b)
beta               P(y=1) in       a, b: float >= 0; c: float             sigmoid(a ln p
                   [EPS, 1-EPS]                                             - b ln(1-p) + c)
isotonic           P(y=1)          x: (m,) increasing; y: (m,) non-       `linear`: interpolate y
                                   decreasing in [0, 1];                  over x; `step`: y of the
                                   interpolation: `linear` | `step`       last x <= p; clipped
isotonic_centered  P(y=1)          x: (m,) increasing; y: (m,)            interpolate y over x,
                                   non-decreasing in [0, 1]               clipped outside
histogram          P(y=1)          edges: (B+1,) increasing; values:      value of the bin; outside
                                   (B,) in [0, 1]; binning: `width`       the first and the last
                                   ([lo, hi), last closed) | `mass`
                                   ((lo, hi], first closed)
ets                logits          temperature: float > 0;                w0 softmax(z / T)
                                   weights: (3,) >= 0, sum 1              + w1 softmax(z) + w2 / k
vector             logits          scale: (k,); bias: (k,)                softmax(scale * z + bias)
svs                log-probabi-    temperature: float > 0;                softmax(scale * x + bias),
                   lities          smoothing: float in [0, 1);            x = log((1-s) softmax(z/T)
                                   scale: (k,); bias: (k,)                + s / k)
sms                log-probabi-    as svs, and matrix: (k, k) with a      softmax(scale * x
                   lities          zero diagonal                          + matrix @ x + bias)
dirichlet          log-probabi-    matrix: (k, k); bias: (k,)             softmax(matrix @ log p
                   lities                                                 + bias)
venn_abers         P(y=1)          x0: (i,), x1: (j,) increasing;         p1 / (1 - p0 + p1) with
                                   p0: (i+1,), p1: (j+1,) non-              p0[count of x0 <= p],
                                   decreasing in [0, 1]                     p1[count of x1 < p]
=================  ==============  =====================================  ========================

The kinds platt, beta, isotonic, isotonic_centered, histogram and venn_abers are binary. On k > 2
classes they run one against the rest: `params` is empty and `classes` holds k binary calibrators
(of that kind or `identity`), the i-th applied to `P(y=i)` (its logit is `z_i` minus the
log-sum-exp of the others); the k results are divided by their sum, and a row of zeros becomes
uniform. vector, svs, sms and dirichlet are multiclass only.

At last `uniform_mix` m turns p into `p (1 - m) + m / k` (binary: k = 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calibrant.errors import BadRequest
from calibrant.numerics.calibrators import schema

FORMAT = 1
"""Version of the stored form."""

TINY = 1e-38
"""Smallest probability of which a logarithm is taken."""

EPS = float(np.finfo(np.float64).eps)
"""Distance from 0 and 1 kept by a binary probability before its logit is taken."""

Task: TypeAlias = Literal["binary", "multiclass"]
ScoreKind: TypeAlias = Literal["probabilities", "logits"]
Params: TypeAlias = Mapping[str, "float | str | NDArray[np.float64]"]

KINDS = schema.KINDS
BINARY_KINDS = schema.BINARY_KINDS
MULTICLASS_KINDS = schema.MULTICLASS_KINDS
CORRECTION: dict[Task, str] = {"binary": "platt", "multiclass": "vector"}
"""Kind of a slice's correction of the pooled calibrator."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """A map from scores to probabilities; the table above gives the meaning of `params`.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    task : {"binary", "multiclass"}
    n_classes : int
        2 when binary.
    params : mapping of str to float, str or float64 array
    uniform_mix : float in [0, 1)
        Weight of the uniform distribution in the result; keeps the log loss finite.
    classes : tuple of Calibrator
        One-versus-rest members of a binary kind on more than two classes, in class order.
    """

    kind: str
    task: Task
    n_classes: int
    params: Params = field(default_factory=dict)
    uniform_mix: float = 0.0
    classes: tuple[Calibrator, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form; numbers survive JSON exactly."""
        return {"format": FORMAT, "type": "calibrator", **_body(self)}

    @classmethod
    def from_dict(cls, data: object) -> Calibrator:
        """Read the form of `to_dict`, trusting nothing.

        Raises
        ------
        BadRequest
            If it is not such a form, or of another version.
        Unusable
            If a field or a parameter is missing, unknown, of the wrong shape or out of range.
        """
        found = _envelope(data, "calibrator")
        return _read(found, "")


@dataclass(frozen=True, slots=True, eq=False)
class SlicedCalibrator:
    """A pooled calibrator with a correction for each slice that earned one.

    A row whose slice is in `members` gets `member(pooled(score))`: the member acts on the
    *probabilities* that the pooled calibrator gives, so its kind is `platt` (binary) or `vector`
    (multiclass, on the log of the pooled probabilities). Any other row gets `pooled(score)`.

    Attributes
    ----------
    pooled : Calibrator
        Fitted on all rows.
    dimensions : tuple of str
        Columns whose values, in this order, name a slice.
    members : mapping of tuple of str to Calibrator
        Correction of each slice. A slice whose fit stayed pooled has an `identity` member, so it
        is told apart from a slice never seen.
    """

    pooled: Calibrator
    dimensions: tuple[str, ...]
    members: Mapping[tuple[str, ...], Calibrator]

    @property
    def task(self) -> Task:
        """Task of the pooled calibrator."""
        return self.pooled.task

    @property
    def n_classes(self) -> int:
        """Classes of the pooled calibrator."""
        return self.pooled.n_classes

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form; numbers survive JSON exactly."""
        return {
            "format": FORMAT,
            "type": "sliced",
            "pooled": _body(self.pooled),
            "dimensions": list(self.dimensions),
            "members": [
                {"slice": list(key), "calibrator": _body(member)}
                for key, member in self.members.items()
            ],
        }

    @classmethod
    def from_dict(cls, data: object) -> SlicedCalibrator:
        """Read the form of `to_dict`, trusting nothing; raises as `Calibrator.from_dict`."""
        found = _envelope(data, "sliced")
        schema.fields(found, {"pooled", "dimensions", "members"}, "")
        pooled = _read(schema.mapping(found["pooled"], "/pooled"), "/pooled")
        dimensions = schema.texts(found["dimensions"], "/dimensions")
        if not dimensions or len(set(dimensions)) != len(dimensions):
            raise schema.bad("/dimensions", "must name at least one column, each once")
        members: dict[tuple[str, ...], Calibrator] = {}
        for position, entry in enumerate(schema.listing(found["members"], "/members")):
            pointer = f"/members/{position}"
            item = schema.mapping(entry, pointer)
            schema.fields(item, {"slice", "calibrator"}, pointer)
            key = schema.texts(item["slice"], f"{pointer}/slice")
            if len(key) != len(dimensions) or key in members:
                raise schema.bad(f"{pointer}/slice", "must hold one value a dimension, once")
            member = _read(
                schema.mapping(item["calibrator"], f"{pointer}/calibrator"), f"{pointer}/calibrator"
            )
            if (member.task, member.n_classes) != (pooled.task, pooled.n_classes):
                raise schema.bad(f"{pointer}/calibrator", "must fit the pooled calibrator's task")
            if member.kind not in {"identity", CORRECTION[pooled.task]}:
                raise schema.bad(f"{pointer}/calibrator", "must be a correction or `identity`")
            members[key] = member
        return cls(pooled, dimensions, members)


def from_dict(data: object) -> Calibrator | SlicedCalibrator:
    """Read either stored form; raises as `Calibrator.from_dict`."""
    if isinstance(data, Mapping) and data.get("type") == "sliced":
        return SlicedCalibrator.from_dict(data)
    return Calibrator.from_dict(data)


def identity(task: Task, n_classes: int) -> Calibrator:
    """Return the calibrator that changes nothing."""
    return Calibrator("identity", task, n_classes)


def _body(calibrator: Calibrator) -> dict[str, Any]:
    """Return the form without its envelope."""
    return {
        "kind": calibrator.kind,
        "task": calibrator.task,
        "n_classes": calibrator.n_classes,
        "params": {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in calibrator.params.items()
        },
        "uniform_mix": calibrator.uniform_mix,
        "classes": [_body(member) for member in calibrator.classes],
    }


def _envelope(data: object, wanted: str) -> dict[str, Any]:
    """Check version and type, and return the rest."""
    if not isinstance(data, Mapping):
        raise BadRequest("A calibrator must be a JSON object.")
    version = data.get("format")
    if type(version) is not int or version != FORMAT:
        raise BadRequest(f"`format` must be {FORMAT}.")
    if data.get("type") != wanted:
        raise BadRequest(f"`type` must be `{wanted}`.")
    return {name: value for name, value in data.items() if name not in {"format", "type"}}


def _read(body: Mapping[str, Any], pointer: str, *, nested: bool = False) -> Calibrator:
    """Read and check one calibrator."""
    schema.fields(body, {"kind", "task", "n_classes", "params", "uniform_mix", "classes"}, pointer)
    kind = schema.choice(body["kind"], KINDS, f"{pointer}/kind")
    task: Task = (
        "binary"
        if schema.choice(body["task"], ("binary", "multiclass"), f"{pointer}/task") == "binary"
        else "multiclass"
    )
    n_classes = schema.class_count(body["n_classes"], task, f"{pointer}/n_classes")
    mix = schema.number(body["uniform_mix"], f"{pointer}/uniform_mix")
    if not 0 <= mix < 1:
        raise schema.bad(f"{pointer}/uniform_mix", "must lie in [0, 1)")
    raw = schema.listing(body["classes"], f"{pointer}/classes")
    one_vs_rest = task == "multiclass" and kind in BINARY_KINDS
    if len(raw) != (n_classes if one_vs_rest and not nested else 0):
        raise schema.bad(f"{pointer}/classes", "must hold one calibrator a class, or none")
    classes = tuple(_member(item, kind, f"{pointer}/classes/{i}") for i, item in enumerate(raw))
    given = schema.mapping(body["params"], f"{pointer}/params")
    if one_vs_rest:
        schema.fields(given, set(), f"{pointer}/params")
        return Calibrator(kind, task, n_classes, {}, mix, classes)
    if task == "binary" and kind in MULTICLASS_KINDS:
        raise schema.bad(f"{pointer}/kind", "needs more than two classes")
    return Calibrator(
        kind, task, n_classes, schema.params(kind, n_classes, given, f"{pointer}/params"), mix
    )


def _member(item: object, kind: str, pointer: str) -> Calibrator:
    """Read a one-versus-rest member."""
    member = _read(schema.mapping(item, pointer), pointer, nested=True)
    if member.task != "binary" or member.kind not in {kind, "identity"}:
        raise schema.bad(pointer, "must be binary and of the same kind, or `identity`")
    return member


__all__ = [
    "BINARY_KINDS",
    "CORRECTION",
    "EPS",
    "FORMAT",
    "KINDS",
    "MULTICLASS_KINDS",
    "TINY",
    "Calibrator",
    "Params",
    "ScoreKind",
    "SlicedCalibrator",
    "Task",
    "from_dict",
    "identity",
]
