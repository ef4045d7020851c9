"""A run's curves: a picture for its folder, and a line of text for the terminal."""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from edge_vos.distill.run_folder import StepRecord

BARS = "▁▂▃▄▅▆▇█"


def pace(log: Sequence[StepRecord]) -> tuple[float, float]:
    """Return images a second and the share of the time that was spent waiting for clips.

    Args:
        log: at least one step.
    """
    waited = sum(record.wait_seconds for record in log)
    seconds = waited + sum(record.seconds for record in log)
    return sum(record.images for record in log) / seconds, waited / seconds


def steps_within(log: Sequence[StepRecord], seconds: float) -> int:
    """Tell how many steps like the last ones fit into so many seconds, at least one.

    Args:
        log: at least one step; the median of the last 20 counts, so that neither a slow start nor
            a checkpoint does.
        seconds: that are left.
    """
    step_s = median(record.seconds + record.wait_seconds for record in log[-20:])
    return max(1, int(seconds / step_s))


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Draw numbers as a row of bars from their smallest to their largest.

    Args:
        values: in order; of more than ``width``, neighbours are averaged.
        width: most bars.
    """
    if not values:
        return ""
    bars = min(width, len(values))
    edges = [round(i * len(values) / bars) for i in range(bars + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)


def progress_line(log: Sequence[StepRecord], development: Mapping[int, float]) -> str:
    """Say in a line how the loss went, what the development split says, and how fast it goes.

    Args:
        log: all steps of the run, at least one.
        development: J&F by step, in percent.
    """
    recent = log[-100:]
    images, waiting = pace(recent)
    parts = [f"loss {sparkline([record.loss for record in log])}"]
    if development:
        scores = [jf for _, jf in sorted(development.items())]
        parts.append(f"J&F {sparkline(scores)} {scores[-1]:.1f}")
    parts.append(f"{images:.1f} images/s, {waiting:.0%} waiting for clips")
    return " | ".join(parts)


def write_curves(path: Path, log: Sequence[StepRecord], development: Mapping[int, float]) -> None:
    """Draw the terms of the loss, and the development split's J&F where there is one, as PNG.

    Args:
        path: of the picture; it appears whole or not at all.
        log: all steps of the run, at least one.
        development: J&F by step, in percent.
    """
    from matplotlib import figure

    window = max(1, len(log) // 100)
    chunks = [log[i : i + window] for i in range(0, len(log), window)]
    steps = [chunk[-1].step for chunk in chunks]
    picture = figure.Figure(figsize=(8, 4), layout="constrained")
    axes = picture.subplots()
    for name in log[-1].terms:
        means = [sum(r.terms.get(name, 0.0) for r in chunk) / len(chunk) for chunk in chunks]
        axes.plot(steps, means, label=name)
    axes.set(xlabel="step", ylabel=f"loss, mean of {window} steps", ylim=(0, None))
    axes.grid(alpha=0.3)
    lines = axes.get_lines()
    if development:
        right = axes.twinx()
        scored = sorted(development.items())
        right.plot(*zip(*scored, strict=True), "k.-", label="J&F, development split")
        right.set_ylabel("J&F in percent")
        lines = [*lines, *right.get_lines()]
    names = [str(line.get_label()) for line in lines]
    picture.legend(lines, names, loc="outside upper center", ncols=len(lines))
    temporary = path.with_suffix(".tmp.png")
    picture.savefig(temporary)
    os.replace(temporary, path)
