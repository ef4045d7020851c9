"""See whether a step that takes 15 % longer is caught, and whether two plain runs agree.

Not part of the test suite. ``edge-vos bench`` measures the shipped bundle four times, in turn as it
is and slowed on purpose, each in a process of its own; ``edge-vos compare`` judges the reports.

Run ``python tests/benchmarks/slowdown.py --seconds 30`` on a machine that does nothing else. Exits
with 1 if the two plain runs differ by more than 5 % at p50, or if a slowed one passes.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.devices.bench.compare import Comparison, compare_reports, read_report
from edge_vos.devices.bench.measure import BenchRequest, bench
from edge_vos.devices.bench.report_file import write_report
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.backends.runner import Runner
from edge_vos.runtime.model import LoadedModel, open_bundle

SLOWER = 0.15
AGREE_PERCENT = 5.0
JUDGED = "latency_ms.end_to_end.p50"
ORDER = ("plain-1", "slowed-1", "plain-2", "slowed-2")


class Slowed:
    """Wait busily in each call, for a share of what the step before it took without the wait.

    Args:
        runner: the engine; closed with this.
        share: of a step.
    """

    def __init__(self, runner: Runner, share: float) -> None:
        self._runner, self._share = runner, share
        self._began_s: float | None = None
        self._waited_s = 0.0

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Run the engine, and wait."""
        now_s = time.perf_counter()
        step_s = 0.0 if self._began_s is None else now_s - self._began_s - self._waited_s
        self._began_s, self._waited_s = now_s, self._share * step_s
        outputs = self._runner.run(inputs)
        until_s = time.perf_counter() + self._waited_s
        while time.perf_counter() < until_s:
            pass
        return outputs

    def close(self) -> None:
        """Free the engine."""
        self._runner.close()


def open_slowed(path: Path, engine: str | None, threads: int | None) -> LoadedModel:
    """Open a bundle with an engine that waits."""
    model = open_bundle(path, engine, threads)
    return replace(model, runner=Slowed(model.runner, SLOWER))


def measure(options: argparse.Namespace, name: str, path: Path) -> None:
    """Measure once, in this process, and write the report."""
    request = BenchRequest(
        bundle=options.bundle,
        objects=options.objects,
        threads=options.threads,
        steps=None,
        seconds=options.seconds,
    )
    cv2.setNumThreads(1)  # as edge-vos bench does
    opened = open_slowed if name.startswith("slowed") else open_bundle
    write_report(bench(request, open_model=opened), path)


def measure_apart(options: argparse.Namespace, name: str, path: Path) -> dict[str, Any]:
    """Measure once, in another process, and return the report."""
    command = [sys.executable, __file__, "--only", name, "-o", str(path),
               "--seconds", str(options.seconds), "--objects", str(options.objects)]  # fmt: skip
    command += [] if options.bundle is None else ["--bundle", str(options.bundle)]
    command += [] if options.threads is None else ["--threads", str(options.threads)]
    if subprocess.run(command, check=False).returncode:
        raise EdgeVosError(f"The run {name} failed")
    return read_report(path)


def tell(name: str, found: Comparison) -> None:
    """Print what one comparison found."""
    ratio = found.ratios[JUDGED]
    worse = ", ".join(found.regressions) or "nothing"
    print(f"{name}: p50 {ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f}); worse: {worse}")


def judge(folder: Path, options: argparse.Namespace) -> bool:
    """Measure all four and return whether everything is as it should be."""
    reports = {}
    for name in ORDER:
        print(f"measuring {name}, {options.seconds:g} s", file=sys.stderr)
        reports[name] = measure_apart(options, name, folder / f"{name}.json")
        p50 = reports[name]["latency_ms"]["end_to_end"]["p50"]
        print(f"{name}: p50 {p50:.2f} ms over {reports[name]['samples']} steps")
        for warning in reports[name]["warnings"]:
            print(f"WARNING: {name}: {warning}", file=sys.stderr)
    plain = compare_reports(reports["plain-1"], reports["plain-2"])
    tell("plain-1 to plain-2", plain)
    agree = abs(plain.ratios[JUDGED].ratio - 1) <= AGREE_PERCENT / 100
    caught = True
    for number in "12":
        found = compare_reports(reports[f"plain-{number}"], reports[f"slowed-{number}"])
        tell(f"plain-{number} to slowed-{number}", found)
        caught = caught and JUDGED in found.regressions
    print(f"two plain runs agree within {AGREE_PERCENT:g} %: {'yes' if agree else 'NO'}")
    print(f"{100 * SLOWER:g} % slower is caught: {'yes' if caught else 'NO'}")
    return agree and caught


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="the shipped one by default")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--threads", type=int, help="of the engine, not its own choice")
    parser.add_argument("-o", "--output", type=Path, help="a folder for the reports, kept")
    parser.add_argument("--only", choices=ORDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.only:
            measure(options, options.only, options.output)
            return 0
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
            return 0 if judge(options.output, options) else 1
        with TemporaryDirectory() as folder:
            return 0 if judge(Path(folder), options) else 1
    except EdgeVosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
