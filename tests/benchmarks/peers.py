"""Time edge-vos side by side with DeAOT-T and Cutie-small: same clip, size, objects, threads.

Not part of the test suite. Run it on an idle machine (see README.md beside this file)::

    python tests/benchmarks/peers.py --size 240x432 --objects 10 --threads 2 --json

Every contender lives in a process of its own and keeps its memory from round to round. In each
round all of them take their turn within seconds of each other, in alternating order; a round gives
one ratio for each peer, and the interval is bootstrapped over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from edge_vos.bundle import SHIPPED_SIZES, read_bundle, shipped_bundle_path
from edge_vos.devices.bench.clip import draw_clip
from edge_vos.devices.bench.ratio import paired_ratio
from edge_vos.devices.bench.warnings import TRUSTED_OTHER_PERCENT
from edge_vos.devices.telemetry.cpu import CpuWatch
from edge_vos.devices.telemetry.probe import probe_device
from edge_vos.errors import EdgeVosError

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
OURS = "edge-vos"
PEERS = ("DeAOT-T", "Cutie-small")
# Without their dependencies: deaotpy's compiled correlation kernel is optional and needs CUDA.
PEER_PACKAGES = ("deaotpy==1.11.0", "rf-cutie==1.0.1")
CYCLE = 5  # steps that are timed as one: Cutie and edge-vos both write memory every five
MIN_ROUNDS = 4
MAX_ROUNDS = 12
ANSWER_TIMEOUT_S = 300.0


class ContenderError(Exception):
    """Report a contender that could not be installed, started or stepped."""


@dataclass(frozen=True)
class Visit:
    """Hold one turn of one contender: milliseconds a step, each the mean of one cycle."""

    step_ms: list[float]
    whole_ms: list[float] | None
    cpu_s: float


class Contender:
    """One network in a process of its own."""

    def __init__(self, name: str, python: Path, clip: Path, threads: int, bundle: Path) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in __exit__)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", HERE / "peer_worker.py", name, clip, str(threads), bundle],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer."""
        too_late = threading.Event()

        def give_up() -> None:
            too_late.set()
            self._process.kill()

        timer = threading.Timer(ANSWER_TIMEOUT_S, give_up)
        timer.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        timer.cancel()
        if too_late.is_set():
            raise ContenderError(f"{self.name} gave no answer within {ANSWER_TIMEOUT_S:.0f} s")
        if not line:
            self._process.wait()
            self._log.seek(0)
            last = self._log.read().strip().splitlines()[-1:] or ["no message"]
            raise ContenderError(f"{self.name} stopped: {last[0]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def visit(self, cycles: int) -> Visit:
        """Take a turn."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"steps": cycles * CYCLE}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ContenderError(f"{self.name} stopped between two turns") from error
        answer = self.answer()
        whole = answer.get("whole_ms")
        return Visit(by_cycle(answer["step_ms"]), whole and by_cycle(whole), answer["cpu_s"])


def by_cycle(samples_ms: list[float]) -> list[float]:
    """Return the mean of every cycle, so that the cost of memory writes is shared fairly."""
    means: list[float] = np.reshape(samples_ms, (-1, CYCLE)).mean(axis=1).tolist()
    return means


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def peers_python(folder: Path) -> Path:
    """Return the interpreter of the peers' environment; make the environment if it is missing."""
    python = folder / "bin" / "python"
    requirements = HERE / "requirements-peers.txt"
    wanted = requirements.read_text() + "\n".join(PEER_PACKAGES)
    complete = folder / "complete.txt"
    if complete.is_file() and complete.read_text() == wanted:
        return python
    say(f"installing the peers into {folder} (a minute or two)")
    venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([*pip, "-r", str(requirements)], check=True, stdout=sys.stderr)
        subprocess.run([*pip, "--no-deps", *PEER_PACKAGES], check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise ContenderError(f"the peers cannot be installed into {folder}") from error
    complete.write_text(wanted)
    return python


def bundle_of_size(bundle: Path | None, size: tuple[int, int] | None, folder: Path) -> Path:
    """Return a bundle of that size; the shipped weights are converted for it where needed."""
    if size is None:
        return bundle or shipped_bundle_path()
    asked = f"{size[0]}x{size[1]}"
    if bundle is not None:
        if read_bundle(bundle).manifest.size != size:
            raise ContenderError(f"{bundle} is of another size than {asked}")
        return bundle
    if size in SHIPPED_SIZES.values():
        return shipped_bundle_path(asked)
    say(f"converting the shipped weights for {asked}")
    command = [sys.executable, "-c", "from edge_vos.cli import main; main()", "convert"]
    command += ["--target", "cpu", "--size", asked, "-o", str(folder / "bundles"), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ContenderError(
            f"cannot convert for {asked}; it wants pip install 'edge-vos[convert]'"
        )
    return Path(json.loads(done.stdout)["bundles"][0]["path"])


def save_clip(path: Path, size: tuple[int, int], objects: int) -> None:
    """Draw the clip that every contender is fed, at the network's own size."""
    clip = draw_clip(size, objects)
    np.savez(path, frames=np.stack(clip.frames + clip.frames[-2:0:-1]), mask=clip.mask)


def run_rounds(
    contenders: list[Contender], seconds: float
) -> tuple[dict[str, list[Visit]], float | None]:
    """Let the contenders take turns until the time is over.

    Returns:
        the visits of each contender, one a round, and the share of the CPU that others used.
    """
    turn_s = seconds / (MAX_ROUNDS * len(contenders))
    cycles = {}
    for contender in contenders:
        cycle_s = statistics.median(contender.visit(1).step_ms) * CYCLE / 1e3
        cycles[contender.name] = max(1, round(turn_s / cycle_s))
    visits: dict[str, list[Visit]] = {contender.name: [] for contender in contenders}
    watch = CpuWatch()
    end = time.monotonic() + seconds
    order = list(contenders)
    while len(visits[OURS]) < MAX_ROUNDS:
        for contender in order:
            visits[contender.name].append(contender.visit(cycles[contender.name]))
        order.reverse()
        rounds = len(visits[OURS])
        say(f"round {rounds} of at most {MAX_ROUNDS}")
        if rounds >= MIN_ROUNDS and time.monotonic() > end:
            break
    used_s = sum(visit.cpu_s for done in visits.values() for visit in done)
    return visits, watch.other_percent(children_s=used_s)


def compare(peer: list[Visit], ours: list[Visit]) -> dict[str, Any]:
    """Return a peer's time over ours, for one step and against the whole of ours."""
    medians = [statistics.median(visit.step_ms) for visit in peer]
    whole = [statistics.median(visit.whole_ms or []) for visit in ours]
    step = paired_ratio(medians, [statistics.median(visit.step_ms) for visit in ours], seed=0)
    return {
        **asdict(step),
        "step_ms": statistics.median(medians),
        "steps": CYCLE * sum(len(visit.step_ms) for visit in peer),
        "over_our_whole_step": asdict(paired_ratio(medians, whole, seed=0)),
    }


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Start all contenders on the same clip, let them take turns, and compare."""
    python = peers_python(arguments.venv)
    bundle = bundle_of_size(arguments.bundle, arguments.size, folder)
    size = read_bundle(bundle).manifest.size
    clip = folder / "clip.npz"
    save_clip(clip, size, arguments.objects)
    failed = []
    with ExitStack() as stack:
        contenders, started = [], {}
        for name in (OURS, *arguments.peers):
            say(f"starting {name}")
            interpreter = Path(sys.executable) if name == OURS else python
            contender = Contender(name, interpreter, clip, arguments.threads, bundle)
            stack.enter_context(contender)
            try:
                started[name] = contender.answer()
                contenders.append(contender)
            except ContenderError as error:
                if name == OURS:
                    raise
                failed.append(str(error))
        if len(contenders) == 1:
            raise ContenderError("; ".join(failed))
        visits, foreign = run_rounds(contenders, arguments.seconds)
    ours = visits.pop(OURS)
    warnings = [f"{reason}: left out" for reason in failed]
    if foreign is None or foreign > TRUSTED_OTHER_PERCENT:
        share = "an unknown share" if foreign is None else f"{foreign:.0f} %"
        warnings.append(f"other processes took {share} of the CPU: do not trust these figures")
    return {
        "peers": [
            {"name": name, **compare(done, ours), **versions(started[name])}
            for name, done in visits.items()
        ],
        "ours": {
            "step_ms": statistics.median(ms for visit in ours for ms in visit.step_ms),
            "whole_step_ms": statistics.median(ms for v in ours for ms in v.whole_ms or []),
            "steps": CYCLE * sum(len(visit.step_ms) for visit in ours),
            **versions(started[OURS]),
        },
        "size": size,
        "objects": arguments.objects,
        "threads": arguments.threads,
        "rounds": len(ours),
        "device": asdict(probe_device()),
        "other_cpu_percent": foreign,
        "warnings": warnings,
    }


def versions(started: dict[str, Any]) -> dict[str, str]:
    return {"version": started["version"], "engine": started["engine"]}


def markdown(report: dict[str, Any]) -> str:
    """Return the table for the README."""
    ours = report["ours"]
    height, width = report["size"]
    lines = [
        f"One step at {height}x{width}, objects: {report['objects']}, "
        f"threads: {report['threads']}, {report['device']['name']}, "
        f"{report['rounds']} alternating rounds:",
        "",
        "| | engine | step, ms | peer's time over ours (95 %) |",
        "| --- | --- | ---: | ---: |",
        f"| edge-vos {ours['version']} | {ours['engine']} | {ours['step_ms']:.1f} | |",
    ]
    lines += [
        f"| {peer['name']} | {peer['engine']} | {peer['step_ms']:.1f} | "
        f"{peer['ratio']:.1f} ({peer['low']:.1f} to {peer['high']:.1f}) |"
        for peer in report["peers"]
    ]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    def size(text: str) -> tuple[int, int]:
        height, width = map(int, text.split("x"))
        return height, width

    parser = argparse.ArgumentParser(description="Time edge-vos side by side with its peers.")
    parser.add_argument("--size", type=size, metavar="HxW", help="the bundle's by default")
    parser.add_argument("--objects", type=int, default=10, choices=range(1, 11), metavar="N")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--seconds", type=float, default=100.0, help="time for all rounds")
    parser.add_argument("--bundle", type=Path, help="ours; the shipped one by default")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--venv", type=Path, default=REPOSITORY / "build" / "peers")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="edge-vos-peers-") as folder:
            report = measure(arguments, Path(folder))
    except (ContenderError, EdgeVosError) as error:
        say(f"error: {error}")
        return 1
    for warning in report["warnings"]:
        say(f"WARNING: {warning}")
    print(json.dumps(report, indent=2) if arguments.json else markdown(report))
    return 0 if len(report["peers"]) == len(arguments.peers) else 1


if __name__ == "__main__":
    sys.exit(main())
