"""What people write first: FastAPI with pydantic models around temperature scaling in numpy."""

from __future__ import annotations

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

TEMPERATURE = 1.6
app = FastAPI()


class Scores(BaseModel):
    scores: list[list[float]]


class Probabilities(BaseModel):
    probabilities: list[list[float]]


@app.post("/")
async def calibrate(request: Scores) -> Probabilities:
    """Answer softmax(z / T)."""
    z = np.array(request.scores) / TEMPERATURE
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return Probabilities(probabilities=p.tolist())


uvicorn.run(
    app,
    port=int(sys.argv[1]),
    loop="uvloop",
    http="httptools",
    access_log=False,
    log_level="warning",
)
