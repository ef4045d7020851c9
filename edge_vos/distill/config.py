"""A training run as data."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edge_vos.distill.data.clip_config import ClipConfig
from edge_vos.distill.objectives import DistillConfig
from edge_vos.errors import UsageError
from edge_vos.model.config import PRESETS, StudentConfig

_ENCODER_STAGES = 4  # that can be trained; the stem and the first are always ImageNet's
RECIPES = Path(__file__).parent / "recipes"
"""TOML files, each with the fields in which a run differs from its command's own config."""


@dataclass(frozen=True)
class TrainConfig:
    """Describe a run; the same config and seed give the same student on the same machine.

    Args:
        preset: name in ``edge_vos.model.config.PRESETS``.
        overrides: fields of that preset that differ, such as ``{"offset_range": 0.0}``.
        clips: shape of the batches.
        steps: optimizer steps in all.
        learning_rate: peak, for everything but the encoder.
        encoder_learning_rate: peak, for the stages of the encoder that are trained.
        encoder_stages: how many of them those are, from the last on; two end at stride 16, three
            begin at stride 8, four at stride 4.
        weight_decay: of AdamW.
        warmup: steps of linear warm-up.
        cooldown: share of the steps, at the end, over which the rate falls linearly to zero.
        clip_norm: largest norm of the gradient.
        ema: decay of the moving average of the weights.
        keep: share of the cells that cross-entropy keeps once bootstrapping has set in.
        keep_ramp: share of the steps over which it sets in.
        edge_weight: how much more a cell counts where the target has an edge and the student is
            unsure; 0 is no more than any other.
        outline_weight: of the masks as a user sees them, after the guided filter; only a run from
            labels has this term.
        outline_learning_rate: peak, for the head that corrects outlines.
        only_outlines: train that head alone, beside a student that stays as it is.
        freeze_norm: leave the statistics of BatchNorm alone, as fine-tuning wants, but for those of
            the head that corrects outlines.
        distill: what is taken over from a teacher; ``None`` learns from labels.
        teacher_sha256: digest of the teacher's weights, where there is one.
        accumulate: batches whose gradients make up a step.
        schedule: (from step, frames, clips) of later batches that have another length or number.
        other_sizes: (height, width, clips) of batches that take turns, step by step, with those of
            the clips' own size: a student that shall run at several sizes is trained at all.
        bfloat16: compute in it where that is precise enough; None is on an accelerator only.
        seed: of the initial weights and of every batch.
        checkpoint_every: steps between checkpoints.

    Raises:
        UsageError: if the preset or one of its fields does not exist, or the schedule is wrong.
    """

    preset: str = "small"
    overrides: dict[str, Any] = field(default_factory=dict)
    clips: ClipConfig = field(default_factory=ClipConfig)
    steps: int = 4500
    learning_rate: float = 8e-4
    encoder_learning_rate: float = 1.5e-4
    encoder_stages: int = 2
    weight_decay: float = 0.03
    warmup: int = 100
    cooldown: float = 0.5
    clip_norm: float = 1.0
    ema: float = 0.998
    keep: float = 0.2
    keep_ramp: float = 0.25
    edge_weight: float = 0.0
    outline_weight: float = 0.0
    outline_learning_rate: float = 2e-3
    only_outlines: bool = False
    freeze_norm: bool = False
    accumulate: int = 1
    schedule: tuple[tuple[int, int, int], ...] = ()
    other_sizes: tuple[tuple[int, int, int], ...] = ()
    bfloat16: bool | None = None
    distill: DistillConfig | None = None
    teacher_sha256: str = ""
    seed: int = 0
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(
                f"preset {self.preset!r} does not exist", f"one of {', '.join(PRESETS)}"
            )
        unknown = sorted(set(self.overrides) - {f.name for f in fields(StudentConfig)})
        if unknown:
            raise UsageError(f"a student has no {', '.join(unknown)}", "fields of StudentConfig")
        if self.only_outlines and not (self.outline_weight and self.student.outline_width):
            raise UsageError(
                "only_outlines has nothing to train",
                "an outline_weight above 0 and a student with an outline_width",
                "Add --config outlines",
            )
        if not 0 <= self.encoder_stages <= _ENCODER_STAGES:
            raise UsageError(f"encoder_stages = {self.encoder_stages}", f"0 to {_ENCODER_STAGES}")
        if self.accumulate < 1:
            raise UsageError(f"accumulate = {self.accumulate}", "1 batch a step, or more")
        starts = [entry[0] for entry in self.schedule]
        short = any(frames < 2 or clips < 1 for _, frames, clips in self.schedule)
        if short or starts != sorted(set(starts)):
            raise UsageError(
                f"schedule = {[list(entry) for entry in self.schedule]}",
                "entries [from step, frames, clips] in order, of two frames or more",
            )

    def clips_at(self, step: int) -> ClipConfig:
        """Return the shape of the batches of a step, counted from 0."""
        shape = self.clips
        for start, frames, clips in self.schedule:
            if step >= start:
                shape = replace(self.clips, frames=frames, clips=clips)
        turn = step % (1 + len(self.other_sizes))
        if turn:
            height, width, clips = self.other_sizes[turn - 1]
            shape = replace(shape, size=(height, width), clips=clips)
        return shape

    def batch_clips(self, number: int) -> ClipConfig:
        """Return the shape of a batch by its number; a step takes ``accumulate`` of them."""
        return self.clips_at(number // self.accumulate)

    @property
    def student(self) -> StudentConfig:
        """Return the student's shape."""
        return StudentConfig.from_dict({**PRESETS[self.preset].to_dict(), **self.overrides})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Build a config from ``to_dict``'s result; what is missing has its default.

        Raises:
            UsageError: if a field is unknown.
        """
        for kind, given in (
            (cls, values),
            (ClipConfig, values.get("clips", {})),
            (DistillConfig, values.get("distill") or {}),
        ):
            if unknown := sorted(set(given) - {f.name for f in fields(kind)}):
                raise UsageError(
                    f"unknown field {unknown[0]!r}",
                    f"fields of {kind.__name__}: {', '.join(f.name for f in fields(kind))}",
                )
        made = dict(values)
        if "schedule" in made:
            made["schedule"] = _triples("schedule", made["schedule"], "[from step, frames, clips]")
        if "other_sizes" in made:
            made["other_sizes"] = _triples(
                "other_sizes", made["other_sizes"], "[height, width, clips]"
            )
        if "clips" in made:
            made["clips"] = ClipConfig(**_tupled(made["clips"]))
        if made.get("distill") is not None:
            made["distill"] = DistillConfig(**_tupled(made["distill"]))
        return cls(**made)


def continued(config: TrainConfig, student: StudentConfig) -> TrainConfig:
    """Return a short and careful run that goes on from a student of this shape.

    Raises:
        UsageError: if the student is named after no preset.
    """
    values = student.to_dict()
    usual = PRESETS[student.name].to_dict() if student.name in PRESETS else {}
    return replace(
        config,
        preset=student.name,
        overrides={name: value for name, value in values.items() if value != usual.get(name)},
        steps=300,
        learning_rate=2.5e-5,
        encoder_learning_rate=5e-6,
        warmup=20,
        keep_ramp=0.0,
        freeze_norm=True,
        checkpoint_every=50,
    )


def merged(config: TrainConfig, given: dict[str, Any]) -> TrainConfig:
    """Return the config with the given fields changed; those of a table one by one.

    Raises:
        UsageError: if a field is unknown.
    """
    values = config.to_dict()
    for name, value in given.items():
        both = isinstance(value, dict) and isinstance(values.get(name), dict)
        values[name] = {**values[name], **value} if both else value
    return TrainConfig.from_dict(values)


def fitted(config: TrainConfig, steps: int) -> TrainConfig:
    """Return the config with another number of steps, and its schedule stretched to them."""
    starts = {
        round(start * steps / config.steps): (frames, clips)
        for start, frames, clips in config.schedule
    }
    schedule = tuple((start, *shape) for start, shape in sorted(starts.items()))
    return replace(config, steps=steps, schedule=schedule)


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Return the factor on the peak learning rate: warm-up, constant, linear cool-down."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    start = config.steps * (1 - config.cooldown)
    if step < start:
        return 1.0
    return max(0.0, (config.steps - step) / max(1.0, config.steps - start))


def _triples(name: str, entries: Any, each: str) -> tuple[tuple[int, int, int], ...]:
    try:
        return tuple((int(first), int(second), int(third)) for first, second, third in entries)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} = {entries!r}", f"a list of {each}") from error


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
