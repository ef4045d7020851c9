"""Step one video segmentation network in a process of its own, as many times as it is asked to.

Run by peers.py, one process a contender: ``python peer_worker.py NAME CLIP.npz THREADS [BUNDLE]``.
Requests and answers are JSON lines: ``{"steps": 5}`` on standard input, ``{"step_ms": [...],
"whole_ms": [...], "cpu_s": 1.2}`` on standard output. The first answer, sent unasked once the
memory is filled, holds the versions.

What ``step_ms`` counts is the same for all: an image tensor of the network's size goes in; encoder,
memory read, decoder, probabilities, and the memory entry of this frame come out and are stored.
"""

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Step = Callable[[int], dict[str, float]]
MEMORY_FRAMES = 5  # what fills Cutie's memory, and more than edge-vos keeps


def milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def edge_vos(
    frames: NDArray[np.uint8], mask: NDArray[np.uint8], threads: int, bundle: str
) -> tuple[str, Step]:
    """Step the shipped loop: ``step_ms`` is infer and memory, ``whole_ms`` all of it."""
    import cv2

    from edge_vos.runtime.model import open_bundle
    from edge_vos.runtime.segmenter import Segmenter

    cv2.setNumThreads(1)  # as edge-vos live and bench do
    model = open_bundle(bundle, threads=threads)
    segmenter = Segmenter(model)
    segmenter.prompt(mask)

    def step(index: int) -> dict[str, float]:
        start = time.perf_counter()
        result = segmenter.step(frames[index % len(frames)])
        whole_ms = milliseconds_since(start)
        return {
            "step_ms": result.timings_ms["infer"] + result.timings_ms["memory"],
            "whole_ms": whole_ms,
        }

    for index in range(4 * MEMORY_FRAMES):
        step(index)
    return f"{model.engine} {model.engine_version}", step


def torch_images(frames: NDArray[np.uint8], threads: int) -> Any:
    """Return (T, 3, H, W) float32 RGB in [0, 1]."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    rgb = np.ascontiguousarray(frames[..., ::-1].transpose(0, 3, 1, 2))
    return torch.from_numpy(rgb).float() / 255


def deaot_t(
    frames: NDArray[np.uint8], mask: NDArray[np.uint8], threads: int, bundle: str
) -> tuple[str, Step]:
    """Step DeAOT-T as its own demo does: match, decode, argmax, write the short-term memory."""
    import torch
    from aot.configs.default import DefaultEngineConfig
    from aot.networks.engines import build_engine
    from aot.networks.models import build_vos_model

    images = torch_images(frames, threads)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    images = (images - mean) / std
    config = DefaultEngineConfig(model="deaott")
    network = build_vos_model(config.MODEL_VOS, config).eval()
    engine = build_engine(
        config.MODEL_ENGINE,
        phase="eval",
        aot_model=network,
        gpu_id=0,
        long_term_mem_gap=config.TEST_LONG_TERM_MEM_GAP,
    ).eval()
    labels = torch.from_numpy(mask)[None, None].float()
    with torch.inference_mode():
        engine.add_reference_frame(images[:1], labels, obj_nums=[int(mask.max())], frame_step=0)

    def step(index: int) -> dict[str, float]:
        image = images[index % len(images)][None]
        with torch.inference_mode():
            start = time.perf_counter()
            engine.match_propogate_one_frame(image)
            logits = engine.decode_current_logits(image.shape[-2:])
            probability = torch.softmax(logits, dim=1)
            engine.update_memory(torch.argmax(probability, dim=1, keepdim=True).float())
            return measured(start, probability)

    return filled(step)


def cutie_small(
    frames: NDArray[np.uint8], mask: NDArray[np.uint8], threads: int, bundle: str
) -> tuple[str, Step]:
    """Step Cutie-small with its DAVIS settings: five memory frames, one written every five."""
    import cutie
    import torch
    from cutie.inference.inference_core import InferenceCore
    from cutie.inference.utils.args_utils import get_dataset_cfg
    from cutie.model.cutie import CUTIE
    from cutie.model.utils import resnet
    from omegaconf import OmegaConf

    images = torch_images(frames, threads)
    folder = Path(next(iter(cutie.__path__))) / "config"
    config = OmegaConf.load(folder / "eval_config.yaml")
    base, small = (OmegaConf.load(folder / "model" / f"{name}.yaml") for name in ("base", "small"))
    config.model = OmegaConf.merge(base, small)
    get_dataset_cfg(config)
    # Its constructor downloads ImageNet weights; the speed does not depend on them.
    resnet.model_zoo.load_url = lambda *_, **__: {}
    resnet.load_weights_add_extra_dim = lambda *_: None
    network = CUTIE(config).eval()
    core = InferenceCore(network, cfg=config)
    labels = torch.from_numpy(mask).long()
    objects = list(range(1, int(mask.max()) + 1))
    with torch.inference_mode():
        for index in range(MEMORY_FRAMES):  # a given mask is written to memory at once
            core.step(images[index], labels, objects=objects)

    def step(index: int) -> dict[str, float]:
        image = images[index % len(images)]
        with torch.inference_mode():
            start = time.perf_counter()
            probability = core.step(image)
            return measured(start, probability)

    return filled(step)


def filled(step: Step) -> tuple[str, Step]:
    """Fill the memory, and return torch's version and the step."""
    import torch

    for index in range(MEMORY_FRAMES):
        step(index)
    return f"torch {torch.__version__}", step


def measured(start: float, probability: Any) -> dict[str, float]:
    """Return the milliseconds of a step that gave a tensor of probabilities."""
    elapsed_ms = milliseconds_since(start)
    refuse_not_finite(bool(probability.isfinite().all()))
    return {"step_ms": elapsed_ms}


def refuse_not_finite(finite: bool) -> None:
    if not finite:
        raise ArithmeticError("the network's probabilities are not finite: its time means nothing")


CONTENDERS = {
    "edge-vos": (edge_vos, "edge-vos"),
    "DeAOT-T": (deaot_t, "deaotpy"),
    "Cutie-small": (cutie_small, "rf-cutie"),
}


def main() -> None:
    name, clip_path, threads, bundle = sys.argv[1:5]
    answers, sys.stdout = sys.stdout, sys.stderr  # the peers print; answers stay clean
    build, distribution = CONTENDERS[name]
    clip = np.load(clip_path)
    engine, step = build(clip["frames"], clip["mask"], int(threads), bundle)
    started = {"version": importlib.metadata.version(distribution), "engine": engine}
    print(json.dumps(started), file=answers, flush=True)
    index = 0
    for line in sys.stdin:
        cpu_start_s = time.process_time()
        steps = []
        for _ in range(json.loads(line)["steps"]):
            index += 1
            steps.append(step(index))
        answer: dict[str, Any] = {key: [one[key] for one in steps] for key in steps[0]}
        answer["cpu_s"] = time.process_time() - cpu_start_s
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
