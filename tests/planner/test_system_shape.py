"""The tie: what the planner counts of a system equals the system that is built."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from conftest import make_rows, make_system, make_tokenizer
from interconnected_ai.branches import DenseSystem, Encoder, InterconnectedAISystem, fit_branch
from interconnected_ai.branches.trunk import Trunk
from interconnected_ai.config import SystemConfig, TrainingConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import FFNExperts
from interconnected_ai.planner import SystemShape, backward_flops, dense_twin, encoder_shape, forward_flops
from interconnected_ai.planner.memory import encoder_activation_bytes, layer_activation_bytes
from interconnected_ai.planner.workload import num_trained_tensors, training_step
from properties import examples

ENCODER = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 48,
}

shapes = st.fixed_dictionaries(
    {
        "ffn": st.sampled_from(["moe", "moe", "dense"]),
        "num_experts": st.integers(2, 9),
        "top_k": st.integers(1, 2),
        "num_moe_layers": st.integers(0, 3),
        "d_ff": st.one_of(st.none(), st.integers(1, 70)),
        "pooling": st.sampled_from(["mean", "cls", "attention"]),
        "lora_rank": st.integers(1, 9),
        "encoder_lora_rank": st.sampled_from([0, 0, 3]),
        "encoder_lora_layers": st.sampled_from([None, None, 1]),
        "dropout": st.sampled_from([0.0, 0.1]),
        "branches": st.lists(st.integers(2, 30), min_size=1, max_size=4).map(
            lambda sizes: [
                {"name": f"branch{i}", "num_classes": size, "num_terms": 7 * (size % 3)} for i, size in enumerate(sizes)
            ]
        ),
    }
)


def built(config: SystemConfig) -> InterconnectedAISystem:
    model = BertModel(BertConfig(**{k: v for k, v in ENCODER.items() if k != "model_type"}), add_pooling_layer=False)
    return by_the_loop(
        InterconnectedAISystem.from_config(config, encoder=Encoder(model, make_tokenizer(), max_seq_len=40))
    )


def by_the_loop(module: Any) -> Any:
    """The backend that is counted: which one is faster differs from machine to machine."""
    for experts in module.modules():
        if isinstance(experts, FFNExperts):
            experts.backend = "loop"
    return module


def counted(config: SystemConfig) -> SystemShape:
    return SystemShape.of(config, encoder=encoder_shape("tiny", config=ENCODER))


def batch_of(batch: int, seq: int) -> tuple[Tensor, Tensor]:
    return torch.randint(5, 50, (batch, seq)), torch.ones(batch, seq, dtype=torch.bool)


@given(shapes)
@examples(40)
def test_parameters_of_every_part_equal_the_built_systems(content: dict[str, Any]) -> None:
    config = SystemConfig.from_mapping(content)
    system, shape = built(config), counted(config)
    assert shape.num_params == system.get_num_params()
    assert shape.num_params["total"] == sum(p.numel() for p in system.parameters())
    groups = system.get_trainable_params()
    assert shape.num_trainable_params == sum(p.numel() for group in groups for p in group["params"])
    assert num_trained_tensors(shape) == sum(len(group["params"]) for group in groups)


@given(shapes, st.integers(1, 3))
@examples(15)
def test_the_twin_of_the_planner_is_the_twin_that_is_built(content: dict[str, Any], layers: int) -> None:
    config = SystemConfig.from_mapping(
        {**content, "ffn": "moe", "num_moe_layers": layers, "encoder_lora_rank": 0}  # a LoRA's twin loads an encoder
    )
    assert counted(config).dense_twin().num_params == DenseSystem.twin_of(built(config)).get_num_params()


def test_what_a_trained_branch_keeps_beside_its_weights_is_counted() -> None:
    system = make_system("old", "new")
    fit_branch(system, "new", *make_rows("new", 12).of("new"), config=TrainingConfig(epochs=1))
    branch, shape = system.branch("new"), SystemShape.of(system.config, encoder=encoder_shape("tiny", config=ENCODER))
    assert branch.directions is not None
    assert branch.wide is not None
    kept = [branch.wide.vocabulary.terms, branch.wide.vocabulary.rarity, branch.directions.numpy()]
    shape = SystemShape(system.config, dataclasses.replace(shape.encoder, d_model=system.encoder.d_model))
    spec = branch.card.spec
    assert shape.num_fixed_bytes(spec.num_classes, spec.num_terms) == sum(array.nbytes for array in kept)
    assert shape.fixed_bytes > shape.num_fixed_bytes(spec.num_classes, spec.num_terms)


def test_a_system_without_moe_layers_has_no_twin() -> None:
    with pytest.raises(ConfigError, match="needs MoE layers to replace, got 0 moe layers"):
        dense_twin(SystemConfig(num_moe_layers=0), 24)


@given(shapes, st.integers(1, 5), st.integers(3, 9))
@examples(40)
def test_flops_of_a_step_equal_those_that_torch_counts(content: dict[str, Any], batch: int, seq: int) -> None:
    config = SystemConfig.from_mapping(content)
    system, shape = built(config).train(), counted(config)
    input_ids, mask = batch_of(batch, seq)
    step = training_step(shape, batch, seq, cached=False)
    system.encoder.model.register_forward_hook(lambda *_: None)  # watched, it computes its padding, as is planned for
    with system.encoder.attention_that_trains_fast(), FlopCounterMode(display=False) as forward:
        system.encoder.model.set_attn_implementation("eager")  # torch counts nothing of the fused kernel on CPUs
        output = system(input_ids, mask)
    assert forward.get_total_flops() == sum(part.forward_flops for part in step)
    with FlopCounterMode(display=False) as backward:
        sum(logits.sum() for logits in output.logits.values()).backward()  # type: ignore[union-attr]
    assert backward.get_total_flops() == sum(part.backward_flops for part in step)


def test_a_cached_step_leaves_out_the_encoder_and_nothing_else() -> None:
    shape = counted(SystemConfig.from_mapping({"branches": [{"name": "one", "num_classes": 4}]}))
    full, cached = (training_step(shape, 8, 10, cached=cached) for cached in (False, True))
    assert full[1:] == cached
    assert full[0].forward_flops == forward_flops(shape.encoder_products(8, 10))
    assert full[0].backward_flops == 0


def test_an_added_branch_needs_no_gradient_of_its_input() -> None:
    shape = counted(SystemConfig.from_mapping({"branches": [{"name": "one", "num_classes": 4}], "lora_rank": 3}))
    branch = built(shape.config).branch("one").train()
    pooled = torch.randn(6, 24)
    with FlopCounterMode(display=False) as counter:
        branch(pooled).sum().backward()
    products = shape.branch_products(6, 4, alone=True)
    assert counter.get_total_flops() == forward_flops(products) + backward_flops(products)


def test_branches_of_as_many_classes_are_counted_together() -> None:
    classes = [4, 7, 4, 4, 7]
    branches = [{"name": f"branch-{number}", "num_classes": each} for number, each in enumerate(classes)]
    shape = counted(SystemConfig.from_mapping({"branches": branches, "lora_rank": 3}))
    together = shape.head_products(6)
    apart = [product for each in classes for product in shape.branch_products(6, each)]
    assert len(together) == 6
    assert (forward_flops(together), backward_flops(together)) == (forward_flops(apart), backward_flops(apart))
    assert sum(each.weight_numbers for each in together) == sum(each.weight_numbers for each in apart)


def kept_bytes(module: nn.Module, run: Callable[[], Any]) -> int:
    """Bytes that autograd keeps, each storage once, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = run()
    total = sum(kept.values())
    del out
    return total


