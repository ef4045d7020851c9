"""The page takes the same cells away from objects as Python does."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.runtime.objects.target_model import TargetModel, take_away

HEIGHT, WIDTH = 9, 14
CHANNELS, KEY_CHANNELS, VALUE_CHANNELS = 4, 6, 12
FRAMES = 15


@pytest.mark.parametrize("seed", [0, 1, 2, 5])  # 5: a largest part that looks like the rest
def test_doubts_are_those_of_python(seed: int) -> None:
    """Objects spread to what was beside them; some are shown later or again, one is dropped."""
    if (node := shutil.which("node")) is None:
        pytest.skip("no Node.js: apt-get install nodejs")
    rng = np.random.default_rng(seed)
    kinds = rng.normal(0, 1, (CHANNELS, KEY_CHANNELS))
    targets = TargetModel()
    steps: list[dict[str, Any]] = []
    expected = []
    for index in range(FRAMES):
        given = {0: [1, 2], 4: [3], 7: [1, 3], 11: [2]}.get(index, [])
        dropped = [2] if index == 9 else []
        looks = [_look(rng, kinds, spread=not given) for _ in range(2 if index in (0, 7) else 1)]
        others = [object_id for object_id in (1, 2, 3) if object_id not in given]
        written = [{name: one.ravel().tolist() for name, one in look.items()} for look in looks]
        steps.append({"looks": written, "given": given, "dropped": dropped, "others": others})
        for object_id in dropped:
            targets.forget(object_id)
        if given:
            targets.learn([(look["key"][0], look["probability"][0]) for look in looks], given)
        outputs = looks[0]
        doubted = targets.doubted(outputs["key"][0], outputs["probability"][0], others)
        take_away(outputs, doubted)
        expected.append((doubted, outputs))
    asked = json.dumps(
        {
            "size": {"height": HEIGHT, "width": WIDTH},
            "channels": CHANNELS,
            "keyChannels": KEY_CHANNELS,
            "valueChannels": VALUE_CHANNELS,
            "steps": steps,
        }
    )
    command = [node, str(Path(__file__).with_name("targets.mjs"))]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    for way, answer in answers.items():
        for found, (_, outputs) in zip(answer["found"], expected, strict=True):
            for name in ("probability", "value"):
                wanted = outputs[name].ravel()
                np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-4, err_msg=way)
        assert answer["left"] == 0
    for found, (doubted, _) in zip(answers["corrected"]["found"], expected, strict=True):
        cells = {str(object_id): one.ravel().tolist() for object_id, one in doubted.items()}
        assert found["cells"] == cells
    doubts = [set(doubted) for doubted, _ in expected]
    assert set().union(*doubts[:9]) == {1, 2, 3}
    assert set().union(*doubts[9:11]) == {1, 3}
    assert set().union(*doubts[11:]) == {1, 2, 3}
    assert doubts[-1]


def _look(
    rng: np.random.Generator, kinds: NDArray[np.float64], *, spread: bool
) -> dict[str, NDArray[np.float32]]:
    """Objects in columns of the frame, each of a kind, whose masks spread to the background."""
    truth = np.zeros((HEIGHT, WIDTH), int)
    for object_id in range(1, CHANNELS):
        top, left = rng.integers(0, HEIGHT - 4), 4 * object_id - 3
        truth[top : top + 4, left : left + 3] = object_id
    key = kinds[truth].transpose(2, 0, 1) + rng.normal(0, 0.3, (KEY_CHANNELS, HEIGHT, WIDTH))
    label = truth.copy()
    if spread:
        for object_id in range(1, CHANNELS):
            columns = slice(4 * object_id - 3, 4 * object_id)
            label[rng.integers(0, HEIGHT - 2) :, columns] = object_id
    label = label.repeat(4, axis=0).repeat(4, axis=1)
    odds = 6.0 * (np.arange(CHANNELS)[:, None, None] == label)
    odds += rng.normal(0, 0.8, odds.shape)
    probability = np.exp(odds) / np.exp(odds).sum(axis=0)
    value = rng.normal(0, 1, (VALUE_CHANNELS, HEIGHT, WIDTH))
    look = {"key": key, "probability": probability, "value": value}
    return {name: one[None].astype(np.float32) for name, one in look.items()}
