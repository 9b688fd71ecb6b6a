"""Serving over real HTTP: CPU per request of the server's process tree, ours against others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench import environments
from tests.bench.footprint import Bar, resident
from tests.bench.measured import Effort, Result, Say
from tests.bench.process import Broken
from tests.bench.rounds import Timing
from tests.bench.samples import logits
from tests.bench.server import Request, Server, free_port

SERVERS = Path(__file__).parent / "servers"
WARM_SECONDS = 1.0
NAME = "bench"
JSON = {"Content-Type": "application/json"}

ECHO = "ASGI echo"
PYDANTIC = "FastAPI + pydantic"
SKLEARN = "FastAPI + CalibratedClassifierCV"
PEERS = {
    ECHO: ("echo", "echo.py"),
    PYDANTIC: ("fastapi", "fastapi_pydantic.py"),
    SKLEARN: ("fastapi-sklearn", "fastapi_sklearn.py"),
}


@dataclass(frozen=True, slots=True)
class ServingCase:
    """One request given to several servers, ours first; `target` as in `measured.Result`."""

    key: str
    title: str
    rows: int
    connections: int
    ours: tuple[str, ...]
    peers: tuple[str, ...]
    judged: str
    target: float
    at_most: bool = False


CASES = (
    ServingCase(
        "serve-1",
        "calibrate over HTTP, 1 row of 10 logits, 16 connections",
        1,
        16,
        ("calibrant JSON", "calibrant OIP binary"),
        (ECHO, PYDANTIC, SKLEARN),
        judged=ECHO,
        target=1.6,
        at_most=True,
    ),
    ServingCase(
        "serve-4096",
        "calibrate over HTTP, 4,096 rows of 10 logits, 4 connections",
        4096,
        4,
        ("calibrant OIP binary", "calibrant JSON"),
        (PYDANTIC,),
        judged="calibrant JSON",
        target=10.0,
    ),
)


def run(case: ServingCase, effort: Effort, say: Say) -> tuple[Result, list[Bar]]:
    """Measure one case; also return what our API process took in memory."""
    rows = logits(case.rows)["scores"]
    timings: list[Timing] = []
    bars: list[Bar] = []
    with ExitStack() as stack:
        taking_part: list[tuple[Timing, Server, Request]] = []
        try:
            server, key = stack.enter_context(calibrant(say))
            versions = {"calibrant": _version()}
            bars.append(resident(f"API process, idle before {case.key}", server))
        except Broken as error:
            say(f"skipped calibrant: {error}")
            timings += [Timing(name, missing=str(error)) for name in case.ours]
        else:
            for name in case.ours:
                timings.append(Timing(name, versions))
                request = _REQUESTS[name](rows, key, case.connections)
                taking_part.append((timings[-1], server, request))
        for name in case.peers:
            timings.append(Timing(name))
            peer = _peer(name, timings[-1], stack, say)
            if peer is not None:
                body = json.dumps({"scores": rows.astype(float).tolist()}).encode()
                request = Request("/", body, JSON, case.connections)
                taking_part.append((timings[-1], peer, request))
        _alternate(taking_part, effort, say)
        if timings[0].cpu:
            bars.append(resident(f"API process, warmed by {case.key}", taking_part[0][1]))
    result = Result(
        case.key,
        case.title,
        timings,
        target=case.target,
        at_most=case.at_most,
        judged=(case.judged,),
        unit="request",
    )
    return result, bars


def _alternate(taking_part: list[tuple[Timing, Server, Request]], effort: Effort, say: Say) -> None:
    """Load the servers in turn, A, B, A, B."""
    seconds = max(1.0, 5 * effort.seconds)
    fit: list[tuple[Timing, Server, Request]] = []
    for timing, server, request in taking_part:
        try:
            heard = server.load(request, WARM_SECONDS)
            timing.wrong = _judge(heard["response"], request)
            fit.append((timing, server, request))
        except Broken as error:
            timing.missing = str(error)
            say(f"skipped {timing.name}: {error}")
    for _ in range(effort.rounds):
        for timing, server, request in fit:
            heard = server.load(request, seconds)
            timing.cpu.append(heard["cpu"])
            timing.repeats = heard["requests"]
            timing.figures = {
                "requests/s": heard["per_second"],
                "p50 ms": heard["p50_ms"],
                "p99 ms": heard["p99_ms"],
            }


def _judge(response: str, request: Request) -> str:
    """Say what is wrong with probabilities: JSON answers only, an echo has none."""
    body = bytes.fromhex(response).partition(b"\r\n\r\n")[2]
    if request.path.endswith("/infer") or body == request.body:
        return ""
    rows = np.array(json.loads(body)["probabilities"])
    off = float(np.abs(rows.sum(axis=1) - 1.0).max())
    return "" if off < 1e-9 else f"rows miss 1 by {off:.2g}"


def _peer(name: str, timing: Timing, stack: ExitStack, say: Say) -> Server | None:
    environment, file = PEERS[name]
    try:
        python = environments.python(environment, say)
        port = free_port()
        server = stack.enter_context(Server([python, SERVERS / file, str(port)], port))
    except (environments.Unavailable, Broken) as error:
        timing.missing = str(error)
        say(f"skipped {name}: {error}")
        return None
    timing.versions = {
        pin.partition("==")[0]: pin.partition("==")[2] for pin in environments.PINS[environment]
    }
    return server


def _json_request(rows: Any, key: str, connections: int) -> Request:
    body = {"score_kind": "logits", "scores": rows.astype(float).tolist()}
    return Request(
        f"/v1/calibrators/{NAME}/calibrate",
        json.dumps(body).encode(),
        {**JSON, "Authorization": f"Bearer {key}"},
        connections,
    )


def _binary_request(rows: Any, key: str, connections: int) -> Request:
    tensor = rows.astype("<f4").tobytes()
    said = {
        "inputs": [
            {
                "name": "logits",
                "datatype": "FP32",
                "shape": list(rows.shape),
                "parameters": {"binary_data_size": len(tensor)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(said).encode()
    return Request(
        f"/v2/models/{NAME}.calibrator/infer",
        head + tensor,
        {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
            "Authorization": f"Bearer {key}",
        },
        connections,
    )


_REQUESTS: dict[str, Callable[[Any, str, int], Request]] = {
    "calibrant JSON": _json_request,
    "calibrant OIP binary": _binary_request,
}


@contextmanager
def calibrant(say: Say) -> Iterator[tuple[Server, str]]:
    """Yield our API process, alone and with keys on, with a fitted champion; and a key."""
    command = Path(sys.executable).with_name("calibrant")
    with tempfile.TemporaryDirectory(prefix="calibrant-bench-") as folder:
        port = free_port()
        environment = {
            "CALIBRANT_DATA_DIR": folder,
            "CALIBRANT_PORT": str(port),
            "CALIBRANT_AUTH": "keys",
            "CALIBRANT_LOG_LEVEL": "warning",
            "NUMBA_CACHE_DIR": str(environments.HOME / "kernels"),
        }
        made = subprocess.run(
            [command, "keys", "create"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise Broken(made.stderr.strip() or "a key could not be made")
        key = made.stdout.strip()
        say("fitting a temperature in a service of its own ...")
        with Server(
            [command, "serve"], port, environment=environment, ready="/readyz", pinned=False
        ) as whole:
            _fit(whole, key)
        with Server([command, "api"], port, environment=environment, ready="/readyz") as server:
            yield server, key


def _fit(server: Server, key: str) -> None:
    """Fit a temperature and make it the champion."""
    made = logits(3000)
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    body = {
        "task": "multiclass",
        "score_kind": "logits",
        "scores": made["scores"].astype(float).round(4).tolist(),
        "labels": made["labels"].tolist(),
        "method": "temperature",
        "holdout": {"fraction": 0.3},
        "alias": "champion",
    }
    status, found, answer = server.call("POST", f"/v1/calibrators/{NAME}/versions", body, headers)
    until = time.monotonic() + 120
    while status == 202 and time.monotonic() < until:
        time.sleep(0.5)
        _, _, job = server.call("GET", found["location"], None, headers)
        if job["state"] in {"failed", "cancelled"}:
            raise Broken(f"the fit failed: {job}")
        if job["state"] == "succeeded":
            return
    if status not in {200, 201}:
        raise Broken(f"the fit answered {status}: {answer}")


def _version() -> str:
    from calibrant import __version__

    return __version__
