"""Any process is killed at any moment: accepted work ends once, acknowledged changes stay."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(420)]

SECONDS = 70.0
VICTIMS = ("api", "worker", "child", "running")
RNG = random.Random(8)
N_ROWS = 400
SCORES = [round(RNG.uniform(0.02, 0.98), 6) for _ in range(N_ROWS)]
LABELS = [int(RNG.random() < score**1.5) for score in SCORES]
ROWS = {
    "task": "binary",
    "score_kind": "probabilities",
    "scores": SCORES,
    "labels": LABELS,
    "ids": [f"row-{row}" for row in range(N_ROWS)],
}
CALL = {"score_kind": "probabilities", "scores": [0.2, 0.7]}


class Clients:
    """Callers that try again with the same idempotency key until they are answered."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        self._url, self.stop = url, stop
        self.fits: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.tables: list[dict[str, Any]] = []
        self.moves: list[tuple[str, int]] = []
        self.served: list[tuple[float, int]] = []
        self.wrong: list[str] = []
        self.tries: Counter[str] = Counter()

    def insist(self, method: str, path: str, **given: Any) -> httpx.Response | None:
        """Send a request until it is answered; None if the end came first."""
        headers = {**given.pop("headers", {}), "idempotency-key": str(uuid.uuid4())}
        while True:
            try:
                with httpx.Client(base_url=self._url, timeout=90, trust_env=False) as http:
                    answer = http.request(method, path, headers=headers, **given)
            except httpx.TransportError:
                answer = None
            self.tries[path.rsplit("/", 1)[-1]] += 1
            if answer is not None and answer.status_code in {200, 201, 202}:
                return answer
            if answer is not None and answer.status_code not in {409, 429, 503}:
                self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                return None
            if self.stop.is_set() and self.tries["late"] > 2_000:
                return None
            self.tries["late"] += self.stop.is_set()
            time.sleep(0.2)

    def fit(self, name: str) -> None:
        body = {**ROWS, "method": "temperature"}
        answer = self.insist("POST", f"/v1/calibrators/{name}/versions", json=body)
        if answer is not None and (made := self.outcome(answer)) is not None:
            self.fits.append({"name": name, "version": made["version"]})
            version = made["version"]
            moved = self.insist(
                "PUT", f"/v1/calibrators/{name}/aliases/champion", json={"version": version}
            )
            if moved is not None:
                self.moves.append((name, version))

    def evaluate(self, _: str) -> None:
        headers = {"prefer": "respond-async"}
        answer = self.insist("POST", "/v1/evaluations", json=ROWS, headers=headers)
        if answer is not None and (made := self.outcome(answer)) is not None:
            self.reports.append(made)

    def upload(self, _: str) -> None:
        csv = "p,y\n" + "".join(f"{s},{y}\n" for s, y in zip(SCORES, LABELS, strict=True))
        headers = {"content-type": "text/csv", "prefer": "respond-async"}
        answer = self.insist("POST", "/v1/datasets", content=csv, headers=headers)
        if answer is not None and (made := self.outcome(answer)) is not None:
            self.tables.append(made)

    def outcome(self, answer: httpx.Response) -> dict[str, Any] | None:
        """Return what a request made, following its job where it was only accepted."""
        found: dict[str, Any] = answer.json()
        if answer.status_code != 202:
            return found
        job_id = found["id"]
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self._url}/v1/jobs/{job_id}", timeout=30, trust_env=False)
                job = answer.json()
                if answer.status_code == 200 and job["state"] == "succeeded":
                    return dict(job["result"])
                if answer.status_code == 200 and job["state"] in {"failed", "cancelled"}:
                    self.wrong.append(f"{job_id}: {job}")
                    return None
                if answer.status_code == 404:
                    self.wrong.append(f"accepted and unknown: {job_id}")
                    return None
            time.sleep(0.2)
        self.wrong.append(f"{job_id} never ended")
        return None

    def serve(self, _: str) -> None:
        """Calibrate as a server does, and note when that worked."""
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.post(
                f"{self._url}/v1/calibrators/first/calibrate",
                json=CALL,
                timeout=10,
                trust_env=False,
            )
            self.served.append((time.monotonic(), answer.status_code))
            if answer.status_code not in {200, 503}:
                self.wrong.append(f"calibrate: {answer.status_code} {answer.text[:300]}")
        time.sleep(0.02)

    def repeat(self, work: Callable[[str], None], names: list[str]) -> threading.Thread:
        def run() -> None:
            for name in itertools.cycle(names):
                if self.stop.is_set():
                    return
                work(name)

        thread = threading.Thread(target=run, name=work.__name__)
        thread.start()
        return thread


