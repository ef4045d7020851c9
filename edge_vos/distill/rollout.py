"""Run a student over training clips in a closed loop, as the runtime does, with gradients."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge_vos.distill.data.clips import Batch
from edge_vos.model.identity import PATCH, probability_from_logits
from edge_vos.model.propagation import AttentionMaps
from edge_vos.model.student import Features, Student


@dataclass(frozen=True)
class Prediction:
    """Hold what a student says of one frame of every clip.

    Args:
        logits: (B, K, H/4, W/4) float32.
        probability: (B, K, H/4, W/4) float32.
        features: of the frame.
        maps: its attention maps.
    """

    logits: Tensor
    probability: Tensor
    features: Features
    maps: AttentionMaps


def rollout(student: Student, batch: Batch, known: Tensor | None = None) -> list[Prediction]:
    """Follow the prompts of the first frames through the clips.

    The student feeds on its own masks, and the gradient flows through them. The encoder up to
    stride 8, which is frozen or trained at a low rate, runs in bfloat16 where the processor has it.

    Args:
        student: in training mode, or in evaluation mode under ``no_grad``.
        batch: clips; their labels are not looked at.
        known: (B, frames, K, H/4, W/4) float32 area coverage that goes to memory in place of its
            own masks; ``None`` is its own.

    Returns:
        the predictions for every frame but the first.
    """
    device = next(student.parameters()).device
    images = on_device(batch.images, device).flatten(0, 1).permute(0, 3, 1, 2)
    active = on_device(batch.active, device)
    ring = on_device(batch.ring, device)
    prompt = coverage(on_device(batch.prompt, device), active.shape[1])
    clips, frames = batch.images.shape[:2]
    images = images.float().contiguous(memory_format=torch.channels_last)
    trained = any(p.requires_grad for p in student.encoder.stages[:3].parameters())
    with (
        torch.set_grad_enabled(trained and torch.is_grad_enabled()),
        torch.autocast(device.type, torch.bfloat16, has_bfloat16(device)),
    ):
        # A clip at a time: on a CPU all of them at once take twice as long, for want of cache.
        chunks = images.chunk(clips) if device.type == "cpu" else [images]
        taps = [student.encoder.shallow(chunk) for chunk in chunks]
        shallow = [torch.cat(tap) for tap in zip(*taps, strict=True)]
    if not torch.is_autocast_enabled(device.type):
        shallow = [tap.float() for tap in shallow]
    features = student.encode(*shallow)

    def frame(t: int) -> Features:
        return Features(*(getattr(features, f.name)[t::frames] for f in fields(Features)))

    slots = student.config.slots
    keys = [frame(0).key]
    values = [student.identity(prompt)]
    predictions = []
    for t in range(1, frames):
        order = memory_order(t, slots)
        valid = torch.ones(clips, len(order), device=device)
        valid[:, 2:] *= ring[:, t : t + 1]
        logits, maps = student.read(
            frame(t),
            _stack(keys[i] for i in order),
            _stack(values[i] for i in order),
            valid.reshape(-1, 1, 1, 1),
        )
        logits = logits.float()  # odds of up to exp(8) want more than bfloat16
        probability = probability_from_logits(logits, active[:, :, None, None])
        predictions.append(Prediction(logits, probability, frame(t), maps))
        keys.append(frame(t).key)
        values.append(student.identity(probability if known is None else known[:, t]))
    return predictions


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; to a GPU from pinned memory, so that nobody waits for the copy."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the device computes in bfloat16; where that is emulated, float32 is faster.

    A GPU is taken to have it: the training loop needs it there.
    """
    if device.type == "cuda":
        return True
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("bf16"))


def memory_order(t: int, slots: int) -> list[int]:
    """Name the earlier frame in each slot before frame ``t``: reference, previous, then a ring.

    Slots of the ring that would be empty are left out: nothing is read from them.
    """
    return [0, t - 1, *list(range(t - 2, 0, -1))[: slots - 2]]


def coverage(labels: Tensor, channels: int) -> Tensor:
    """Turn (..., H, W) uint8 ids into (..., channels, H/4, W/4) float32 area coverage."""
    *leading, height, width = labels.shape
    one_hot = F.one_hot(labels.reshape(-1, height, width).long(), channels).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(one_hot.float(), PATCH)
    return pooled.reshape(*leading, channels, height // PATCH, width // PATCH)


def _stack(slots: Iterable[Tensor]) -> Tensor:
    """Join N tensors (B, C, h, w) into (B * N, C, h, w), the slots of a clip together."""
    return torch.stack(list(slots), dim=1).flatten(0, 1)
