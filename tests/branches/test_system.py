"""One trunk, many branches: what is computed, what is shared, and what never changes."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_encoder, make_rows, make_system, randomize, spec
from interconnected_ai import DenseSystem, InterconnectedAISystem, inference
from interconnected_ai.branches import Encoder, fit_branch
from interconnected_ai.config import SystemConfig, TrainingConfig
from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.planner import DENSE_OVER_MOE
from properties import examples

TEXTS = ["my bank card", "rain and snow today please tell me", "cat", "the lion was on the horse now", "cold wind"]


def logits(system: InterconnectedAISystem, names: list[str]) -> dict[str, torch.Tensor]:
    return system.logits_of(system.features_of(TEXTS), names)


def test_adapter_and_head_have_the_documented_number_of_parameters() -> None:
    encoder = make_encoder()
    encoder.d_model = 768
    system = InterconnectedAISystem(encoder=encoder, num_branches=1, num_moe_layers=0)
    branch = system.branch(0)
    assert sum(p.numel() for p in branch.adapter.parameters()) == 12_288
    assert sum(p.numel() for p in branch.head.parameters()) == 76_900


def test_the_default_branches_are_the_documents(encoder: Encoder) -> None:
    system = InterconnectedAISystem(encoder=encoder)
    assert [(c.name, c.spec.num_classes) for c in system.cards.values()] == [
        ("Bio-Elec", 100),
        ("Neuro-6G", 50),
        ("IoBNT", 80),
    ]


def test_a_forward_pass_gives_every_branch_its_own_number_of_classes(encoder: Encoder) -> None:
    system = InterconnectedAISystem(encoder=encoder, num_branches=3)
    out = system(*encoder.pad(encoder.tokenize(TEXTS)))
    assert {name: tuple(t.shape) for name, t in out.logits.items()} == {
        "Bio-Elec": (5, 100),
        "Neuro-6G": (5, 50),
        "IoBNT": (5, 80),
    }
    assert out.pooled.shape == (5, encoder.d_model)
    assert len(out.routings) == 2


def test_the_encoder_runs_once_whatever_the_number_of_branches(encoder: Encoder) -> None:
    system = InterconnectedAISystem(encoder=encoder, num_branches=40)
    calls = []
    encoder.model.register_forward_hook(lambda *_: calls.append(1))
    system.predict(["a cat"])
    assert len(calls) == 1


def test_an_untrained_trunk_hands_on_the_encoders_pooled_vector(encoder: Encoder) -> None:
    system = make_system("one", encoder=encoder)
    input_ids, mask = encoder.pad(encoder.tokenize(TEXTS))
    hidden = encoder(input_ids, mask)
    mean = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    expected = torch.nn.functional.layer_norm(mean, (encoder.d_model,))
    torch.testing.assert_close(system.encode(TEXTS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "attention", "cls"])
def test_packed_and_padded_computation_agree(pooling: str, encoder: Encoder) -> None:
    """The slow obvious way: every position of the padded batch through every layer, then the pooling's formula."""
    system = randomize(make_system("one", encoder=encoder, pooling=pooling))
    input_ids, mask = encoder.pad(encoder.tokenize(TEXTS))
    with torch.no_grad():
        hidden = encoder(input_ids, mask)
        for block in system.trunk.layers:
            hidden = hidden + block.moe(block.norm(hidden))[0]
        if pooling == "cls":
            pooled = hidden[:, 0]
        elif pooling == "mean":
            pooled = torch.stack([row[keep].mean(0) for row, keep in zip(hidden, mask, strict=True)])
        else:
            query = system.trunk.pooling.query
            pooled = torch.stack(
                [(row[keep] @ query).softmax(0) @ row[keep] for row, keep in zip(hidden, mask, strict=True)]
            )
        expected = system.trunk.norm(pooled)
        torch.testing.assert_close(system(input_ids, mask).pooled, expected, atol=1e-4, rtol=1e-4)


