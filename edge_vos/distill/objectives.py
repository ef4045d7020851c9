"""What a run minimises: agreement with labels, or with a teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_vos.distill.data.clips import Batch
from edge_vos.distill.losses import bootstrapped_cross_entropy, edge_emphasis, soft_jaccard
from edge_vos.distill.outlines import outline_loss
from edge_vos.distill.relations import (
    attention_kl,
    cka,
    inter_object_relation,
    intra_object_relation,
    logit_kl,
    pool_keys,
)
from edge_vos.distill.rollout import Prediction, coverage, on_device, rollout
from edge_vos.errors import UsageError
from edge_vos.model.config import StudentConfig
from edge_vos.model.identity import PATCH
from edge_vos.model.student import Student

MAPS = ("long_term", "short_term", "self_attention")
COMPARISONS = ("cka", "kl")

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class DistillConfig:
    """Weigh what a student takes over from its teacher; 0 leaves a term out.

    Args:
        masks: bootstrapped cross-entropy and soft Jaccard against the teacher's masks.
        tracks: how much of these masks, in [0, 1], is what the teacher made of the whole video
            beforehand; the rest is what it predicts in the clip. With any of it, the teacher has
            its tracks in memory in the clip, too, and where both have a say, cross-entropy counts
            each cell by how far they agree.
        inter: relation between the objects at each position (DIST).
        intra: relation between the positions of each object (DIST).
        divergence: of the softened logits (Hinton), for comparison.
        attention: distance of the attention maps.
        maps: which maps, of ``MAPS``.
        comparison: how maps are compared, one of ``COMPARISONS``.
        temperature: divides the logits in relations and divergence.
    """

    masks: float = 1.0
    tracks: float = 0.5
    inter: float = 0.25
    intra: float = 0.25
    divergence: float = 0.0
    attention: float = 0.1
    maps: tuple[str, ...] = MAPS
    comparison: str = "cka"
    temperature: float = 2.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.maps) - set(MAPS))
        if unknown:
            raise UsageError(f"unknown attention maps {unknown}", f"some of {MAPS}")
        if not 0 <= self.tracks <= 1:
            raise UsageError(f"a share of {self.tracks} for tracks", "0 to 1")
        if self.comparison not in COMPARISONS:
            raise UsageError(f"unknown comparison {self.comparison!r}", f"one of {COMPARISONS}")


class LabelObjective(nn.Module):
    """Compare the masks with the labels.

    Args:
        student: in training.
        edge_weight: how much more an edge counts where the student is unsure of it.
        outline_weight: of the masks as a user sees them, see ``outlines``.
    """

    def __init__(
        self, student: Student, edge_weight: float = 0.0, outline_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.student = student
        self.edge_weight = edge_weight
        self.outline_weight = outline_weight

    def forward(self, batch: Batch, keep: float) -> Terms:
        """Return the terms of the loss, averaged over clips and over all frames but the first.

        Args:
            batch: clips with labels.
            keep: share of the cells that cross-entropy keeps.
        """
        predictions = rollout(self.student, batch)
        device = predictions[0].logits.device
        if batch.labels is None:
            raise UsageError("clips without labels", "labels to learn from")
        active = on_device(batch.active, device)
        labels = on_device(batch.labels, device)
        targets = list(coverage(labels, active.shape[1]).unbind(1))[1:]
        trust = [
            edge_emphasis(prediction.probability, target, self.edge_weight)
            for prediction, target in zip(predictions, targets, strict=True)
            if self.edge_weight
        ]
        terms = _mask_terms(predictions, targets, active, keep, trust)
        if self.outline_weight:
            seen = [self.student.outlined(p.probability, p.features) for p in predictions]
            found = torch.cat(seen).float()
            guide = on_device(batch.images, device)[:, 1:].transpose(0, 1).flatten(0, 1)
            truth = (labels[:, 1:].transpose(0, 1).flatten(0, 1) > 0).float()[:, None]
            loss = outline_loss(found, guide.permute(0, 3, 1, 2).float(), truth)
            terms["outline"] = self.outline_weight * loss
        return terms


class DistillObjective(nn.Module):
    """Compare the student with its teacher.

    No ground truth is looked at: a batch's labels are those that the teacher gave the footage. The
    student feeds on its own masks. The teacher has its tracks, which it found over the whole video
    and which the clip's warps and occluders cannot spoil, in memory; without them, its own masks.
    """

    def __init__(self, student: Student, teacher: Student, config: DistillConfig) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self.config = config

    def forward(self, batch: Batch, keep: float) -> Terms:
        """Return the weighted terms of the loss, averaged over clips and frames.

        Args:
            batch: clips as the teacher labelled them; ``labels`` may be ``None``.
            keep: share of the cells that cross-entropy keeps.
        """
        config = self.config
        device = next(self.student.parameters()).device
        active = on_device(batch.active, device)
        tracks = None
        if config.tracks and batch.labels is not None:
            tracks = coverage(on_device(batch.labels, device), active.shape[1])
        with torch.no_grad():
            taught = rollout(self.teacher, batch, tracks)
        learned = rollout(self.student, batch)
        terms: Terms = {}
        if config.masks:
            targets = [prediction.probability for prediction in taught]
            trust: list[Tensor] = []
            if tracks is not None:
                both = list(zip(targets, tracks[:, 1:].unbind(1), strict=True))
                targets = [torch.lerp(found, track, config.tracks) for found, track in both]
                if config.tracks < 1:
                    trust = [1 - (found - track).abs().sum(1) / 2 for found, track in both]
            for name, term in _mask_terms(learned, targets, active, keep, trust).items():
                terms[name] = config.masks * term
        for name, weight, relation in (
            ("inter", config.inter, inter_object_relation),
            ("intra", config.intra, intra_object_relation),
            ("divergence", config.divergence, logit_kl),
        ):
            if weight:
                values = [
                    relation(s.logits, t.logits, active, config.temperature)
                    for s, t in zip(learned, taught, strict=True)
                ]
                terms[name] = weight * torch.stack(values).mean()
        if config.attention:
            values = [
                self._map_distance(name, s, t)
                for s, t in zip(learned, taught, strict=True)
                for name in config.maps
            ]
            terms["attention"] = config.attention * torch.stack(values).mean()
        return terms

    def _map_distance(self, name: str, learned: Prediction, taught: Prediction) -> Tensor:
        ours, theirs = getattr(learned.maps, name), getattr(taught.maps, name)
        if self.config.comparison == "cka":
            return cka(ours, theirs)
        grid, theirs_grid = (
            _key_grid(model.config, name, learned.logits) for model in (self.student, self.teacher)
        )
        slots = ours.shape[2] // (grid[0] * grid[1])
        return attention_kl(ours, pool_keys(theirs, slots, theirs_grid, grid))


def _key_grid(config: StudentConfig, name: str, logits: Tensor) -> tuple[int, int]:
    """Return rows and columns of the reference points of a memory slot."""
    stride = {
        "long_term": config.long_stride,
        "short_term": config.short_stride,
        "self_attention": config.self_stride,
    }[name]
    height, width = logits.shape[2] // PATCH, logits.shape[3] // PATCH
    return -(-height // stride), -(-width // stride)


def _mask_terms(
    predictions: list[Prediction],
    targets: list[Tensor],
    active: Tensor,
    keep: float,
    trust: Sequence[Tensor] = (),
) -> Terms:
    pairs = [(p.probability, target) for p, target in zip(predictions, targets, strict=True)]
    weights: Sequence[Tensor | None] = trust or [None] * len(pairs)
    entropy = [
        bootstrapped_cross_entropy(found, target, keep, weight)
        for (found, target), weight in zip(pairs, weights, strict=True)
    ]
    jaccard = [soft_jaccard(found, target, active) for found, target in pairs]
    return {"cross_entropy": torch.stack(entropy).mean(), "jaccard": torch.stack(jaccard).mean()}
