"""Read the options of ``edge-vos bench``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_vos.cli.video.prompts import Prompts
from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.devices.bench.live import LiveRequest
    from edge_vos.evaluate.sequences import Dataset

QUICK_S = 10.0
USUAL_STEPS, USUAL_S = 1024, 60.0
LONGEST_SETUP_S = 3600.0  # a board may build an engine for so long
LONGEST_STEP_S = 10.0
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Length:
    """Say how long to measure: until ``steps`` or ``seconds``, the first to come.

    Args:
        steps: None is no limit.
        seconds: None is no limit.
        options: that say the same to another process.
    """

    steps: int | None = USUAL_STEPS
    seconds: float | None = USUAL_S
    options: tuple[str, ...] = ()

    def timeout_s(self, dataset: "Dataset | None") -> float:
        """Return how long a process that measures so long may take before it counts as hung."""
        seconds = self.seconds
        if seconds is None:
            seconds = (self.steps or 0) * LONGEST_STEP_S
        scored = 0 if dataset is None else sum(len(one) for one in dataset.sequences)
        return LONGEST_SETUP_S + 3 * seconds + scored * LONGEST_STEP_S


def read_length(quick: bool, sustained: str | None, frames: int | None) -> Length:
    """Return how long to measure.

    Raises:
        UsageError: if two options say it, or one is out of its range.
    """
    given = {"--quick": quick, "--sustained": sustained is not None, "--frames": frames is not None}
    chosen = [name for name, there in given.items() if there]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} together", "one of them", "Leave one out")
    if frames is not None:
        return Length(frames, None, (f"--frames={frames}",))
    if not chosen:
        return Length()
    seconds = QUICK_S if sustained is None else parse_duration(sustained)
    return Length(None, seconds, (f"--sustained={seconds}s",))


def parse_duration(text: str) -> float:
    """Read seconds out of a text such as ``90s``, ``10m`` or ``1h``.

    Raises:
        UsageError: if it is something else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if found is None or float(found[1]) == 0:
        raise UsageError(f"a duration of {text!r}", "such as 90s, 10m or 1h", "Mend --sustained")
    return float(found[1]) * _SECONDS[found[2]]


def read_numbers(text: str | None, option: str) -> list[int | None]:
    """Read numbers such as ``1,2``; without any, leave the one choice to the product.

    Raises:
        UsageError: if it is something else.
    """
    if text is None:
        return [None]
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}", "a number, with --matrix also 1,2") from None


def read_number(text: str | None, option: str) -> int | None:
    """Read one number.

    Raises:
        UsageError: if it is something else, or several.
    """
    numbers = read_numbers(text, option)
    if len(numbers) > 1:
        raise UsageError(f"{option} {text} of one measurement", "one number", "Add --matrix")
    return numbers[0]


def read_bundle_path(bundles: list[Path] | None) -> Path | None:
    """Return the one bundle that is named; None is the one that ships.

    Raises:
        UsageError: if there are several.
    """
    if len(bundles or ()) > 1:
        raise UsageError("several bundles for one measurement", "one bundle", "Add --matrix")
    return bundles[0] if bundles else None


def read_live(source: str | None, record: bool, prompts: Prompts) -> "LiveRequest | None":
    """Return what to measure on in place of a drawn clip.

    Raises:
        UsageError: if there is a prompt or a recording, and no source.
    """
    if source is None:
        if record or prompts:
            raise UsageError(
                f"{'--record' if record else '--box or --mask'} without a source",
                "the camera or clip that it is for",
                "Add --source URI",
            )
        return None
    from edge_vos.cli.video.process import prepare_process

    prepare_process()
    from edge_vos.devices.bench.live import LiveRequest

    return LiveRequest(source, record, prompts.give if prompts else None)


def read_davis(davis: Path | None, sequences: str | None) -> "Dataset | None":
    """Find the sequences to score, before anything is measured, which takes a while.

    Raises:
        UsageError: if sequences are named and no data set.
        DatasetError: if it is no data set with ground truth.
    """
    if davis is None:
        if sequences is not None:
            raise UsageError("--sequences without --davis", "a data set", "Add --davis DIR")
        return None
    from edge_vos.cli.evaluate import parse_sequences
    from edge_vos.evaluate.run import read_dataset

    dataset = read_dataset(davis, "davis2016", parse_sequences(sequences))
    dataset.require_truth()
    return dataset
