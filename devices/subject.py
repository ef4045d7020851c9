"""Say which bundle a report is about, and how it was run."""

from dataclasses import dataclass

from edge_vos.bundle import Bundle


@dataclass(frozen=True)
class Subject:
    """Hold what every report says of the bundle that was measured.

    Args:
        bundle: the bundle's name.
        bundle_sha256: the bundle's digest.
        engine: the engine that ran it.
        precision: of the bundle, such as ``fp32``.
        size: (height, width) of the network's image.
        threads: what the engine was told to use; None left it to the engine.
    """

    bundle: str
    bundle_sha256: str
    engine: str
    precision: str
    size: tuple[int, int]
    threads: int | None

    @property
    def bundle_text(self) -> str:
        """Return the bundle, ready to print."""
        height, width = self.size
        return f"{self.bundle} ({self.bundle_sha256[:12]}), {self.precision}, {height}x{width}"

    @property
    def threads_text(self) -> str:
        """Return the threads, ready to print."""
        if self.threads is None:
            return "its own choice of threads"
        return f"{self.threads} thread" if self.threads == 1 else f"{self.threads} threads"


def subject_of(bundle: Bundle, engine: str, threads: int | None) -> Subject:
    """Return what a report says of a bundle.

    Args:
        bundle: that was measured.
        engine: that ran it.
        threads: of the engine; None is its own choice.
    """
    manifest = bundle.manifest
    return Subject(manifest.name, bundle.sha256, engine, manifest.precision, manifest.size, threads)