@pytest.fixture(scope="module")
def aftermath(run_service, tmp_path_factory):
    """Run clients while processes are killed; give the service after it has come to rest."""
    with run_service(tmp_path_factory.mktemp("killed") / "data", LOG_LEVEL="info") as service:
        made = service.http.post(
            "/v1/calibrators/first/versions",
            json={**ROWS, "method": "temperature", "alias": "champion"},
        )
        assert made.status_code == 201, made.text
        stop = threading.Event()
        clients = Clients(service.url, stop)
        threads = [
            clients.repeat(clients.fit, ["one", "two"]),
            clients.repeat(clients.fit, ["two", "one"]),
            clients.repeat(clients.evaluate, [""]),
            clients.repeat(clients.upload, [""]),
            clients.repeat(clients.serve, [""]),
        ]
        kills = kill_in_turn(service)
        stop.set()
        for thread in threads:
            thread.join(timeout=240)
        assert not any(thread.is_alive() for thread in threads), "a client was never answered"
        service.until(service.is_ready, 60)
        service.until(lambda: not unfinished(service), 120)
        print(f"\nkills: {dict(Counter(victim for victim, _, _ in kills))}")
        for victim in VICTIMS:
            times = [
                seconds for name, seconds, _ in kills if name == victim and seconds is not None
            ]
            if times:
                print(
                    f"back after {victim}: median {sorted(times)[len(times) // 2]:.2f} s, longest {max(times):.2f} s"
                )
        print(
            f"fits {len(clients.fits)}, evaluations {len(clients.reports)}, uploads "
            f"{len(clients.tables)}, moves {len(clients.moves)}, calibrations {len(clients.served)}"
        )
        yield service, clients, kills


def kill_in_turn(service) -> list[tuple[str, float | None, float]]:
    """Kill one part after the other; note how long it took to have it back, and when it was."""
    kills: list[tuple[str, float | None, float]] = []
    end = time.monotonic() + SECONDS
    for victim in itertools.cycle(VICTIMS):
        if time.monotonic() >= end:
            return kills
        time.sleep(RNG.uniform(0.5, 2.5))
        wait = 10.0
        with contextlib.suppress(AssertionError):
            pid = service.until(lambda victim=victim: service.part(victim), wait)
            at = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            back = None
            if victim != "running":
                service.until(
                    lambda victim=victim, pid=pid: service.part(victim) not in {None, pid}, 30
                )
                if victim == "api":
                    service.until(service.is_ready, 60)
                back = time.monotonic() - at
            kills.append((victim, back, at))
    raise AssertionError("unreachable")


def unfinished(service) -> list[str]:
    with sqlite3.connect(service.folder / "calibrant.sqlite") as database:
        rows = database.execute(
            "SELECT id FROM jobs WHERE state IN ('queued', 'running')"
        ).fetchall()
    database.close()
    return [row[0] for row in rows]


