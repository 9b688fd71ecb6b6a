"""Counts and durations of requests, as text for Prometheus; about a microsecond a request."""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class RequestMetrics:
    """What one process has answered; owned by the event loop, so it needs no lock."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str, int], int] = {}
        self._durations: dict[str, list[float]] = {}
        self.calibrated_rows = 0
        self.fallback_rows = 0
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is a template, never a path."""
        key = (method, route, status)
        answers = self._answers
        answers[key] = answers.get(key, 0) + 1
        cells = self._durations.get(route)
        if cells is None:
            cells = self._durations[route] = [0.0] * (len(BUCKETS) + 2)
        cells[bisect_left(BUCKETS, seconds)] += 1
        cells[-1] += seconds

    def render(self) -> bytes:
        """Return everything in the Prometheus text format."""
        lines = [
            "# HELP calibrant_http_requests_total Answers by method, route and status.",
            "# TYPE calibrant_http_requests_total counter",
            *(
                f'calibrant_http_requests_total{{method="{method}",route="{route}",'
                f'status="{status}"}} {count}'
                for (method, route, status), count in sorted(self._answers.items())
            ),
            "# HELP calibrant_http_request_duration_seconds Time to answer, by route.",
            "# TYPE calibrant_http_request_duration_seconds histogram",
        ]
        for route, cells in sorted(self._durations.items()):
            lines += _histogram(route, cells)
        lines += [
            "# HELP calibrant_calibrated_rows_total Rows answered with calibrated probabilities.",
            "# TYPE calibrant_calibrated_rows_total counter",
            f"calibrant_calibrated_rows_total {self.calibrated_rows}",
            "# HELP calibrant_fallback_rows_total Rows of unknown slices, served by the pooled fit.",
            "# TYPE calibrant_fallback_rows_total counter",
            f"calibrant_fallback_rows_total {self.fallback_rows}",
            "",
        ]
        return "\n".join(lines).encode() + generate_latest(self._process)


def _histogram(route: str, cells: list[float]) -> list[str]:
    name, label = "calibrant_http_request_duration_seconds", f'route="{route}"'
    lines, total = [], 0.0
    for bound, count in zip((*map(repr, BUCKETS), "+Inf"), cells[:-1], strict=True):
        total += count
        lines.append(f'{name}_bucket{{{label},le="{bound}"}} {total:.0f}')
    return [*lines, f"{name}_sum{{{label}}} {cells[-1]!r}", f"{name}_count{{{label}}} {total:.0f}"]
