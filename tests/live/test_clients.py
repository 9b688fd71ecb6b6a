"""A client that is not ours: tritonclient over the Open Inference Protocol."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    triton = pytest.importorskip("tritonclient.http")

pytestmark = pytest.mark.live

RNG = np.random.default_rng(4)
Z = RNG.normal(size=(2_000, 3))
SHARP = 2.0 * Z
CLASSES = np.array([RNG.choice(3, p=np.exp(z) / np.exp(z).sum()) for z in Z])


@pytest.fixture(scope="module")
def models(service) -> dict[str, str]:
    """Fit a binary and a multiclass calibrator and promote them."""
    bodies: dict[str, dict[str, Any]] = {
        "triton-binary": {
            "task": "binary",
            "scores": (SHARP[:, 1] - SHARP[:, 0]).tolist(),
            "labels": (RNG.random(2000) < 1 / (1 + np.exp(Z[:, 0] - Z[:, 1]))).astype(int).tolist(),
        },
        "triton-classes": {
            "task": "multiclass",
            "scores": SHARP.tolist(),
            "labels": CLASSES.tolist(),
        },
    }
    for name, body in bodies.items():
        made = service.http.post(
            f"/v1/calibrators/{name}/versions",
            json={**body, "score_kind": "logits", "method": "temperature", "alias": "champion"},
        )
        assert made.status_code == 201, made.text
    return {name: f"{name}.calibrator" for name in bodies}


@pytest.fixture
def client(service) -> Iterator[Any]:
    opened = triton.InferenceServerClient(url=f"127.0.0.1:{service.port}")
    yield opened
    opened.close()


def ours(service, name: str, scores: Any) -> np.ndarray:
    body = {"score_kind": "logits", "scores": np.asarray(scores, dtype=float).tolist()}
    answer = service.http.post(f"/v1/calibrators/{name}/calibrate", json=body)
    return np.array(answer.json()["probabilities"])


def tensor(name: str, values: np.ndarray, *, binary: bool) -> Any:
    made = triton.InferInput(name, list(values.shape), f"FP{8 * values.itemsize}")
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_the_client_finds_a_live_and_ready_server(client, models):
    assert client.is_server_live()
    assert client.is_server_ready()
    for model in models.values():
        assert client.is_model_ready(model)
    assert not client.is_model_ready("nobody.calibrator")


def test_metadata_names_the_tensors(client, models):
    assert client.get_server_metadata()["name"] == "calibrant"
    found = client.get_model_metadata(models["triton-classes"])
    assert found["versions"] == ["1"]
    assert "logits" in {one["name"] for one in found["inputs"]}
    assert found["outputs"][0]["name"] == "calibrated"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("name", ["triton-binary", "triton-classes"])
def test_tensors_go_in_and_come_out(service, client, models, name, binary_in, binary_out, dtype):
    scores = (SHARP if name == "triton-classes" else SHARP[:, 1] - SHARP[:, 0])[:64].astype(dtype)
    wanted = [triton.InferRequestedOutput("calibrated", binary_data=binary_out)]
    found = client.infer(
        models[name], [tensor("logits", scores, binary=binary_in)], outputs=wanted, request_id="7"
    )
    answer = found.as_numpy("calibrated")
    assert answer.shape == scores.shape
    np.testing.assert_allclose(answer, ours(service, name, scores), rtol=1e-5)
    response = found.get_response()
    assert (response["id"], response["model_version"]) == ("7", "1")


def test_a_version_is_asked_for_by_number(client, models):
    scores = np.zeros((1, 3), np.float32)
    found = client.infer(
        models["triton-classes"], [tensor("logits", scores, binary=True)], model_version="1"
    )
    np.testing.assert_allclose(found.as_numpy("calibrated"), 1 / 3, rtol=1e-6)


def test_a_wrong_tensor_is_refused_in_words(client, models):
    with pytest.raises(triton.InferenceServerException, match="logits"):
        client.infer(
            models["triton-classes"], [tensor("beauty", np.zeros((1, 3), np.float32), binary=True)]
        )
