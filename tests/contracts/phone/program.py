"""The phone projects' plain code as a program that runs, asked over its pipe."""

import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.bundle import shipped_bundle_path
from edge_vos.runtime.objects.view import View

BUNDLE = shipped_bundle_path("fast")

Mask = NDArray[np.uint8]
Tensors = dict[str, NDArray[np.float32]]
Answer = Callable[[Tensors], Tensors]


@dataclass
class Found:
    """What a program says of a step."""

    view: View
    confidence: dict[int, float]
    labels: Mask


class Phone:
    """A program that runs, asked over its pipe; numbers are big-endian."""

    def __init__(self, to: IO[bytes], of: IO[bytes], engines: Sequence[Answer]) -> None:
        self._to, self._of, self._engines = to, of, engines

    def step(self, frame: Mask, given: Mask | None = None) -> Found:
        self._ask(b"S" + self._frame(frame) + struct.pack(">?", given is not None))
        numbers, data = self._answer(b"" if given is None else given.tobytes())
        states = np.array(numbers[4:], ">i4").reshape(-1, 2)
        confidence = dict(
            zip(states[:, 0].tolist(), states[:, 1].copy().view(">f4").tolist(), strict=True)
        )
        left, top, width, height = numbers[:4]
        view = View(top, top + height, left, left + width)
        return Found(view, confidence, np.reshape(data, frame.shape[:2]))

    def in_box(self, frame: Mask, *box: int) -> Mask:
        self._ask(b"B" + self._frame(frame))
        return np.reshape(self._answer(struct.pack(">4i", *box))[1], frame.shape[:2])

    def at(self, frame: Mask, x: int, y: int) -> Mask:
        self._ask(b"T" + self._frame(frame))
        return np.reshape(self._answer(struct.pack(">2i", x, y))[1], frame.shape[:2])

    def pixel(
        self, size: tuple[int, int], view: tuple[int, int], x: int, y: int, *, mirrored: bool
    ) -> list[int]:
        return self._answer(b"P" + struct.pack(">4i?2i", *size, *view, mirrored, x, y))[0]

    def overlay(self, labels: Mask) -> list[int]:
        return self._answer(b"O" + struct.pack(">i", labels.size) + labels.tobytes())[0]

    def show_box(self, *box: int) -> None:
        self._ask(b"b" + struct.pack(">4i", *box))

    def show_tap(self, x: int, y: int) -> None:
        self._ask(b"t" + struct.pack(">2i", x, y))

    def drop_last(self) -> None:
        self._ask(b"d")

    def told(self, frame: Mask) -> str:
        """Step the session; what it follows, or what it refuses."""
        self._ask(b"n" + self._frame(frame))
        return bytes(self._answer()[1]).decode()

    def objects(self) -> list[int]:
        return self._answer(b"I")[0]

    def drop(self, object_id: int) -> None:
        self._ask(b"D" + struct.pack(">i", object_id))

    def reset(self) -> None:
        self._ask(b"R")

    @staticmethod
    def _frame(frame: Mask) -> bytes:
        rgba = cv2.cvtColor(frame, cv2.COLOR_BGR2RGBA)
        return struct.pack(">2i", *frame.shape[:2]) + rgba.tobytes()

    def _ask(self, data: bytes) -> None:
        self._to.write(data)

    def _answer(self, data: bytes = b"") -> tuple[list[int], Mask]:
        self._ask(data)
        self._to.flush()
        while (kind := self._read(1)) == b"E":
            self._infer(*self._integers(2))
        assert kind in b"SMPOIN", kind
        (count,) = self._integers(1)
        numbers = self._integers(count)
        return numbers, np.frombuffer(self._read(*self._integers(1)), np.uint8)

    def _infer(self, graph: int, count: int) -> None:
        inputs = {}
        for _ in range(count):
            name = self._read(*struct.unpack(">h", self._read(2))).decode()
            (length,) = self._integers(1)
            inputs[name] = np.frombuffer(self._read(4 * length), ">f4").astype(np.float32)
        outputs = self._engines[graph](inputs)
        self._ask(struct.pack(">i", len(outputs)))
        for name, data in outputs.items():
            self._ask(struct.pack(">h", len(name)) + name.encode() + struct.pack(">i", data.size))
            self._ask(data.astype(">f4").tobytes())
        self._to.flush()

    def _integers(self, count: int) -> list[int]:
        return list(struct.unpack(f">{count}i", self._read(4 * count)))

    def _read(self, count: int) -> bytes:
        data = self._of.read(count)
        assert len(data) == count, "the program ended"
        return data


@contextmanager
def running(program: list[str], *engines: Answer) -> Iterator[Phone]:
    process = subprocess.Popen(
        [*program, str(BUNDLE / "manifest.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Phone(process.stdin, process.stdout, engines)
        process.stdin.write(b"Q")
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()


class Calls:
    """An engine that keeps what it was given and what it answered, by call."""

    def __init__(self, run: Answer) -> None:
        self.run_ = run
        self.given: list[Tensors] = []
        self.answers: list[Tensors] = []

    def run(self, inputs: Tensors) -> Tensors:
        self.given.append({name: data.copy() for name, data in inputs.items()})
        outputs = {name: data.copy() for name, data in self.run_(inputs).items()}
        self.answers.append(outputs)
        return outputs

    def close(self) -> None:
        pass
