from __future__ import annotations

import numpy as np
import pytest

from calibrant.errors import BadBatch, TooLarge
from calibrant.operations.batch import predictions_from
from calibrant.settings import Settings

LIMITS = Settings(max_rows=3, max_classes=2)


def test_columns_become_predictions():
    built = predictions_from(
        scores=np.array([0.1, 0.9]),
        labels=np.array([0, 1]),
        ids=["a", "b"],
        groups=["g", None],
        slices={"region": ["eu", None]},
        limits=LIMITS,
    )
    assert built.ids.tolist() == ["a", "b"]
    assert built.groups.codes.tolist() == [0, -1]
    assert built.slices["region"].values == ("eu",)


def test_every_column_of_another_length_is_named_with_its_count():
    with pytest.raises(BadBatch) as caught:
        predictions_from(
            scores=np.zeros(3),
            labels=np.zeros(2, dtype=np.int64),
            slices={"region": ["eu"]},
            limits=LIMITS,
        )
    assert [(one.pointer, one.message) for one in caught.value.errors] == [
        ("/labels", "2 values for 3 rows."),
        ("/slices/region", "1 values for 3 rows."),
    ]


@pytest.mark.parametrize("shape", [(4,), (1, 3)], ids=["rows", "classes"])
def test_limits_on_rows_and_classes(shape):
    with pytest.raises(TooLarge):
        predictions_from(scores=np.zeros(shape), limits=LIMITS)
