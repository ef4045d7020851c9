"""The page looks at the same part of each frame as Python does."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.objects.zoom import Zoom

IMAGE = (352, 640)
FRAMES = ((720, 1280), (1280, 720), (481, 641))


def test_views_are_those_of_python() -> None:
    """Objects that walk, grow, are lost and come back, in frames that change their size."""
    if (node := shutil.which("node")) is None:
        pytest.skip("no Node.js: apt-get install nodejs")
    rng = np.random.default_rng(0)
    zoom = Zoom(IMAGE)
    place, size = np.array((300.0, 300.0)), np.array((80.0, 90.0))
    steps: list[dict[str, Any]] = []
    views = []
    for index in range(600):
        height, width = frame = FRAMES[index // 200]
        size = np.clip(size * np.exp(rng.normal(0, 0.08, 2)), 8, 400)
        place = np.clip(place + rng.normal(0, 8, 2) + 3, 0, (width, height) - size)
        box = (*place.astype(int).tolist(), *size.astype(int).tolist())
        objects = [
            ObjectState(1, 99, box, 0.9, lost=bool(rng.random() < 0.02)),
            ObjectState(2, 99, (40, 50, 60, 70), 0.9, lost=False),
        ][: 1 + index // 50 % 2]
        is_anew, shown = index % 100 == 0, box if index % 50 == 0 else None
        view = zoom.view(frame, [shown] if shown else [], anew=is_anew)
        zoom.update(view, objects, frame, shown=shown is not None)
        views.append(view)
        states = [{"id": s.id, "box": s.box_xywh, "lost": s.lost} for s in objects]
        step = {"shown": shown, "isAnew": is_anew, "objects": states}
        steps.append({"frame": {"height": height, "width": width}, **step})
    asked = json.dumps({"image": {"height": IMAGE[0], "width": IMAGE[1]}, "steps": steps})
    command = [node, str(Path(__file__).with_name("views.mjs"))]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert [View(**view) for view in json.loads(done.stdout)] == views
    assert len(set(views)) > 200
