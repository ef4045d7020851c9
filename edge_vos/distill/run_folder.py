"""A run's folder: checkpoint, averaged weights, the best of them, log, samples.

Each is written beside and renamed.
"""

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from edge_vos.errors import CheckpointError

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "student.safetensors"
BEST = "best.safetensors"
DEVELOPMENT = "development.csv"
LOG = "log.csv"
CURVES = "curves.png"
_LAST = ("learning_rate", "seconds", "wait_seconds", "images")
_FIXED = ("step", "loss", *_LAST)


@dataclass(frozen=True)
class StepRecord:
    """Hold what one step logged.

    Args:
        step: number of the step, from 1.
        loss: the sum of the terms.
        terms: of the loss, weighted, by name.
        learning_rate: of everything but the encoder.
        seconds: that the step took, once its batches were there.
        wait_seconds: that it waited for them.
        images: frames in its batches, over all processes.
    """

    step: int
    loss: float
    terms: Mapping[str, float]
    learning_rate: float
    seconds: float
    wait_seconds: float = 0.0
    images: int = 0


def write_checkpoint(run: Path, content: Mapping[str, Any]) -> None:
    """Write what the next step needs."""
    temporary = run / f"{CHECKPOINT}.tmp"
    torch.save(dict(content), temporary)
    os.replace(temporary, run / CHECKPOINT)


def read_checkpoint(run: Path) -> dict[str, Any]:
    """Read what ``write_checkpoint`` wrote.

    Raises:
        CheckpointError: if there is none, or it cannot be read.
    """
    path = run / CHECKPOINT
    if not path.is_file():
        raise CheckpointError(
            f"{run} holds no {CHECKPOINT}", "the folder of a run", "Start one without --resume"
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "a checkpoint") from error
    return content


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_log(run: Path, step: int) -> list[StepRecord]:
    """Read the records up to ``step``; what came after the checkpoint will be run again."""
    path = run / LOG
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [
        StepRecord(
            int(row["step"]),
            row["loss"],
            {name: value for name, value in row.items() if name not in _FIXED},
            row["learning_rate"],
            row["seconds"],
            row.get("wait_seconds", 0.0),
            int(row.get("images", 0)),
        )
        for row in rows
        if row["step"] <= step
    ]


def write_log(run: Path, log: list[StepRecord]) -> None:
    """Write the log as CSV."""
    names = list(log[-1].terms) if log else []
    lines = [",".join(("step", "loss", *names, *_LAST))]
    for row in log:
        terms = [row.terms.get(name, 0.0) for name in names]
        fields = [row.step, row.loss, *terms, *(getattr(row, name) for name in _LAST)]
        lines.append(",".join(map(repr, fields)))
    write_text(run / LOG, "\n".join(lines) + "\n")


def write_development(run: Path, scores: Mapping[int, float]) -> None:
    """Write the J&F of the development split by step, in percent, as CSV."""
    lines = ["step,jf", *(f"{step},{jf!r}" for step, jf in sorted(scores.items()))]
    write_text(run / DEVELOPMENT, "\n".join(lines) + "\n")


def write_samples(run: Path, sheet: NDArray[np.uint8]) -> None:
    """Write the (H, W, 3) uint8 BGR picture of what the student makes of some clips."""
    temporary = run / "samples.tmp.png"
    temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    os.replace(temporary, run / "samples.png")


def write_config(run: Path, values: Mapping[str, Any]) -> None:
    """Write a run's config for people to read; the checkpoint holds the one that counts."""
    run.mkdir(parents=True, exist_ok=True)
    write_text(run / "config.json", json.dumps(values, indent=2) + "\n")
