from __future__ import annotations

import json

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("flights")
MODEL = "/v2/models/flights.calibrator"


def infer(api, scores, *, name="logits", datatype="FP64", more=(), **fields):
    tensor = {
        "name": name,
        "shape": list(np.shape(scores)),
        "datatype": datatype,
        "data": np.asarray(scores).tolist(),
    }
    return api.post(f"{MODEL}/infer", {"inputs": [tensor, *more], **fields})


def calibrated(api, scores):
    body = {"score_kind": "logits", "scores": scores}
    return api.post("/v1/calibrators/flights/calibrate", body).json()["probabilities"]


def test_both_protocols_give_the_same(api):
    said = infer(api, [-1.0, 2.0], id="7").json()
    assert said["outputs"][0]["data"] == calibrated(api, [-1.0, 2.0])
    assert (said["model_name"], said["model_version"], said["id"]) == (
        "flights.calibrator",
        "1",
        "7",
    )
    assert said["parameters"] == {"calibrator_version": 1, "alias": "champion", "n_fallback": 0}


@pytest.mark.parametrize("form", ["N", "N1", "N2"])
def test_binary_scores_come_in_three_shapes(api, form):
    one = np.array([-1.0, 2.0])
    scores = {"N": one, "N1": one[:, None], "N2": np.stack([0 * one, one], axis=1)}[form]
    output = infer(api, scores).json()["outputs"][0]
    got = np.array(output["data"]).reshape(output["shape"])
    assert got.shape == scores.shape
    np.testing.assert_allclose(got if got.ndim == 1 else got[:, -1], calibrated(api, [-1.0, 2.0]))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_binary_tensors_in_and_out(api, dtype):
    scores = np.array([-1.0, 2.0], dtype=dtype)
    tensor = {
        "name": "logits",
        "shape": [2],
        "datatype": f"FP{8 * scores.itemsize}",
        "parameters": {"binary_data_size": scores.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }
    answer = api("POST", f"{MODEL}/infer", content=head + scores.tobytes(), headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    output = json.loads(answer.content[:length])["outputs"][0]
    assert output["parameters"] == {"binary_data_size": 16}
    got = np.frombuffer(answer.content[length:], "<f8")
    np.testing.assert_allclose(got, calibrated(api, [-1.0, 2.0]), rtol=1e-6)


BAD = {
    "no inputs": {},
    "two scores": {
        "inputs": [
            {"name": "logits", "shape": [1], "datatype": "FP32", "data": [1]},
            {"name": "probabilities", "shape": [1], "datatype": "FP32", "data": [1]},
        ]
    },
    "other name": {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]},
    "integers": {"inputs": [{"name": "logits", "shape": [1], "datatype": "INT32", "data": [1]}]},
    "rank three": {
        "inputs": [{"name": "logits", "shape": [1, 1, 1], "datatype": "FP32", "data": [1]}]
    },
    "no rows": {"inputs": [{"name": "logits", "shape": [0], "datatype": "FP32", "data": []}]},
    "wrong size": {"inputs": [{"name": "logits", "shape": [3], "datatype": "FP32", "data": [1]}]},
    "unknown output": {
        "inputs": [{"name": "logits", "shape": [1], "datatype": "FP32", "data": [1]}],
        "outputs": [{"name": "raw"}],
    },
    "slice of numbers": {
        "inputs": [
            {"name": "logits", "shape": [1], "datatype": "FP32", "data": [1]},
            {"name": "region", "shape": [1], "datatype": "FP32", "data": [1]},
        ]
    },
    "not a probability": {
        "inputs": [{"name": "probabilities", "shape": [1], "datatype": "FP32", "data": [2]}]
    },
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_a_400_with_one_sentence(api, body):
    answer = api.post(f"{MODEL}/infer", body)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error"}


def test_binary_data_need_the_length_of_their_head(api):
    headers = {"content-type": "application/octet-stream"}
    assert api("POST", f"{MODEL}/infer", content=b"{}", headers=headers).status_code == 400


def test_metadata_describe_inputs_and_outputs(api):
    said = api.get(MODEL).json()
    assert (said["name"], said["platform"]) == ("flights.calibrator", "calibrant")
    assert "1" in said["versions"]
    assert [one["name"] for one in said["inputs"]] == ["logits", "probabilities"]
    assert said["outputs"] == [{"name": "calibrated", "datatype": "FP64", "shape": [-1, 1]}]
    assert api.get(f"{MODEL}/versions/1").json()["outputs"] == said["outputs"]


def test_the_server_and_its_models_are_ready(api):
    assert api.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert api.get("/v2/health/live").json() == {"live": True}
    assert api.get("/v2/health/ready").json() == {"ready": True, "live": True}
    for path in (f"{MODEL}/ready", f"{MODEL}/versions/1/ready"):
        assert api.get(path).json() == {"name": "flights.calibrator", "ready": True}
    assert api.get(f"{MODEL}/versions/9/ready").status_code == 404


def test_an_unpromoted_calibrator_is_a_400_under_the_protocol(api, rows):
    made = api.post("/v1/calibrators/quiet/versions", {**rows, "method": "temperature"})
    assert made.status_code == 201, made.text
    answer = api.get("/v2/models/quiet.calibrator/ready")
    assert answer.status_code == 400
