"""What training minimises: cross-entropy of every branch, plus the token routers' balance and z losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.arguments import checked
from interconnected_ai.branches import SystemOutput


@dataclass(frozen=True)
class LossParts:
    """total is what is differentiated. task and balance are detached; balance is 1.0 when experts are used evenly."""

    total: Tensor
    task: Tensor
    balance: Tensor


@dataclass(frozen=True)
class GlobalBatch:
    """What a process must know of the whole batch, so that the processes' gradients add up to those of one process
    (to the last digits without dropout, whose random masks differ).

    num_labels: (row, branch) pairs with a label in the whole batch; num_processes: gradients are averaged over these;
    total: sums a tensor over all processes.
    """

    num_labels: int
    num_processes: int = 1
    total: Callable[[Tensor], Tensor] = lambda tensor: tensor


@checked
def system_loss(
    output: SystemOutput,
    targets: Mapping[str, Tensor],
    batch: GlobalBatch,
    *,
    class_weights: Mapping[str, Tensor] | None = None,
    label_smoothing: float = 0.0,
    balance_loss_weight: float = 0.01,
    z_loss_weight: float = 0.0,
) -> LossParts:
    """targets: for each branch (rows,) class numbers, -1 where a row has no label.

    Every labelled (row, branch) pair of the whole batch counts alike. The balance loss takes the experts' shares from
    the whole batch and not from each process's part of it, which is what keeps it equal to one process's.
    """
    task = output.pooled.sum() * 0.0
    for name, logits in output.logits.items():
        weight = None if class_weights is None else class_weights[name].to(logits.device)
        labelled = targets[name] >= 0
        # reduction="sum" of no rows is zero, and still ties the branch's parameters to the loss, as DDP needs
        pairs = F.cross_entropy(
            logits.float()[labelled], targets[name][labelled], weight, reduction="sum", label_smoothing=label_smoothing
        )
        task = task + pairs / batch.num_labels
    balance, z = torch.zeros_like(task), torch.zeros_like(task)
    for routing in output.routings:
        counts = batch.total(routing.tokens_per_expert)
        share = routing.tokens_per_expert.sum() / counts.sum().clamp(min=1)  # of the batch's tokens, in this process
        balance = balance + routing.balance_loss(counts) * share / len(output.routings)
        z = z + routing.z_loss() * share / len(output.routings)
    total = (task + balance_loss_weight * balance + z_loss_weight * z) * batch.num_processes
    return LossParts(total, task.detach(), balance.detach())
