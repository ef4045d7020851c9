"""Choose the network's size for a camera: the largest that was measured to keep up with it."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from edge_vos.runtime.model import LoadedModel

SHARE = 0.8
"""The part of the time between two frames that the network may take: the rest is for the camera's
picture, the masks and drawing."""

MEASURE_S = 0.5
CALLS = 8
USUAL_FPS = 30.0


def largest_that_keeps_up(
    names: Sequence[str], open_model: Callable[[str], LoadedModel], fps: float
) -> tuple[LoadedModel, str, str]:
    """Open and time models from the largest on; keep the first that is fast enough.

    Each is timed for at most half a second. The last one is kept in any case.

    Args:
        names: what the models are called, the largest first.
        open_model: opens one by its name.
        fps: frames a second of the source; 0 or less where that is unknown, which counts as 30.

    Returns:
        the model, its name, and why it was taken.
    """
    frame_ms = 1e3 / (fps if fps > 0 else USUAL_FPS)
    slower: list[str] = []
    for name in names:
        model = open_model(name)
        call_ms = median_call_ms(model)
        if call_ms <= SHARE * frame_ms or name == names[-1]:
            break
        model.close()
        slower.append(f"{name} takes {call_ms:.0f} ms")
    reason = f"it takes {call_ms:.0f} ms of the {frame_ms:.0f} ms between two frames"
    return model, name, "; ".join([reason, *slower])


def median_call_ms(model: LoadedModel) -> float:
    """Return the median time of a call with every memory slot and one object in use.

    Two calls are made first and not counted; then at most ``CALLS``, for at most ``MEASURE_S``.
    """
    inputs = {spec.name: np.zeros(spec.shape, np.float32) for spec in model.manifest.inputs}
    inputs["memory_valid"].fill(1.0)
    inputs["active"][:, :2] = 1.0
    times_ms: list[float] = []
    deadline = time.perf_counter() + MEASURE_S
    for index in range(2 + CALLS):
        start = time.perf_counter()
        model.runner.run(inputs)
        end = time.perf_counter()
        if index >= 2:
            times_ms.append((end - start) * 1e3)
        if times_ms and end > deadline:
            break
    return float(np.median(times_ms))
