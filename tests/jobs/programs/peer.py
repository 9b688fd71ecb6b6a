"""A bare dbos application with a parent and a shard: what takeover is tested on."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dbos import DBOS, DBOSPortableJSONSerializer

from calibrant.jobs.worker import take_over

URL, EXECUTOR, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
QUEUES = {"jobs": 32, "cpu": 1}


def note(line: str) -> None:
    with (FOLDER / "log").open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


@DBOS.workflow(name="parent", max_recovery_attempts=20)
def parent() -> str:
    DBOS.run_step({"name": "split"}, note, "split")
    queue = DBOS.retrieve_queue("cpu")
    assert queue is not None
    return queue.enqueue(shard).get_result()


@DBOS.workflow(name="shard", max_recovery_attempts=20)
def shard() -> str:
    DBOS.run_step({"name": "begin"}, note, "begin")
    return DBOS.run_step({"name": "wait"}, wait)


def wait() -> str:
    note(f"run {EXECUTOR}")
    while not (FOLDER / "release").exists():
        time.sleep(0.02)
    return f"done by {EXECUTOR}"


def main() -> None:
    DBOS(
        config={
            "name": "calibrant",
            "system_database_url": URL,
            "application_version": "jobs-v1",
            "executor_id": EXECUTOR,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
        }
    )
    DBOS.listen_queues(sys.argv[4:])
    DBOS.launch()
    for name, slots in QUEUES.items():
        DBOS.register_queue(name, worker_concurrency=slots, polling_interval_sec=0.05)
    print("ready", flush=True)
    for line in sys.stdin:
        take_over(line.split())
        print("taken", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
