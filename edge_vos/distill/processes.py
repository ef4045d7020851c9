"""What the processes of one training run share, and what each has for itself (``torchrun``)."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edge_vos.distill.config import TrainConfig
from edge_vos.distill.data.clips import Batch
from edge_vos.errors import UsageError


def prepare_objective(objective: nn.Module, config: TrainConfig) -> nn.Module:
    """Set up what a GPU and several processes want."""
    gpu = next(objective.parameters()).is_cuda
    if gpu:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    if not dist.is_initialized():
        return objective
    if gpu:
        objective = nn.SyncBatchNorm.convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(objective, broadcast_buffers=not config.freeze_norm)


def keep_gradients(objective: object, more_follow: bool) -> AbstractContextManager[None]:
    """Let processes exchange gradients only after a step's last batch."""
    if more_follow and isinstance(objective, DistributedDataParallel):
        return objective.no_sync()
    return nullcontext()


def own_share(batch: Batch) -> Batch:
    """Return this process's clips of the batch.

    Raises:
        UsageError: if the clips cannot be shared out evenly.
    """
    if not dist.is_initialized():
        return batch
    rank, world = dist.get_rank(), dist.get_world_size()
    if len(batch.images) % world:
        raise UsageError(
            f"{len(batch.images)} clips a batch for {world} processes", "the same number for each"
        )
    share = slice(rank * len(batch.images) // world, (rank + 1) * len(batch.images) // world)
    return Batch(
        batch.images[share],
        batch.prompt[share],
        batch.active[share],
        batch.ring[share],
        None if batch.labels is None else batch.labels[share],
    )


def any_process(condition: bool) -> bool:
    """Tell whether it holds in any process, so that all of them stop at the same step."""
    if not dist.is_initialized():
        return condition
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(float(condition), device=device)
    dist.all_reduce(flag)
    return bool(flag > 0)
