"""What people write next: FastAPI around scikit-learn's CalibratedClassifierCV (three models)."""

from __future__ import annotations

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression

app = FastAPI()
rng = np.random.default_rng(4)
rows = rng.normal(size=(3000, 10))
model = CalibratedClassifierCV(LogisticRegression(max_iter=300), cv=3)
model.fit(rows, (rows + rng.gumbel(size=rows.shape)).argmax(axis=1))


class Scores(BaseModel):
    scores: list[list[float]]


class Probabilities(BaseModel):
    probabilities: list[list[float]]


@app.post("/")
async def calibrate(request: Scores) -> Probabilities:
    """Answer calibrated probabilities of features."""
    return Probabilities(probabilities=model.predict_proba(np.array(request.scores)).tolist())


uvicorn.run(
    app,
    port=int(sys.argv[1]),
    loop="uvloop",
    http="httptools",
    access_log=False,
    log_level="warning",
)
