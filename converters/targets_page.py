"""Print ``docs/targets.md``: ``python -m edge_vos.converters.targets_page > docs/targets.md``."""

from collections.abc import Iterable, Sequence

from edge_vos.converters.known_bad import KNOWN_BAD
from edge_vos.converters.targets import TARGETS
from edge_vos.converters.verify.tolerance import prompt_tolerance_for, tolerance_for
from edge_vos.engines import ENGINES, Engine

_HEAD = """\
# Targets

What `edge-vos convert` can make. This page is generated from the tables in the code:
`python -m edge_vos.converters.targets_page > docs/targets.md`.

A *target* is a kind of device; it names a *backend*, the engine that runs there.
`--target all` makes every target's default, `--backend all --precision all` everything there is.
"""

_EVALUATION = """\
"Checked on the machine that converts" says what runs the artifact over a clip of 100 frames before
the bundle is written. Where something stands in for the engine, the bundle is reported as NOT
EXECUTED, with the figures that the stand-in found; `edge-vos verify BUNDLE` repeats its golden on
the device itself.
"""

_GATES = """\
What an engine may differ by from eager PyTorch. A bundle that is further off is not written.
Errors are those of one call: a probability's on average; a memory entry's by the L2 norm of the
difference, as a part of its own, which does not hang on outliers; and the largest anywhere, of an
entry as a part of its largest value.
"""

_PROMPT_GATES = """\
The prompt head's, of every backend: masks of real prompts, one by one.
"""

_KNOWN = """\
Combinations that are *refused* end a conversion before any work; the others are worked around.
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [
        _HEAD,
        _table(
            ("target", "for", "backend", "precision", "why", "size", "from"),
            (
                (
                    name,
                    row.description,
                    row.backend,
                    row.precision,
                    row.reason,
                    f"{row.size[0]}x{row.size[1]}",
                    row.deployment,
                )
                for name, row in TARGETS.items()
            ),
        ),
        "## Backends\n",
        _EVALUATION,
        _table(
            ("backend", "precisions", "sampler", "why", "checked on the machine that converts"),
            (
                (
                    name,
                    ", ".join(row.precisions),
                    row.sampler,
                    row.sampler_reason,
                    _checked(row),
                )
                for name, row in ENGINES.items()
            ),
        ),
        _table(
            ("backend", "install"),
            ((name, f'`pip install "edge-vos[{row.extra}]"`') for name, row in ENGINES.items()),
        ),
        "## Gates\n",
        _GATES,
        _table(
            (
                "backend",
                "precision",
                "mask IoU",
                "mean error",
                "entry error",
                "largest error",
                "J&F drop",
            ),
            (
                (
                    name,
                    precision,
                    f"{limits.mask_iou:g}",
                    f"{limits.mean_abs_error:g}",
                    f"{limits.norm_error:g}",
                    "reported" if limits.max_abs_error is None else f"{limits.max_abs_error:g}",
                    f"{limits.jf_drop:g}",
                )
                for name, row in ENGINES.items()
                for precision in row.precisions
                for limits in [tolerance_for(precision)]
            ),
        ),
        _PROMPT_GATES,
        _table(
            ("precision", "mask IoU", "mean error", "largest error"),
            (
                (
                    precision,
                    f"{limits.mask_iou:g}",
                    f"{limits.mean_abs_error:g}",
                    "reported" if limits.max_abs_error is None else f"{limits.max_abs_error:g}",
                )
                for precision in ("fp32", "fp16", "others")
                for limits in [prompt_tolerance_for(precision)]
            ),
        ),
        "## Known to go wrong\n",
        _KNOWN,
        _table(
            ("engine", "versions", "what", "consequence", "here", "thread"),
            (
                (
                    row.engine,
                    row.versions or "any",
                    row.what,
                    row.consequence,
                    row.remedy if row.refused is None else f"refused; {row.remedy}",
                    row.thread,
                )
                for row in KNOWN_BAD
            ),
        ),
    ]
    return "\n".join(parts)


def _checked(row: Engine) -> str:
    if row.executes:
        return "executed"
    return f"NOT EXECUTED, evaluated by {row.stand_in_name}" if row.stand_in else "NOT EXECUTED"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(page(), end="")