@pytest.mark.parametrize("content", [{"ffn": "moe", "top_k": 2}, {"ffn": "moe", "top_k": 3}, {"ffn": "dense"}])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_activations_of_a_layer_are_what_autograd_keeps(content: dict[str, Any], dropout: float) -> None:
    config = SystemConfig.from_mapping({"num_experts": 4, "d_ff": 40, "dropout": dropout, **content})
    shape = counted(config)
    trunk = by_the_loop(Trunk(config.with_changes(num_moe_layers=1), 24).train())
    tokens = torch.randn(96, 24)
    found = kept_bytes(trunk.layers[0], lambda: trunk.layers[0](tokens))
    assert found == layer_activation_bytes(shape, 96)


@pytest.mark.parametrize(("batch", "seq", "rank"), [(8, 12, 4), (4, 32, 8), (16, 20, 2)])
def test_the_activations_of_an_encoder_whose_lora_trains_are_within_a_tenth(batch: int, seq: int, rank: int) -> None:
    config = SystemConfig.from_mapping({"encoder_lora_rank": rank, "branches": [{"name": "one", "num_classes": 3}]})
    encoder = built(config).encoder.train()
    input_ids, mask = batch_of(batch, seq)
    with encoder.attention_that_trains_fast():
        found = kept_bytes(encoder, lambda: encoder(input_ids, mask))
    assert encoder_activation_bytes(counted(config), batch, seq) == pytest.approx(found, rel=0.1)


def test_a_frozen_encoder_keeps_nothing() -> None:
    assert encoder_activation_bytes(counted(SystemConfig()), 8, 16) == 0
    system = built(SystemConfig.from_mapping({"branches": [{"name": "one", "num_classes": 3}]})).train()
    assert kept_bytes(system.encoder, lambda: system.encode_tokens(*batch_of(2, 5))) == 0
