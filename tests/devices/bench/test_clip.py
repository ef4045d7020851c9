from itertools import islice

import numpy as np
import pytest

from edge_vos.devices.bench.clip import Clip, draw_clip, measure_clip
from edge_vos.devices.bench.measurement import MeasurementLimit
from edge_vos.runtime.model import LoadedModel

STAGES = ["pre", "infer", "memory", "post", "end_to_end"]


@pytest.mark.parametrize("objects", [1, 10])
def test_a_clip_shows_every_object_in_its_first_frame(objects: int) -> None:
    drawn = draw_clip((96, 160), objects)
    assert {frame.shape for frame in drawn.frames} == {(96, 160, 3)}
    assert set(np.unique(drawn.mask)) == set(range(objects + 1))
    assert (drawn.objects, drawn.size) == (objects, (96, 160))


def test_a_clip_is_played_to_and_fro() -> None:
    frames = tuple(np.full((1, 1, 3), value, np.uint8) for value in range(4))
    played = islice(Clip(frames, frames[0][..., 0]).endless(), 9)
    assert [int(frame.max()) for frame in played] == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_so_many_steps_are_measured_as_were_asked_for(tiny_model: LoadedModel, clip: Clip) -> None:
    shares: list[float] = []
    measured = measure_clip(tiny_model, clip, MeasurementLimit(25, None), shares.append)
    assert measured.samples == 25
    assert {stage: len(samples) for stage, samples in measured.samples_ms.items()} == dict.fromkeys(
        STAGES, 25
    )
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    # The engine's first call and the warm-up, in which memory fills, are no samples.
    assert measured.warmup == tiny_model.manifest.memory.mem_every * tiny_model.manifest.slots
    assert (measured.objects, measured.frame_size, measured.live) == (2, (128, 192), None)


def test_a_measurement_ends_in_time(tiny_model: LoadedModel, clip: Clip) -> None:
    measured = measure_clip(tiny_model, clip, MeasurementLimit(None, 0.05))
    assert measured.samples >= 1
    assert measured.duration_s >= 0.05


def test_stages_are_parts_of_the_whole_step(tiny_model: LoadedModel, clip: Clip) -> None:
    measured = measure_clip(tiny_model, clip, MeasurementLimit(10, None))
    samples = measured.samples_ms
    for whole, *parts in zip(samples["end_to_end"], *(samples[s] for s in STAGES[:4]), strict=True):
        assert whole >= sum(parts) > 0
    assert 0 < measured.step_ms <= max(samples["end_to_end"])


def test_vitals_are_taken_once_a_second_at_most(tiny_model: LoadedModel, clip: Clip) -> None:
    measured = measure_clip(tiny_model, clip, MeasurementLimit(20, None))
    assert 1 <= len(measured.machine_samples) <= 2 + measured.duration_s
    assert all(moment.rss_bytes > 1 << 20 for moment in measured.machine_samples)
