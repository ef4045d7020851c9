"""The student: one pure function a frame, with the memory as inputs and outputs.

After https://arxiv.org/abs/2401.13937: DeAOT's skeleton with a mobile encoder, its gated
propagation made deformable. No state hides in the module; the runtime owns the memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_vos.graph import INPUT_NAMES, OUTPUT_NAMES, GraphSpec
from edge_vos.model.as_callable import Arrays, as_callable
from edge_vos.model.config import StudentConfig
from edge_vos.model.decoder import Decoder
from edge_vos.model.encoder import ConvBatchNorm, Encoder
from edge_vos.model.identity import (
    IdentityEmbedding,
    merge_prompt,
    probability_from_logits,
    shift_background,
)
from edge_vos.model.outline import OutlineHead
from edge_vos.model.propagation import AttentionMaps, MemoryPropagation, SelfPropagation


@dataclass(frozen=True)
class Features:
    """Hold what one frame gives before any mask is known; batch B, strides 2, 4, 8, 16."""

    stride2: Tensor
    stride4: Tensor
    stride8: Tensor
    visual: Tensor
    key: Tensor
    self_attention: Tensor


class DeeperLayer(nn.Module):
    """Hold a further propagation layer: its self attention, its key and its memory's readout."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.self_propagation = SelfPropagation(config)
        self.key = nn.Conv2d(config.width, config.key_channels, 1)
        self.memory_propagation = MemoryPropagation(config)


class Student(nn.Module):
    """Segment one frame from its prompts and the memory.

    The teacher is a student too, a wider one with more layers. A memory key holds the keys of all
    layers; they share the identities, and their readouts add up.

    Args:
        config: the student's shape.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        taps = self.encoder.tap_channels
        self.project = ConvBatchNorm(taps[2], config.width, activation=False)
        self.self_propagation = SelfPropagation(config)
        self.key = nn.Conv2d(config.width, config.key_channels, 1)
        self.memory_propagation = MemoryPropagation(config)
        self.deeper = nn.ModuleList(DeeperLayer(config) for _ in range(config.layers - 1))
        self.decoder = Decoder(config, taps)
        shallow = (self.encoder.stride2_channels, taps[0], taps[1])
        self.outline = OutlineHead(config.outline_width, shallow) if config.outline_width else None
        self.identity = IdentityEmbedding(config)

    def encode(self, stride2: Tensor, stride4: Tensor, stride8: Tensor) -> Features:
        """Finish the features of a frame from the encoder's shallow taps."""
        x = self.project(self.encoder.deep(stride8))
        x, self_attention = self.self_propagation(x)
        key = self.key(x)
        for layer in self._deeper_layers():
            x, self_attention = layer.self_propagation(x)
            key = torch.cat([key, layer.key(x)], dim=1)
        return Features(stride2, stride4, stride8, x, key, self_attention)

    def read(
        self, features: Features, keys: Tensor, values: Tensor, valid: Tensor
    ) -> tuple[Tensor, AttentionMaps]:
        """Read the memory and decode: logits (B, K, H/4, W/4) and the last layer's maps."""
        deeper = self._deeper_layers()
        layers = [self.memory_propagation, *(layer.memory_propagation for layer in deeper)]
        reads = [
            layer(features.visual, query, key, values, valid)
            for layer, query, key in zip(
                layers, self._by_layer(features.key), self._by_layer(keys), strict=True
            )
        ]
        readout, long_map, short_map = reads[-1]
        for other, _, _ in reads[:-1]:
            readout = readout + other
        logits = self.decoder(readout, features.visual, features.stride8, features.stride4)
        return logits, AttentionMaps(features.self_attention, long_map, short_map)

    def outlined(self, probability: Tensor, features: Features) -> Tensor:
        """Return the probabilities with their outlines corrected, for who looks at them.

        Memory gets them as they were: what is corrected twice drifts from frame to frame.

        Args:
            probability: (B, K, H/4, W/4) float32, summing to 1 over K.
            features: of the frame.
        """
        if self.outline is None:
            return probability
        taps = features.stride2, features.stride4, features.stride8
        return shift_background(probability, self.outline(probability[:, :1], *taps))

    def _deeper_layers(self) -> list[DeeperLayer]:
        return [cast(DeeperLayer, layer) for layer in self.deeper]

    def _by_layer(self, key: Tensor) -> tuple[Tensor, ...]:
        return torch.split(key, self.config.key_channels, 1) if self.deeper else (key,)

    def forward(
        self,
        image: Tensor,
        prompt: Tensor,
        prompted: Tensor,
        active: Tensor,
        memory_key: Tensor,
        memory_value: Tensor,
        memory_valid: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Segment a frame; the first frame and a correction are the same call.

        Args:
            image: (1, 3, H, W) float32 in [0, 255], RGB. H and W are multiples of 16.
            prompt: (1, K, H/4, W/4) float32, area coverage of the given masks in [0, 1].
            prompted: (1, K, 1, 1) float32, 1 for each id whose mask is given in this frame.
            active: (1, K, 1, 1) float32, 1 for each id in use; the background always.
            memory_key: (N, Ck, H/16, W/16) float32; slot 0 is the reference, 1 the previous frame.
            memory_value: (N, Cv, H/16, W/16) float32.
            memory_valid: (N, 1, 1, 1) float32, 0 for an empty slot.

        Returns:
            (1, K, H/4, W/4) float32 probabilities with prompts merged in, channel 0 being the
            background, and this frame's memory entry: key (1, Ck, H/16, W/16) and value
            (1, Cv, H/16, W/16).
        """
        features = self.encode(*self.encoder.shallow(image))
        logits, _ = self.read(features, memory_key, memory_value, memory_valid)
        found = probability_from_logits(logits, active)
        value = self.identity(merge_prompt(found, prompt, prompted))
        probability = merge_prompt(self.outlined(found, features), prompt, prompted)
        return probability, features.key, value


def example_inputs(graph: GraphSpec, seed: int = 0) -> tuple[Tensor, ...]:
    """Return plausible inputs in the graph's order: every slot valid, all ids active."""
    generator = torch.Generator().manual_seed(seed)
    values = []
    for spec in graph.inputs:
        if spec.name == "image":
            values.append(torch.rand(spec.shape, generator=generator) * 255)
        elif spec.name in ("active", "memory_valid"):
            values.append(torch.ones(spec.shape))
        elif spec.name in ("prompt", "prompted"):
            values.append(torch.zeros(spec.shape))
        else:
            values.append(torch.randn(spec.shape, generator=generator))
    return tuple(values)


def student_as_callable(student: Student) -> Callable[[Arrays], dict[str, NDArray[np.float32]]]:
    """Wrap an eager student as named arrays in, named arrays out, for the runtime's loop."""
    return as_callable(student, INPUT_NAMES, OUTPUT_NAMES)
