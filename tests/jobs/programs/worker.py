"""A worker as in production, but for its zygote and for what it does with results."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

from calibrant.errors import Conflict, Unavailable
from calibrant.jobs import WorkerConfig, run_worker

ZYGOTE = (sys.executable, str(Path(__file__).with_name("zygote.py")))


def main(told: dict[str, object]) -> None:
    commits = Path(str(told.pop("commits")))

    def commit(job_id: str, operation: str, reply: str) -> str:
        with commits.open("a", encoding="utf-8") as log:
            log.write(f"{job_id} {operation} {os.getpid()}\n")
        if reply == "conflict":
            raise Conflict("Somebody was faster.")
        if reply == "away":
            raise Unavailable("The metadata is away.")
        if reply == "bug":
            raise RuntimeError("a secret of the result")
        if reply == "slow":
            time.sleep(2)
        return f"stored:{reply}"

    run_worker(WorkerConfig(command=ZYGOTE, **told), commit)  # type: ignore[arg-type]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s")
    main(json.loads(sys.argv[1]))
