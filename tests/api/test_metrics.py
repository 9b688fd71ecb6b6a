from __future__ import annotations

import pytest

from calibrant.api.metrics import RequestMetrics


def test_answers_and_durations_are_counted():
    metrics = RequestMetrics()
    metrics.observe("GET", "/x/{id}", 200, 0.0004)
    metrics.observe("GET", "/x/{id}", 200, 0.3)
    metrics.observe("GET", "/x/{id}", 404, 99.0)
    text = metrics.render().decode()
    assert 'calibrant_http_requests_total{method="GET",route="/x/{id}",status="200"} 2' in text
    assert 'calibrant_http_request_duration_seconds_bucket{route="/x/{id}",le="0.0005"} 1' in text
    assert 'calibrant_http_request_duration_seconds_bucket{route="/x/{id}",le="0.5"} 2' in text
    assert 'calibrant_http_request_duration_seconds_bucket{route="/x/{id}",le="+Inf"} 3' in text
    assert 'calibrant_http_request_duration_seconds_count{route="/x/{id}"} 3' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.usefixtures("flights")
def test_paths_are_never_labels(api):
    for path in ("/v1/datasets/canary-1", "/canary-2", "/v2/models/canary-3/infer"):
        api.get(path)
    api.post("/v1/calibrators/flights/calibrate", {"score_kind": "logits", "scores": [1]})
    text = api.get("/metrics").text
    assert "canary" not in text
    assert 'route="/v1/datasets/{dataset_id}"' in text
    assert 'route="/v1/calibrators/{ref}/calibrate",status="200"' in text
    assert 'route="__unmatched__"' in text


@pytest.mark.usefixtures("flights")
def test_calibrated_rows_are_counted(api):
    def rows():
        lines = api.get("/metrics").text.splitlines()
        (line,) = [one for one in lines if one.startswith("calibrant_calibrated_rows_total ")]
        return int(line.split()[1])

    before = rows()
    api.post("/v1/calibrators/flights/calibrate", {"score_kind": "logits", "scores": [1, 2, 3]})
    assert rows() == before + 3
