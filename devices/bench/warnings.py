"""Say what makes a benchmark's figures untrustworthy."""

from collections.abc import Iterator, Sequence

import numpy as np

from edge_vos.devices.telemetry.conditions import Conditions, MachineSample, name_flags

TRUSTED_OTHER_PERCENT = 5.0
TRUSTED_SAMPLES = 300  # three of them lie beyond p99
TRUSTED_DRIFT = 1.1  # the last minute's p50 by the first's
TRUSTED_VARIATION = 1.1  # the slower seconds' p50 by the faster ones'
VARIATION_SECONDS = 5  # so many are needed to tell
TRUSTED_CLOCK = 0.9  # the last clock by the highest
SLOW_GOVERNORS = ("powersave", "conservative")


def sharing_warnings(other_percent: float | None) -> Iterator[str]:
    """Warn of a measurement during which others used the CPU.

    Args:
        other_percent: 0-100 of all cores' time; None where it is not known.
    """
    if other_percent is None:
        yield "Too short to tell whether other processes used the CPU."
    elif other_percent > TRUSTED_OTHER_PERCENT:
        yield (
            f"Other processes took {other_percent:.0f} % of the CPU meanwhile: do not trust "
            "these figures. Stop them and measure again."
        )


def samples_warnings(samples: int) -> Iterator[str]:
    """Warn of percentiles of too few steps."""
    if samples < TRUSTED_SAMPLES:
        yield (
            f"Only {samples} steps were measured: p99 wants at least {TRUSTED_SAMPLES}. "
            "Measure longer."
        )


def source_warnings(ended: str) -> Iterator[str]:
    """Warn of a measurement that its source ended.

    Args:
        ended: as :class:`edge_vos.devices.bench.report.LiveRun` has it.
    """
    if ended == "end":
        yield "The source ended before the measurement did: give a longer one, or measure shorter."
    elif ended != "stopped":
        yield "The source was lost before the measurement ended: check it and measure again."


def drift_warning(first_p50_ms: float, last_p50_ms: float, window_s: float, samples: int) -> str:
    """Warn of a measurement that ended slower than it began; empty where it did not.

    Args:
        window_s: over how much of its beginning and end the two were taken.
        samples: of the whole; of too few nothing is said.
    """
    if samples < TRUSTED_SAMPLES or last_p50_ms <= TRUSTED_DRIFT * first_p50_ms:
        return ""
    slower = 100 * (last_p50_ms / first_p50_ms - 1)
    return (
        f"The last {window_s:.0f} s were {slower:.0f} % slower than the first: the machine "
        "throttled, or something else began. Cool it, or report the last minute."
    )


def variation_warnings(samples_ms: Sequence[float], lasts_ms: Sequence[float]) -> Iterator[str]:
    """Warn of a measurement that was faster and slower in turn.

    What other machines on the same host do is not seen from inside, but for this.

    Args:
        samples_ms: of whole steps, in the order of their coming.
        lasts_ms: how much later each of them ended than the one before.
    """
    second = (np.cumsum(lasts_ms) / 1e3).astype(int)
    p50_ms = [float(np.median(part)) for part in
              np.split(np.asarray(samples_ms), np.flatnonzero(np.diff(second)) + 1)]  # fmt: skip
    if len(samples_ms) < TRUSTED_SAMPLES or len(p50_ms) < VARIATION_SECONDS:
        return
    fast_ms, slow_ms = np.quantile(p50_ms, (0.1, 0.9))
    if slow_ms > TRUSTED_VARIATION * fast_ms:
        yield (
            f"From second to second the p50 varied between {fast_ms:.1f} and {slow_ms:.1f} ms: "
            "something takes turns with this at the machine, or at its host. Two runs may differ "
            "as much; measure when it is idle, or longer."
        )


def machine_warnings(
    before: Conditions, after: Conditions, machine_samples: Sequence[MachineSample]
) -> Iterator[str]:
    """Warn of a machine that throttled, saves power, or runs on its battery."""
    if before.throttled is not None and (after.throttled or 0) > before.throttled:
        yield "The CPU throttled meanwhile: cool it and measure again."
    flags = name_flags(after.firmware_flags or 0, before.firmware_flags)
    if flags:
        yield (
            f"The Raspberry Pi tells of {' and '.join(flags)}: give it a stronger power supply, "
            "cool it, and measure again."
        )
    clocks = [moment.clock_mhz for moment in machine_samples if moment.clock_mhz]
    if clocks and clocks[-1] < TRUSTED_CLOCK * max(clocks):
        yield (
            f"The clock fell from {max(clocks):.0f} to {clocks[-1]:.0f} MHz: the machine throttles "
            "or saves power."
        )
    slow = [governor for governor in after.governors if governor in SLOW_GOVERNORS]
    if slow:
        yield (
            f"The clock's governor is {slow[0]}: the machine saves power between steps. "
            "Set it: sudo cpupower frequency-set -g performance"
        )
    if after.on_battery:
        yield "The machine runs on its battery: plug it in and measure again."
