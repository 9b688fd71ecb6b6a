"""Real clients against a real server: Triton's, and one that dawdles."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn

from calibrant.cli.protocol import server_config
from calibrant.settings import Settings

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("flights")]


@pytest.fixture(scope="module")
def port(api: Any) -> Iterator[int]:
    """Serve the application of the other tests on a port of its own."""
    config = server_config(api.app, Settings(port=0, header_timeout=1.0))
    config.lifespan = "off"  # the fixture `api` has started it already
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture
def triton(port: int) -> Iterator[Any]:
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(f"127.0.0.1:{port}")
    yield client
    client.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_tritons_client_gets_what_our_own_route_gives(api, triton, binary):
    import tritonclient.http as http

    scores = np.array([[-1.5], [0.0], [2.0]])
    tensor = http.InferInput("logits", list(scores.shape), "FP64")
    tensor.set_data_from_numpy(scores, binary_data=binary)
    output = http.InferRequestedOutput("calibrated", binary_data=binary)
    got = triton.infer("flights.calibrator", [tensor], outputs=[output], request_id="r1")
    body = {"score_kind": "logits", "scores": scores[:, 0].tolist()}
    expected = api.post("/v1/calibrators/flights/calibrate", body).json()["probabilities"]
    np.testing.assert_array_equal(got.as_numpy("calibrated")[:, 0], expected)
    assert got.get_response()["id"] == "r1"


@pytest.mark.filterwarnings("ignore")
def test_tritons_client_reads_health_and_metadata(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("flights.calibrator")
    assert triton.get_server_metadata()["name"] == "calibrant"
    assert (
        triton.get_model_metadata("flights.calibrator", "1")["outputs"][0]["name"] == "calibrated"
    )


@pytest.mark.filterwarnings("ignore")
def test_tritons_client_understands_our_failures(triton):
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException

    tensor = http.InferInput("nonsense", [1], "FP64")
    tensor.set_data_from_numpy(np.zeros(1))
    with pytest.raises(InferenceServerException, match="exactly one input"):
        triton.infer("flights.calibrator", [tensor])


def test_half_a_head_is_closed_at_its_deadline(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /v1/calibrators/flights/calibrate HTTP/1.1\r\nHost: x\r\n")
        connection.settimeout(5)
        start = time.monotonic()
        assert connection.recv(1000) == b""
        assert time.monotonic() - start < 3