def test_cls_pooling_routes_only_the_position_that_is_read(encoder: Encoder) -> None:
    system = make_system("one", encoder=encoder, pooling="cls")
    out = system(*encoder.pad(encoder.tokenize(TEXTS)))
    assert [len(routing.logits) for routing in out.routings] == [len(TEXTS), len(TEXTS)]


@examples(8)
@given(order=st.permutations(["add", "train", "remove", "add_big", "remove_first_added"]))
def test_old_branches_stay_bit_identical_through_any_changes_of_others(order: list[str]) -> None:
    system = randomize(make_system("old", "older"))
    system.freeze_trunk()
    before = logits(system, ["old", "older"])
    rows = make_rows("new", 24)
    for action in order:
        if action == "add" and "new" not in system.cards:
            system.add_branch(spec("new"))
        elif action == "train":
            if "new" not in system.cards:
                system.add_branch(spec("new"))
            fit_branch(system, "new", *rows.of("new"), config=TrainingConfig(epochs=2))
        elif action == "remove" and "new" in system.cards:
            system.remove_branch("new")
        elif action == "add_big":
            system.add_branch(spec("big", *(str(i) for i in range(50))))
        elif action == "remove_first_added" and "big" in system.cards:
            system.remove_branch("big")
        after = logits(system, ["old", "older"])
        assert all(torch.equal(before[name], after[name]) for name in before), action


def test_two_hundred_branches_change_no_bit_of_the_first(encoder: Encoder) -> None:
    system = randomize(make_system("first", encoder=encoder))
    before = logits(system, ["first"])["first"]
    for number in range(199):
        system.add_branch(spec(f"branch-{number}"))
    assert torch.equal(before, logits(system, system.branch_names)["first"])


def test_training_a_branch_changes_only_that_branch(encoder: Encoder) -> None:
    system = randomize(make_system("old", encoder=encoder))
    system.freeze_trunk()
    system.add_branch(spec("new"))
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    fit_branch(system, "new", *make_rows("new", 30).of("new"), config=TrainingConfig(epochs=2))
    after = system.state_dict()
    changed = {name for name, tensor in after.items() if name not in before or not torch.equal(tensor, before[name])}
    assert before.keys() <= after.keys()
    assert changed
    assert all(name.startswith("branches.branch_new.") for name in changed)


def test_a_new_branch_learns_on_a_frozen_trunk(encoder: Encoder) -> None:
    system = make_system(encoder=encoder)
    system.freeze_trunk()
    system.add_branch(spec("topics"))
    train, held_out = make_rows("topics", 240), make_rows("topics", 60, seed=7)
    config = TrainingConfig(epochs=60, lr_head=1e-2, lr_adapter=5e-3)
    fit = fit_branch(system, "topics", *train.of("topics"), validation=held_out.of("topics"), config=config)
    assert fit.validation_accuracy > 0.9
    assert fit.card.fingerprint is not None
    assert fit.card.trained == "added"


