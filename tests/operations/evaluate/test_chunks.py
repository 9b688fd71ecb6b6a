from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrant.numerics.predictions import Category, Predictions
from calibrant.operations.evaluate import EvaluateSpec, evaluate


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 240), max_size=6), seed=st.integers(0, 5))
def test_any_partition_into_chunks_gives_the_same_report(cuts, seed):
    rng = np.random.default_rng(seed)
    p = rng.random(240)
    texts = [f"v{i}" for i in rng.integers(0, 4, 240)]
    labels = np.where(rng.random(240) < 0.1, -1, rng.random(240) < p)
    ends = sorted({0, *cuts, 240})

    def part(start, end):
        return Predictions(
            scores=p[start:end],
            labels=labels[start:end],
            slices={"x": Category.encode(texts[start:end])},  # dictionaries of their own
        )

    spec = EvaluateSpec(task="binary", score_kind="probabilities")
    parts = [part(a, b) for a, b in pairwise(ends)]
    assert evaluate(lambda: iter(parts), spec) == evaluate(lambda: iter([part(0, 240)]), spec)


def test_rows_are_counted_where_their_number_is_not_given(draw):
    rows = draw(100)
    spec = EvaluateSpec(task="binary", score_kind="probabilities")
    assert evaluate(lambda: iter([rows, rows]), spec).metrics.n == 200


def test_progress_is_told(draw):
    rows, said = draw(100), []
    spec = EvaluateSpec(task="binary", score_kind="probabilities")
    evaluate(lambda: iter([rows, rows]), spec, progress=lambda *told: said.append(told))
    assert said[:2] == [(100, 200, "reading"), (200, 200, "reading")]
    assert {told[2] for told in said} > {"reading", "counting", "ranking"}


def test_float32_scores_are_widened_not_rounded(report):
    rows = Predictions(scores=np.array([0.3, 0.7], np.float32), labels=np.array([0, 1]))
    assert report(rows).metrics.mean_score == float(np.float32([0.3, 0.7]).astype(float).mean())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ten_million_rows_of_ten_classes_fit_into_a_gibibyte(dtype):
    program = textwrap.dedent(f"""
        import resource
        import numpy as np
        from calibrant.numerics.predictions import Predictions
        from calibrant.operations.evaluate import EvaluateSpec, evaluate

        n, size = 10_000_000, 65_536
        base = np.random.default_rng(1).normal(0, 2, (size, 10))

        def chunks():
            for start in range(0, n, size):
                rng = np.random.default_rng(start)
                m = min(size, n - start)
                z = np.roll(base[:m], int(rng.integers(0, 10)), axis=1)
                p = np.exp(z)
                p /= p.sum(axis=1, keepdims=True)
                labels = (p.cumsum(axis=1) > rng.random((m, 1))).argmax(axis=1)
                yield Predictions(scores=p.astype("{dtype}"), labels=labels.astype(np.int64))

        spec = EvaluateSpec(task="multiclass", score_kind="probabilities")
        metrics = evaluate(chunks, spec, n_rows=n).metrics
        assert metrics.n == n and metrics.auroc is not None and metrics.ece is not None
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    peak = int(done.stdout) / 1024
    print(f"peak {peak:.0f} MiB")
    assert peak < 1024


@pytest.mark.bench
def test_a_million_rows_in_fifty_slices(rng):
    n = 1_000_000
    p = rng.random(n)
    rows = Predictions(
        scores=p,
        labels=(rng.random(n) < p).astype(np.int64),
        slices={"x": Category(rng.integers(0, 50, n).astype(np.int32), tuple(map(str, range(50))))},
    )
    spec = EvaluateSpec(task="binary", score_kind="probabilities")
    evaluate(lambda: iter([rows.take(np.arange(1_000))]), spec)
    before = resource.getrusage(resource.RUSAGE_SELF)
    evaluate(lambda: iter([rows]), spec)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{spent:.2f} s CPU")
