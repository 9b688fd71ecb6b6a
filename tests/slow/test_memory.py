"""A table larger than memory is evaluated by the child within its budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
N_ROWS, N_CLASSES, CHUNK = 10_000_000, 10, 250_000
BUDGET_KIB = 2**20

CHILD = """
import json, sys, time
from calibrant.operations import verbs
from calibrant.settings import Settings
from calibrant.runtime import open_context

settings = Settings(data_dir=sys.argv[1])
verbs.preload()
def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))
before = resident("VmHWM")
began = time.monotonic()
with open_context(settings, migrate=False) as context:
    reply = verbs.compute(context, "evaluate", sys.stdin.read(), lambda *_: None)
print(json.dumps({"before": before, "peak": resident("VmHWM"), "seconds": time.monotonic() - began,
                  "reply": json.loads(reply)}))
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> Path:
    """Write ten million rows of ten logits, a label and a slice, a piece at a time."""
    path = tmp_path_factory.mktemp("big") / "big.parquet"
    rng = np.random.default_rng(1)
    names = [f"z_{k}" for k in range(N_CLASSES)]
    schema = pa.schema(
        [*((name, pa.float32()) for name in names), ("y", pa.int8()), ("region", pa.string())]
    )
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for _ in range(N_ROWS // CHUNK):
            z = rng.normal(size=(CHUNK, N_CLASSES)).astype(np.float32)
            noise = rng.gumbel(size=z.shape).astype(np.float32)
            labels = (z + noise).argmax(axis=1).astype(np.int8)
            region = pa.array(np.array(["eu", "us", "asia", "africa"])[rng.integers(0, 4, CHUNK)])
            columns = [
                *(pa.array(1.5 * z[:, k]) for k in range(N_CLASSES)),
                pa.array(labels),
                region,
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return path


def test_ten_million_rows_of_ten_classes_stay_under_one_gibibyte(big, tmp_path):
    from calibrant.cli.serve import migrate_all
    from calibrant.operations import evaluations, keys
    from calibrant.operations.data import Data
    from calibrant.operations.evaluate.report import EvaluateSpec, decode
    from calibrant.operations.jobs import Order
    from calibrant.runtime import open_context
    from calibrant.settings import Settings
    from calibrant.storage.tables import ColumnMapping, Limits, canonical

    settings = Settings(data_dir=tmp_path / "data")
    migrate_all(settings)
    began = time.monotonic()
    table = tmp_path / "table.parquet"
    info = canonical(big, None, table, Limits(), name=big.name)
    print(
        f"\ncanonical copy of {big.stat().st_size / 2**20:.0f} MiB: {time.monotonic() - began:.0f} s"
    )
    with open_context(settings) as context:
        blob = context.blobs.put_file(table).sha256
        record = context.metadata.datasets.add(
            "default", sha256=info.sha256, table_sha256=blob, media_type="", n_rows=info.n_rows,
            n_bytes=info.bytes, columns={}, name=None, job_id=None,
        )  # fmt: skip
        import msgspec

        columns = ColumnMapping(
            scores=tuple(f"z_{k}" for k in range(N_CLASSES)), labels="y", slices=("region",)
        )
        data = Data(task="multiclass", score_kind="logits", dataset=record.id, columns=columns)
        spec = EvaluateSpec(task="multiclass", score_kind="logits")
        order = Order(
            caller=keys.NOBODY,
            spec=msgspec.Raw(msgspec.json.encode(evaluations.Request(data=data, spec=spec))),
        )
        one_thread = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
        )
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(settings.data_dir)],
            input=msgspec.json.encode(order), capture_output=True, check=False,
            env={**os.environ, **one_thread},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        found = json.loads(done.stdout)
        report = decode(context.blobs.get(found["reply"]["reply"]["report_sha256"]))
    print(
        f"{N_ROWS:,} x {N_CLASSES}: peak {found['peak'] / 1024:.0f} MiB resident "
        f"({found['before'] / 1024:.0f} MiB before), {found['seconds']:.0f} s"
    )
    assert report.metrics.n == N_ROWS
    assert len([part for part in report.slices if part.dimension == "region"]) == 4
    assert report.metrics.ece is not None
    assert report.metrics.nll is not None
    assert found["peak"] < BUDGET_KIB