def test_fitting_a_branch_leaves_the_callers_random_state_alone(encoder: Encoder) -> None:
    system = make_system("one", encoder=encoder)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_branch(system, "one", *make_rows("one", 12).of("one"), config=TrainingConfig(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_predictions_come_back_in_the_order_of_the_texts(encoder: Encoder) -> None:
    system = randomize(make_system("one", encoder=encoder))
    together = system.predict(TEXTS, batch_size=2)
    alone = [system.predict([text])[0] for text in TEXTS]
    assert [p.text for p in together] == TEXTS
    assert [p.branches["one"].label for p in together] == [p.branches["one"].label for p in alone]
    for both in zip(together, alone, strict=True):
        assert both[0].branches["one"].confidence == pytest.approx(both[1].branches["one"].confidence, abs=1e-5)


def test_an_answer_below_the_branchs_threshold_is_unknown(encoder: Encoder) -> None:
    system = randomize(make_system("one", encoder=encoder))
    answer = system.predict(["a cat"])[0].branches["one"]
    system.cards["one"] = system.cards["one"].with_changes(threshold=min(1.0, answer.confidence + 0.01))
    refused = system.predict(["a cat"])[0].branches["one"]
    assert (answer.unknown, answer.answer) == (False, answer.label)
    assert (refused.unknown, refused.answer, refused.label) == (True, "unknown", answer.label)


def test_temperature_changes_confidence_and_not_the_label(encoder: Encoder) -> None:
    system = randomize(make_system("one", encoder=encoder))
    sharp = system.predict(TEXTS)
    system.cards["one"] = system.cards["one"].with_changes(temperature=3.0)
    soft = system.predict(TEXTS)
    for a, b in zip(sharp, soft, strict=True):
        assert a.branches["one"].label == b.branches["one"].label
        assert a.branches["one"].confidence > b.branches["one"].confidence


def test_the_top_labels_are_best_first_and_sum_to_at_most_one(encoder: Encoder) -> None:
    answer = randomize(make_system("one", encoder=encoder)).predict(["a cat"], top_n=10)[0].branches["one"]
    shares = [p for _, p in answer.top]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)


def test_inference_answers_like_the_documents_quick_start(encoder: Encoder) -> None:
    system = randomize(make_system("one", "two", encoder=encoder))
    input_ids = torch.tensor(encoder.tokenize(["my bank card"]))
    result = inference(system, input_ids, branch_id=1, device="cpu")
    expected = system.predict(["my bank card"])[0].branches["two"]
    assert result["label"] == expected.label
    assert result["confidence"] == pytest.approx(expected.confidence)
    assert system.cards["two"].spec.labels[result["class"]] == result["label"]
    assert f"{result['confidence']:.2%}".endswith("%")


def test_inference_of_several_rows_ignores_padding(encoder: Encoder) -> None:
    system = randomize(make_system("one", encoder=encoder))
    input_ids, _ = encoder.pad(encoder.tokenize(TEXTS))
    results = inference(system, input_ids, branch_id="one")
    expected = [p.branches["one"].label for p in system.predict(TEXTS)]
    assert [r["label"] for r in results] == expected


@pytest.mark.parametrize("branch", ["bnak", 7, -1])
def test_an_unknown_branch_lists_the_known_ones_nearest_first(branch: Any, encoder: Encoder) -> None:
    system = make_system("weather", "bank", encoder=encoder)
    with pytest.raises(UnknownNameError, match="known, nearest first") as caught:
        inference(system, torch.tensor([[2, 5, 3]]), branch_id=branch)
    if branch == "bnak":
        assert caught.value.known[0] == "bank"


def test_a_branch_cannot_be_added_twice_even_in_other_case(encoder: Encoder) -> None:
    system = make_system("bank", encoder=encoder)
    with pytest.raises(ConfigError, match="exists already"):
        system.add_branch(spec("BANK"))


@pytest.mark.parametrize("texts", [["  "], ["ok", ""], [3], "one text"])
def test_what_is_no_text_is_refused(texts: Any, encoder: Encoder) -> None:
    with pytest.raises(DataError, match="text"):
        make_system("one", encoder=encoder).encode(texts)


def test_a_label_that_the_branch_does_not_have_is_refused(encoder: Encoder) -> None:
    system = make_system("one", encoder=encoder)
    with pytest.raises(UnknownNameError, match="anmals"):
        fit_branch(system, "one", ["a cat"], ["anmals"])


def test_trainable_groups_have_the_documents_learning_rates(encoder: Encoder) -> None:
    groups = {g["name"]: g for g in make_system("one", encoder=encoder).get_trainable_params()}
    assert {name: g["lr"] for name, g in groups.items()} == {"moe": 1e-4, "adapter": 5e-4, "head": 1e-3}
    torch.optim.AdamW(list(groups.values()), weight_decay=0.01)


def test_the_encoder_never_trains_but_its_lora_does() -> None:
    system = make_system("one", encoder_lora_rank=2)
    trained = {n for n, p in system.named_parameters() if p.requires_grad and n.startswith("encoder.")}
    assert trained
    assert all(".lora." in name for name in trained)
    system.freeze_trunk()
    assert {g["name"] for g in system.get_trainable_params()} == {"adapter", "head"}


def test_a_frozen_encoder_uses_no_dropout_in_training(encoder: Encoder) -> None:
    system = make_system("one", encoder=encoder).train()
    rows = encoder.pad(encoder.tokenize(TEXTS))
    assert torch.equal(encoder(*rows), encoder(*rows))
    assert system.training


def test_a_batch_of_mostly_padding_is_computed_in_parts_with_the_same_result(encoder: Encoder) -> None:
    token_ids = encoder.tokenize(["a cat " * (1 + 14 * (row % 7 == 0)) for row in range(40)])
    input_ids, mask = encoder.pad(token_ids)
    whole = encoder._hidden(input_ids, mask)
    torch.testing.assert_close(encoder(input_ids, mask)[mask], whole[mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("num_experts", "d_ff"), [(8, 48), (4, 96), (16, 8)])
def test_the_dense_twins_layers_have_the_documents_ratio_of_parameters(num_experts: int, d_ff: int) -> None:
    moe = InterconnectedAISystem(encoder=make_encoder(), num_experts=num_experts, d_ff=d_ff, num_branches=1)
    dense = DenseSystem.twin_of(moe)
    count = [sum(p.numel() for p in s.trunk.layers.parameters()) for s in (dense, moe)]
    assert isinstance(dense, DenseSystem)
    assert count[0] / count[1] == pytest.approx(DENSE_OVER_MOE, rel=0.02)
    assert dense(None, torch.ones(2, 3).bool(), tokens=torch.randn(6, 32)).routings == ()


def test_the_counts_of_the_parts_add_up(encoder: Encoder) -> None:
    system = make_system("one", "two", encoder=encoder)
    counts = system.get_num_params()
    assert counts["total"] == sum(p.numel() for p in system.parameters())
    assert counts["total"] == sum(v for k, v in counts.items() if k != "total")


def test_equal_seeds_give_equal_weights(encoder: Encoder) -> None:
    a, b = (InterconnectedAISystem(encoder=encoder, num_branches=2, seed=3) for _ in range(2))
    assert all(torch.equal(a.state_dict()[n], t) for n, t in b.state_dict().items())


def test_a_branchs_first_weights_do_not_depend_on_the_others(encoder: Encoder) -> None:
    a, b = make_system("x", "y", encoder=encoder), make_system("y", encoder=encoder)
    assert torch.equal(a.branch("y").head.weight, b.branch("y").head.weight)


def test_unknown_settings_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ConfigError, match="pooling"):
        InterconnectedAISystem(encoder=encoder, poolin="mean")
    with pytest.raises(ConfigError, match="top_k=9"):
        InterconnectedAISystem(encoder=encoder, k=9)


def test_the_config_tells_the_branches_that_are_there_now(encoder: Encoder) -> None:
    system = make_system("one", encoder=encoder)
    system.add_branch(spec("two"))
    system.remove_branch("one")
    assert [b.name for b in system.config.branches] == ["two"]
    assert SystemConfig.from_mapping(system.config.to_dict()) == system.config


@pytest.mark.gpu
def test_a_gpu_gives_the_cpus_answers(encoder: Encoder) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    system = randomize(make_system("one", encoder=encoder))
    here = system.logits_of(system.features_of(TEXTS))["one"]
    system.to("cuda")
    there = system.logits_of(system.features_of(TEXTS))["one"].cpu()
    torch.testing.assert_close(here, there, atol=1e-3, rtol=1e-3)
