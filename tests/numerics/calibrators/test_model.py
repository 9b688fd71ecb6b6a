"""Stored calibrators: exact round trip, strict reading."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrant.errors import BadRequest, CalibrantError, Unusable
from calibrant.numerics.calibrators import schema
from calibrant.numerics.calibrators.apply import calibrate
from calibrant.numerics.calibrators.fit import fit
from calibrant.numerics.calibrators.model import (
    BINARY_KINDS,
    KINDS,
    MULTICLASS_KINDS,
    Calibrator,
    SlicedCalibrator,
    from_dict,
    identity,
)

OPTIONS = {"histogram": {"binning": "mass"}}


def fitted(kind: str, task: str, rng: np.random.Generator) -> tuple[Calibrator, np.ndarray]:
    z = rng.normal(0, 2, (400, 3) if task == "multiclass" else 400)
    if task == "multiclass":
        y = (z / 1.5 + rng.gumbel(size=z.shape)).argmax(1)
    else:
        y = (rng.random(400) < 1 / (1 + np.exp(-z / 1.5))).astype(int)
    found = fit(kind, z, y, task=task, score_kind="logits", options=OPTIONS.get(kind), force=True)
    return found.calibrator, z


PAIRS = [(kind, "multiclass") for kind in KINDS] + [
    (kind, "binary") for kind in KINDS if kind not in MULTICLASS_KINDS
]


@pytest.mark.parametrize(("kind", "task"), PAIRS)
def test_every_kind_survives_json_exactly(kind: str, task: str, rng: np.random.Generator) -> None:
    calibrator, z = fitted(kind, task, rng)
    assert calibrator.kind == kind
    again = Calibrator.from_dict(json.loads(json.dumps(calibrator.to_dict())))
    assert again.to_dict() == calibrator.to_dict()
    assert np.array_equal(
        calibrate(again, z, score_kind="logits"), calibrate(calibrator, z, score_kind="logits")
    )


@given(
    st.floats(min_value=0, allow_nan=False, allow_infinity=False, exclude_min=True),
    st.floats(-1e300, 1e300),
)
def test_numbers_survive_bit_for_bit(a: float, b: float) -> None:
    calibrator = Calibrator("platt", "binary", 2, {"a": a, "b": b})
    again = Calibrator.from_dict(json.loads(json.dumps(calibrator.to_dict())))
    assert (again.params["a"], again.params["b"]) == (a, b)


def sliced() -> SlicedCalibrator:
    return SlicedCalibrator(
        Calibrator("temperature", "binary", 2, {"temperature": 1.5}, 0.001),
        ("origin", "hour"),
        {
            ("JFK", "early"): Calibrator("platt", "binary", 2, {"a": 0.9, "b": 0.1}),
            ("LGA", "late"): identity("binary", 2),
        },
    )


def test_sliced_calibrators_survive_json() -> None:
    data = json.loads(json.dumps(sliced().to_dict()))
    again = from_dict(data)
    assert isinstance(again, SlicedCalibrator)
    assert again.to_dict() == sliced().to_dict()
    assert list(again.members) == [("JFK", "early"), ("LGA", "late")]


def test_read_arrays_cannot_be_changed() -> None:
    x = Calibrator("isotonic_centered", "binary", 2, {"x": np.array([0.1]), "y": np.array([0.2])})
    again = Calibrator.from_dict(x.to_dict())
    with pytest.raises(ValueError, match="read-only"):
        again.params["x"][0] = 1.0  # type: ignore[index]


def stored(kind: str = "platt", **params: Any) -> dict[str, Any]:
    return {
        "format": 1, "type": "calibrator", "kind": kind, "task": "binary", "n_classes": 2,
        "params": params or {"a": 1.0, "b": 0.0}, "uniform_mix": 0.0, "classes": [],
    }  # fmt: skip


@pytest.mark.parametrize("data", [None, [], "x", 1, {}, {"format": 2}, {"format": True}, {"format": 1.0},
                                  {"format": 1, "type": "pickle"}])  # fmt: skip
def test_what_is_no_calibrator_is_a_bad_request(data: object) -> None:
    with pytest.raises(BadRequest):
        from_dict(data)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": "quadratic"}, "/kind"),
        ({"kind": ["platt"]}, "/kind"),
        ({"task": "ranking"}, "/task"),
        ({"n_classes": 3}, "/n_classes"),
        ({"n_classes": True}, "/n_classes"),
        ({"n_classes": 2.0}, "/n_classes"),
        ({"n_classes": 10**9, "task": "multiclass"}, "/n_classes"),
        ({"uniform_mix": 1.0}, "/uniform_mix"),
        ({"uniform_mix": "0"}, "/uniform_mix"),
        ({"uniform_mix": float("nan")}, "/uniform_mix"),
        ({"classes": [stored()]}, "/classes"),
        ({"classes": None}, "/classes"),
        ({"params": []}, "/params"),
        ({"params": {"a": 1.0}}, "/params/b"),
        ({"params": {"a": 1.0, "b": 0.0, "c": 0.0}}, "/params"),
        ({"params": {"a": "1", "b": 0.0}}, "/params/a"),
        ({"params": {"a": True, "b": 0.0}}, "/params/a"),
        ({"params": {"a": -1.0, "b": 0.0}}, "/params/a"),
        ({"params": {"a": 1.0, "b": float("inf")}}, "/params/b"),
        ({"params": {"a": 1.0, "b": 10**400}}, "/params/b"),
        ({"extra": 1}, "/"),
        ({"kind": "svs"}, "/kind"),
    ],
)
def test_each_broken_field_is_named(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Unusable) as caught:
        Calibrator.from_dict(stored() | change)
    assert caught.value.errors[0].pointer == pointer


@pytest.mark.parametrize(
    ("kind", "params", "name"),
    [
        ("temperature", {"temperature": 0.0}, "temperature"),
        ("beta", {"a": 1.0, "b": -0.1, "c": 0.0}, "b"),
        ("isotonic", {"x": [0.1, 0.1], "y": [0.1, 0.2], "interpolation": "linear"}, "x"),
        ("isotonic", {"x": [0.1, 0.2], "y": [0.3, 0.2], "interpolation": "linear"}, "y"),
        ("isotonic", {"x": [0.1, 0.2], "y": [0.3], "interpolation": "linear"}, "y"),
        ("isotonic", {"x": [], "y": [], "interpolation": "linear"}, "x"),
        ("isotonic", {"x": [0.1], "y": [0.3], "interpolation": "cubic"}, "interpolation"),
        ("isotonic", {"x": [[0.1]], "y": [0.3], "interpolation": "step"}, "x"),
        ("isotonic", {"x": "0.1", "y": [0.3], "interpolation": "step"}, "x"),
        ("isotonic_centered", {"x": [0.1], "y": [1.5]}, "y"),
        ("histogram", {"edges": [0.0, 1.0], "values": [0.1, 0.2], "binning": "width"}, "values"),
        ("histogram", {"edges": [1.0, 0.0], "values": [0.1], "binning": "width"}, "edges"),
        ("ets", {"temperature": 1.0, "weights": [0.5, 0.5, 0.5]}, "weights"),
        ("ets", {"temperature": 1.0, "weights": [1.5, -0.5, 0.0]}, "weights"),
        ("ets", {"temperature": 1.0, "weights": [1.0, 0.0]}, "weights"),
        ("venn_abers", {"x0": [0.1], "p0": [0.1], "x1": [], "p1": [1.0]}, "p0"),
        ("venn_abers", {"x0": [], "p0": [0.2, 0.1], "x1": [], "p1": [1.0]}, "p0"),
    ],
)
def test_each_rule_of_each_kind_holds(kind: str, params: dict[str, Any], name: str) -> None:
    with pytest.raises(Unusable) as caught:
        Calibrator.from_dict(stored(kind, **params))
    assert caught.value.errors[0].pointer == f"/params/{name}"


def test_matrices_have_the_right_shape() -> None:
    data = stored("dirichlet", matrix=[[1.0, 0.0], [0.0, 1.0]], bias=[0.0, 0.0, 0.0])
    data |= {"task": "multiclass", "n_classes": 3}
    with pytest.raises(Unusable, match="shape"):
        Calibrator.from_dict(data)
    data["params"]["matrix"] = [[1.0, 0.0, 0.0], [0.0, 1.0], [0.0, 0.0, 1.0]]
    with pytest.raises(Unusable, match="shape"):
        Calibrator.from_dict(data)


def test_off_diagonal_matrices_have_a_zero_diagonal() -> None:
    data = stored(
        "sms", temperature=1.0, smoothing=0.0, scale=[1.0] * 3, bias=[0.0] * 3,
        matrix=np.eye(3).tolist(),
    ) | {"task": "multiclass", "n_classes": 3}  # fmt: skip
    with pytest.raises(Unusable, match="diagonal"):
        Calibrator.from_dict(data)


@pytest.mark.parametrize("kind", BINARY_KINDS)
def test_one_versus_rest_holds_one_member_a_class(kind: str) -> None:
    member = {k: v for k, v in stored().items() if k not in {"format", "type"}}
    data = stored(kind) | {"task": "multiclass", "n_classes": 3, "params": {}}
    with pytest.raises(Unusable, match="classes"):
        Calibrator.from_dict(data | {"classes": [member] * 2})
    wrong = [member | {"kind": "temperature", "params": {"temperature": 1.0}}] * 3
    with pytest.raises(Unusable, match="classes"):
        Calibrator.from_dict(data | {"classes": wrong})


def test_members_do_not_nest() -> None:
    inner = {k: v for k, v in stored().items() if k not in {"format", "type"}}
    deep = inner | {"task": "multiclass", "n_classes": 3, "params": {}, "classes": [inner] * 3}
    data = stored() | {"task": "multiclass", "n_classes": 3, "params": {}, "classes": [deep] * 3}
    with pytest.raises(Unusable):
        Calibrator.from_dict(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("dimensions",), []),
        (("dimensions",), ["a", "a"]),
        (("dimensions",), "ab"),
        (("members", 0, "slice"), ["JFK"]),
        (("members", 0, "slice"), ["LGA", "late"]),
        (("members", 0, "slice"), [1, 2]),
        (("members", 0, "calibrator", "kind"), "isotonic"),
        (("members", 0), {}),
        (("members",), {}),
        (("pooled",), None),
    ],
)
def test_broken_sliced_calibrators_are_refused(path: tuple[Any, ...], value: object) -> None:
    data = copy.deepcopy(sliced().to_dict())
    place: Any = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(Unusable):
        SlicedCalibrator.from_dict(data)


def test_a_correction_of_another_kind_is_refused() -> None:
    data = sliced().to_dict()
    data["members"][0]["calibrator"] |= {"kind": "temperature", "params": {"temperature": 1.0}}
    with pytest.raises(Unusable, match="correction"):
        from_dict(data)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(schema.SHAPES)), st.data())
def test_no_stored_form_does_anything_but_read_or_refuse(kind: str, data: st.DataObject) -> None:
    shape = schema.SHAPES[kind]
    body = stored(kind) | {"params": {name: data.draw(JUNK) for name in shape}}
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JUNK)
    with contextlib.suppress(CalibrantError):
        assert isinstance(from_dict(body), Calibrator | SlicedCalibrator)


def test_fitting_code_is_not_loaded_with_the_model() -> None:
    import subprocess

    program = (
        "import sys, calibrant.numerics.calibrators.fit, calibrant.numerics.calibrators.auto;"
        "import calibrant.numerics.calibrators.sliced, calibrant.numerics.calibrators.apply;"
        "bad = {'numba', 'scipy.optimize', 'scipy.stats', 'torch', 'sklearn'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