def table(service, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(service.folder / "calibrant.sqlite") as database:
        rows = database.execute(query).fetchall()
    database.close()
    return rows


def test_every_kind_of_process_was_killed_and_came_back(aftermath):
    _, clients, kills = aftermath
    counts = Counter(victim for victim, _, _ in kills)
    assert set(counts) == set(VICTIMS), counts
    assert min(counts.values()) >= 2, counts
    assert clients.fits
    assert clients.reports
    assert clients.tables


def test_nobody_was_answered_something_wrong(aftermath):
    _, clients, _ = aftermath
    assert clients.wrong == []


def test_every_accepted_job_ended_once_with_one_result(aftermath):
    service, _, _ = aftermath
    states = dict(table(service, "SELECT state, count(*) FROM jobs GROUP BY state"))
    assert set(states) == {"succeeded"}, states
    for kind, operation in (
        ("datasets", "ingest"),
        ("evaluations", "evaluate"),
        ("calibrator_versions", "fit"),
    ):
        jobs = table(service, f"SELECT id FROM jobs WHERE operation = '{operation}'")
        made = table(service, f"SELECT job_id FROM {kind} WHERE job_id IS NOT NULL")
        of_others = {row[0] for row in jobs}
        mine = [row[0] for row in made if row[0] in of_others]
        assert sorted(mine) == sorted(of_others), kind


def test_no_version_is_missing_or_doubled(aftermath):
    service, clients, _ = aftermath
    for name in ("one", "two"):
        found = [
            row[0]
            for row in table(
                service, f"SELECT version FROM calibrator_versions WHERE name = '{name}' ORDER BY 1"
            )
        ]
        assert found == list(range(1, len(found) + 1))
        answered = [fit["version"] for fit in clients.fits if fit["name"] == name]
        assert len(answered) == len(set(answered)), "two requests were answered with one version"
        assert set(answered) <= set(found)


def test_a_request_with_a_key_happened_once(aftermath):
    """Every POST carried a key and was repeated until answered: it may have made one thing."""
    service, clients, _ = aftermath
    made = Counter(
        row[0]
        for row in table(service, "SELECT name FROM calibrator_versions WHERE name != 'first'")
    )
    assert sum(made.values()) == len(clients.fits), (made, len(clients.fits))
    assert len(table(service, "SELECT 1 FROM datasets")) == len(clients.tables)
    whole = table(
        service,
        "SELECT 1 FROM evaluations WHERE job_id IN (SELECT id FROM jobs WHERE operation = 'evaluate')",
    )
    assert len(whole) == len(clients.reports)


def test_every_acknowledged_move_is_in_the_audit_trail_and_in_force(aftermath):
    service, clients, _ = aftermath
    trail = table(
        service,
        "SELECT object, json_extract(detail, '$.version') FROM audit WHERE action = 'alias.set'",
    )
    recorded = {(object_.removeprefix("calibrators/"), version) for object_, version in trail}
    for name, version in clients.moves:
        assert (f"{name}@champion", version) in recorded
    for name in {name for name, _ in clients.moves}:
        last = [version for object_, version in trail if object_ == f"calibrators/{name}@champion"][
            -1
        ]
        answer = service.http.get(f"/v1/calibrators/{name}").json()
        assert answer["aliases"]["champion"] == last
        served = service.http.post(f"/v1/calibrators/{name}/calibrate", json=CALL).json()
        assert served["version"] == last


def test_serving_went_on_between_deaths_of_the_api(aftermath):
    _, clients, kills = aftermath
    good = [at for at, status in clients.served if status == 200]
    assert len(good) > 100
    deaths = sorted(at for victim, _, at in kills if victim == "api")
    for first, last in itertools.pairwise([*deaths, good[-1]]):
        assert any(first < at <= last for at in good)
    quiet = [
        (victim, at)
        for victim, _, at in kills
        if victim != "api" and not any(at - 5 < death < at + 15 for death in deaths)
    ]
    for victim, at in quiet:
        # the machine may be slow, but the first answer after the kill is a good one
        first = next((status for moment, status in clients.served if moment >= at), 200)
        assert first == 200, f"{victim} held up serving"


def test_a_killed_supervisor_leaves_no_orphan(run_service, tmp_path, alive):
    with run_service(tmp_path / "data") as service:
        service.until(lambda: service.part("child"), 60)
        tree = service.tree()
        assert len(tree) >= 4
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        service.until(lambda: not any(map(alive, tree)), 5)
        service.start()
        assert service.http.get("/v1/jobs").status_code == 200
