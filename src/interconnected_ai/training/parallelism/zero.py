"""DeepSpeed's ZeRO (Rajbhandari et al. 2020): optimiser state (1), gradients (2) and weights (3) in pieces."""

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.config import LoopConfig
from interconnected_ai.training.parallelism.optimizer import by_parameter
from interconnected_ai.training.parallelism.replicated import Parallelism

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Zero(Parallelism):
    """DeepSpeed's engine steps and clips by itself, when the last part of a batch has gone through."""

    shards = True

    @property
    def name(self) -> str:
        """For people."""
        return f"DeepSpeed ZeRO-{self.accelerator.state.deepspeed_plugin.zero_stage}"

    def place(self, model: nn.Module) -> nn.Module:
        """A copy to be spread, on the device."""
        return copy.deepcopy(model.cpu()).to(self.accelerator.device)

    def see(self, *, outputs: Sequence[type], first: nn.Module) -> None:
        """Stage 3 misses the end of a module's backward pass, and breaks, when no gradient leaves by its inputs; so one is
        computed for what goes into the first module that learns, or comes out of a frozen embedding, though nobody needs it.
        """
        if isinstance(first, nn.Embedding):
            first.register_forward_hook(lambda module, inputs, output: _let_gradients_come(output))
        else:
            first.register_forward_pre_hook(lambda module, inputs: _let_gradients_come(inputs[0]))

    def prepare(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: LoopConfig
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """As our config says: DeepSpeed's own numbers for batches, parts and clipping give way."""
        known = self.accelerator.state.deepspeed_plugin.deepspeed_config
        known["gradient_accumulation_steps"] = config.accumulation_steps
        known["gradient_clipping"] = config.gradient_clip
        # rows of a part: DeepSpeed uses it for nothing but the speed it prints
        known["train_micro_batch_size_per_gpu"] = max(
            1, config.batch_size // (config.accumulation_steps * self.accelerator.num_processes)
        )
        known.pop("train_batch_size", None)
        _gather_whole_units(model)
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # stage 3 makes a step with zero gradients to begin with, which would decay the weights
        with redirect_stdout(sys.stderr):  # it tells there of kernels that it builds, where commands print JSON
            model, optimizer = self.accelerator.prepare(model, optimizer)
        load_models_whole()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        for state in _adamw(optimizer).state.values():
            state["step"] = torch.zeros_like(torch.as_tensor(state["step"], dtype=torch.float32))
        return model, optimizer

    @contextmanager
    def part(self, model: nn.Module, *, last: bool) -> Iterator[None]:
        """The engine is told by Accelerate's flag when a batch is complete."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        yield

    def backward(self, loss: Tensor) -> None:
        """And, after the last part, the step. The parts' losses add up already."""
        self.accelerator.backward(loss, scale_wrt_gas=False)

    def clip(self, model: nn.Module, largest: float) -> float:
        """Done within the step; the norm it found."""
        return float(self.accelerator.clip_grad_norm_(model.parameters(), largest))

    def optimizer_tensors(self, optimizer: Any, model: nn.Module) -> dict[str, Tensor]:
        """AdamW's moments gathered from DeepSpeed's flat pieces."""
        from deepspeed.utils import safe_get_full_optimizer_state

        states = list(_adamw(optimizer).state.values())
        if not states:
            return {}
        _link(optimizer)
        step = torch.as_tensor(states[0]["step"], dtype=torch.float32).cpu()
        found: dict[str, Tensor] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                found |= {
                    f"{name}/{key}": safe_get_full_optimizer_state(parameter, key).cpu().clone() for key in _MOMENTS
                }
                found[f"{name}/step"] = step
        return found

    def restore_optimizer(self, optimizer: Any, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Cut the moments into DeepSpeed's flat pieces."""
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        by_name = by_parameter(tensors, model)
        if not by_name:
            return
        step = next(iter(by_name.values()))["step"]
        for piece in _pieces(optimizer):
            _adamw(optimizer).state[piece] = {
                "step": step.clone(), **{key: torch.zeros_like(piece.detach()) for key in _MOMENTS}
            }  # fmt: skip
        _link(optimizer)
        for name, parameter in model.named_parameters():
            for key in _MOMENTS if name in by_name else ():
                tensor = by_name[name][key].to(self.accelerator.device)
                if hasattr(parameter, "ds_tensor"):
                    safe_set_local_optimizer_state(parameter, self._piece(tensor, parameter.ds_tensor.numel()), key)
                else:
                    safe_set_full_optimizer_state(parameter, tensor, key)

    def _piece(self, tensor: Tensor, numel: int) -> Tensor:
        """This process's piece as stage 3 cuts it: equal ones, the last of which may reach beyond the end."""
        flat = F.pad(tensor.flatten(), (0, numel * self.accelerator.num_processes - tensor.numel()))
        return flat.narrow(0, numel * self.accelerator.process_index, numel)


def _let_gradients_come(tensor: Tensor) -> None:
    if torch.is_grad_enabled() and tensor.is_leaf:
        tensor.requires_grad_()


def _gather_whole_units(model: nn.Module) -> None:
    """Tell stage 3 to gather each layer as one, as FSDP does: their parts do not all go through hooks of their own. Not modules
    with an embedding inside, such as an encoder: they read token ids, and no gradient can leave by these.
    """
    from deepspeed.utils import set_z3_leaf_modules

    named = set(getattr(model, "_no_split_modules", ()))
    units = [module for module in model.modules() if type(module).__name__ in named]
    kinds = {type(m) for m in units if not any(isinstance(part, nn.Embedding) for part in m.modules())}
    if kinds:
        set_z3_leaf_modules(model, list(kinds))


def _adamw(optimizer: Any) -> torch.optim.Optimizer:
    """Accelerate's wrapper → ZeRO's → ours."""
    inner: torch.optim.Optimizer = optimizer.optimizer.optimizer
    return inner


def _pieces(optimizer: Any) -> list[Tensor]:
    """The flat tensors that AdamW steps on in this process."""
    zero = optimizer.optimizer
    if hasattr(zero, "fp32_partitioned_groups_flat"):  # stage 3
        return list(zero.fp32_partitioned_groups_flat)
    return list(zero.single_partition_of_fp32_groups)


def _link(optimizer: Any) -> None:
    """Let ZeRO-1 and 2 find every parameter's moments: they link them once, before the later groups have any."""
    zero = optimizer.optimizer
    if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def load_models_whole() -> None:
    """Keep transformers from cutting every model that it opens in this process, as it does once it hears of stage 3: what is to
    be trained is cut in `Zero.prepare`, when it has been changed and tried, and all else is read as it is.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


def zero_over_cpus(accelerator: Any) -> None:
    """Do on CPUs what was asked for: Accelerate leaves DeepSpeed to accelerators, DeepSpeed itself does not."""
    import deepspeed
    from accelerate import DeepSpeedPlugin, PartialState
    from accelerate.utils import DistributedType

    with redirect_stdout(sys.stderr):
        deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False)
    plugin = DeepSpeedPlugin()
    plugin.set_mixed_precision(accelerator.mixed_precision)
    plugin.select(_from_accelerator_state=True)
    accelerator.deepspeed_engine_wrapped = None
    accelerator.state._shared_state.update(distributed_type=DistributedType.DEEPSPEED, deepspeed_plugins=plugin)
    # from which Accelerate fills its state again and again
    PartialState._shared_state["distributed_type"] = DistributedType.DEEPSPEED
