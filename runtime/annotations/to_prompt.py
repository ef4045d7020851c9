"""Give a segmenter what a file shows."""

from collections.abc import Mapping, Sequence

from edge_vos.errors import PromptError
from edge_vos.runtime.annotations.annotation import Annotation
from edge_vos.runtime.annotations.channels import assign_channels, to_channels
from edge_vos.runtime.objects.names import UNNAMED, check_name
from edge_vos.runtime.segmenter import Segmenter


def usable_names(annotation: Annotation, assumed: list[str]) -> dict[int, str]:
    """Return the names of a file that objects can have, and tell of those that are left out."""
    names = {}
    for object_id, name in annotation.names.items():
        if name == UNNAMED:
            continue
        try:
            names[object_id] = check_name(" ".join(name.split()))
        except PromptError:
            assumed.append(f"the name of object {object_id} is left out: it is no short line")
    return names


def tell_channels(channel_by_id: Mapping[int, int], assumed: list[str]) -> None:
    """Tell which ids had to be mapped."""
    moved = [i for i, channel in channel_by_id.items() if i != channel]
    if moved:
        told = ", ".join(f"{i} in channel {channel_by_id[i]}" for i in moved)
        assumed.append(f"objects are followed by other numbers, and written by their own: {told}")


def prompt_annotation(
    segmenter: Segmenter, annotation: Annotation, names: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Prompt a segmenter's next frame with all objects of a file, under their own ids.

    Args:
        segmenter: has no objects yet.
        annotation: of the next frame.
        names: for the objects in the order of their ids, instead of the file's.

    Returns:
        what was assumed, and the names that are left.

    Raises:
        PromptError: if there are too many objects for the model, or the mask does not fit.
    """
    assumed = list(annotation.assumed)
    channel_by_id = assign_channels(annotation.object_ids, segmenter.graph.channels)
    segmenter.prompt(to_channels(annotation.labels, channel_by_id))
    tell_channels(channel_by_id, assumed)
    left, own = list(names), usable_names(annotation, assumed)
    for object_id, channel in channel_by_id.items():
        if object_id != channel:
            segmenter.number(channel, object_id)
        if name := left.pop(0) if left else own.get(object_id, ""):
            segmenter.name(channel, name)
    return assumed, left
