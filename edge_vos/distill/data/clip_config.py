"""The clips of a batch as data."""

from dataclasses import dataclass, fields

from edge_vos.distill.data.footage import DECODE_HEIGHT
from edge_vos.errors import UsageError


@dataclass(frozen=True)
class ClipConfig:
    """Describe the clips of a batch. A share is a probability; 0 leaves a thing out.

    Args:
        size: (height, width) in pixels of the training image.
        clips: clips in a batch.
        frames: frames in a clip; the first one carries the prompt.
        objects: largest number of labelled objects in a clip.
        max_gap: largest distance, in frames, between neighbours taken from a video.
        reverse_share: share of the clips of videos that run backwards.
        still_share: share of clips made from stills.
        least_zoom: how large a source appears at least, against just covering the image; what is
            missing below 1 is mirrored.
        paste_share: share of clips onto which another object is pasted.
        hide_share: share of clips in which everything is hidden for a while and comes back.
        blur_share: share of clips of which some frames are blurred.
        ring_dropout: share of frames that must do without the ring of the memory.
        source_height: lines at which pictures are decoded; 0 is as many as are trained, and 360 at
            least.
        ground_share: share of clips that are a ground of which nothing is labelled; what is
            followed is cut out elsewhere and put over it.
        layers: most objects that are cut out and put over a clip.
        layer_share: share of clips that get 1 to ``layers`` of them; a ground always does. The
            other clips go by ``paste_share``.
        smallest: area of the smallest of them, as a share of the image.
        largest: the same of the largest one.
        copy_share: share of labelled objects beside which a copy, a little larger or smaller, moves
            as background.
        twin_share: of those copies, the share that is followed, too, where an id is free.
        neighbour_share: share of clips with a thing beside an object, often of its colours.
        leave_share: share of labelled layers that leave the image and come back.
        occluder_share: share of clips in which something passes in front of an object.
        swap_share: share of clips whose ground is exchanged for that of another clip on the way,
            while the objects of both stay.
        light_share: share of clips over which light and shadow move.
        follow_share: share of the clips of videos in which the view follows the object, as it does
            when the student runs.

    Raises:
        UsageError: if a share is no share, or a number cannot be.
    """

    size: tuple[int, int] = (224, 336)
    clips: int = 4
    frames: int = 4
    objects: int = 2
    max_gap: int = 8
    reverse_share: float = 0.5
    still_share: float = 0.4
    least_zoom: float = 0.8
    paste_share: float = 0.6
    hide_share: float = 0.15
    blur_share: float = 0.15
    ring_dropout: float = 0.2
    source_height: int = 0
    ground_share: float = 0.0
    layers: int = 0
    layer_share: float = 0.0
    smallest: float = 0.005
    largest: float = 0.25
    copy_share: float = 0.0
    twin_share: float = 0.0
    neighbour_share: float = 0.0
    leave_share: float = 0.0
    occluder_share: float = 0.0
    swap_share: float = 0.0
    light_share: float = 0.0
    follow_share: float = 0.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name.endswith("_share") and not 0 <= value <= 1:
                raise UsageError(f"{entry.name} = {value}", "0 to 1")
        if not 0 < self.smallest <= self.largest <= 1:
            raise UsageError(
                f"smallest = {self.smallest}, largest = {self.largest}",
                "shares of the image, the smallest first",
            )
        if not 0.1 <= self.least_zoom <= 2:
            raise UsageError(f"least_zoom = {self.least_zoom}", "0.1 to 2")
        if (self.layer_share or self.ground_share) and not self.layers:
            raise UsageError("layer_share or ground_share without layers", "layers = 1 or more")
        if min(self.clips, self.objects, self.max_gap) < 1 or self.frames < 2:
            raise UsageError(
                f"{self.clips} clips of {self.frames} frames with {self.objects} objects, "
                f"gaps of {self.max_gap}",
                "one or more of each, and two frames",
            )

    @property
    def decode_height(self) -> int:
        """Return the lines at which pictures are to be decoded."""
        return self.source_height or max(DECODE_HEIGHT, self.size[0])

    @property
    def composes(self) -> bool:
        """Tell whether clips are put together from layers at all."""
        return bool(self.layers)
