"""Learning from preferences: the loss is DPO's, one model is its own reference, and a resumed run has the same bits."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from interconnected_ai.config import AdapterConfig, AdapterTrainingConfig
from interconnected_ai.errors import DataError
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.chats import TokenizedChat, TokenizedPair
from interconnected_ai.training.preference import PreferenceLearner, dpo_loss, preferred
from interconnected_ai.training.preference.pairs import PairBatch, PairPlan, in_order
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.trainer import Trainer

BETA, VOCABULARY = 0.5, 40


def a_base(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, attn_implementation="sdpa",
    )  # fmt: skip
    return LlamaForCausalLM(shape).eval()


def a_network(*, moved: bool = False, **shape: Any) -> AdaptedNetwork:
    network = AdaptedNetwork(a_base(), AdapterConfig(rank=4, **shape), generator=torch.Generator().manual_seed(1))
    if moved:
        torch.manual_seed(2)
        for name, parameter in network.named_parameters():
            if name.endswith("lora_b"):
                torch.nn.init.normal_(parameter, std=0.2)
    return network


def a_chat(prompt: list[int], answer: list[int]) -> TokenizedChat:
    counted = np.array([False] * len(prompt) + [True] * len(answer))
    return TokenizedChat(np.array(prompt + answer, dtype=np.int64), counted)


def some_pairs(number: int, seed: int = 0) -> list[TokenizedPair]:
    """The better answer says 7 to 9, the worse one 17 to 19, whatever the prompt."""
    random = np.random.default_rng(seed)
    pairs = []
    for _ in range(number):
        prompt = random.integers(20, VOCABULARY, random.integers(2, 6)).tolist()
        answers = [random.integers(first, first + 3, random.integers(1, 5)).tolist() for first in (7, 17)]
        pairs.append(TokenizedPair(*(a_chat(prompt, [*answer, 1]) for answer in answers)))
    return pairs


def log_probability(logits: torch.Tensor, chat: TokenizedChat) -> float:
    """Σ ln p of what counts, taken from a table of all logits."""
    table = torch.log_softmax(logits[0].double(), dim=-1)
    return sum(float(table[place - 1, chat.ids[place]]) for place in np.flatnonzero(chat.counted))


def by_hand(network: AdaptedNetwork, pairs: list[TokenizedPair]) -> list[float]:
    """DPO's loss of each pair, one conversation at a time and without any of the code under test."""
    out = []
    for pair in pairs:
        gained = []
        for chat in (pair.chosen, pair.rejected):
            ids = torch.from_numpy(chat.ids)[None]
            with torch.no_grad():
                policy = log_probability(network.head(network.hidden(ids)), chat)
                reference = log_probability(a_base()(ids).logits, chat)
            gained.append(policy - reference)
        out.append(math.log1p(math.exp(-BETA * (gained[0] - gained[1]))))
    return out


def a_learner(
    network: AdaptedNetwork, pairs: list[TokenizedPair], held: list[TokenizedPair], **settings: Any
) -> PreferenceLearner:
    defaults = {
        "batch_size": 4,
        "lr": 5e-3,
        "warmup_steps": 0,
        "epochs": 3,
        "device": "cpu",
        "precision": "float32",
        "monitors": (),
    }
    config = AdapterTrainingConfig(**{**defaults, **settings})
    return PreferenceLearner(network, pairs, held, config, BETA, Processes.open("cpu", "float32"))


def trained(folder: Path, learner: PreferenceLearner, *, resume: bool = False) -> dict[str, torch.Tensor]:
    trainer = Trainer(
        learner.processes, learner.objective, learner.schedule, learner.config, folder, rates="lr", silent=True
    )
    trainer.run(learner, resume=resume)
    trainer.finish()
    return {name: p.detach().clone() for name, p in learner.adapted.named_parameters() if p.requires_grad}


def the_loss(learner: PreferenceLearner, folder: Path, rows: np.ndarray) -> torch.Tensor:
    trainer = Trainer(
        learner.processes, learner.objective, learner.schedule, learner.config, folder, rates="lr", silent=True
    )
    return learner.loss(trainer.state(), rows, rows).total


def test_the_loss_is_what_a_computation_by_hand_gives(tmp_path: Path) -> None:
    network, pairs = a_network(moved=True), some_pairs(5)
    learner = a_learner(network, pairs, pairs)
    wanted = by_hand(network, pairs)
    assert max(wanted) - min(wanted) > 0.01
    assert the_loss(learner, tmp_path, np.arange(5)).item() == pytest.approx(np.mean(wanted), abs=1e-5)
    found = preferred(network, pairs, BETA)
    assert found.loss == pytest.approx(np.mean(wanted), abs=1e-5)
    assert found.accuracy == np.mean([loss < math.log(2) for loss in wanted])


def test_the_gradient_is_that_of_a_plain_computation(tmp_path: Path) -> None:
    network, pairs = a_network(moved=True), some_pairs(3)
    the_loss(a_learner(network, pairs, []), tmp_path, np.arange(3)).backward()
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    losses = []
    for pair in pairs:
        sums = []
        for chat in (pair.chosen, pair.rejected):
            ids = torch.from_numpy(chat.ids)[None]
            places = torch.from_numpy(np.flatnonzero(chat.counted))
            for model in (lambda ids: network.head(network.hidden(ids)), lambda ids: a_base()(ids).logits):
                table = torch.log_softmax(model(ids)[0], dim=-1)
                sums.append(table[places - 1, ids[0, places]].sum())
        losses.append(
            -torch.nn.functional.logsigmoid(BETA * ((sums[0] - sums[1].detach()) - (sums[2] - sums[3].detach())))
        )
    torch.stack(losses).mean().backward()
    wanted = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)


def test_an_adapter_that_has_learnt_nothing_is_its_own_reference_exactly(tmp_path: Path) -> None:
    pairs = some_pairs(4)
    learner = a_learner(a_network(), pairs, pairs)
    assert the_loss(learner, tmp_path, np.arange(4)).item() == pytest.approx(math.log(2), abs=1e-6)
    begun = learner.begin(learner.objective)
    assert begun.figures["chosen_reward"] == 0.0
    assert begun.figures["reward_margin"] == 0.0


def test_the_reference_is_the_base_and_leaves_the_adapter_on(tmp_path: Path) -> None:
    network, pairs = a_network(moved=True, dropout=0.5), some_pairs(2)
    ids = torch.from_numpy(pairs[0].chosen.ids)[None]
    network.eval()
    before = network.hidden(ids)
    learner = a_learner(network, pairs, pairs)
    the_loss(learner, tmp_path, np.arange(2))
    assert torch.equal(network.hidden(ids), before)
    with network.without_adapter():
        torch.testing.assert_close(network.head(network.hidden(ids)), a_base()(ids).logits, rtol=1e-4, atol=1e-5)


def test_better_answers_become_likelier_than_worse_ones_also_where_none_was_seen(tmp_path: Path) -> None:
    learner = a_learner(a_network(), some_pairs(24), some_pairs(12, seed=9))
    trained(tmp_path, learner)
    found = learner.measured()
    assert found is not None
    assert found.accuracy > 0.9
    assert found.loss < 0.4


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    pairs, held = some_pairs(10), some_pairs(4, seed=9)
    settings = {"epochs": 2, "checkpoint_every_steps": 1, "keep_checkpoints": 9}
    whole = trained(tmp_path / "whole", a_learner(a_network(dropout=0.1), pairs, held, **settings))
    stopped = tmp_path / "stopped"
    trained(stopped, a_learner(a_network(dropout=0.1), pairs, held, **settings))
    for later in sorted((stopped / "checkpoints").iterdir()):
        if later.name.startswith("step") and int("".join(filter(str.isdigit, later.name))) > 3:
            _drop(later)
    again = trained(stopped, a_learner(a_network(dropout=0.1), pairs, held, **settings), resume=True)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def _drop(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def test_other_pairs_or_another_beta_are_not_resumed() -> None:
    learner = a_learner(a_network(), some_pairs(4), [])
    kept = learner.data_record()
    assert learner.recognise(kept)
    other = a_learner(a_network(), some_pairs(4, seed=3), [])
    with pytest.raises(DataError, match=r"other preferences \(train differ\)"):
        other.recognise(kept)
    changed = copy.copy(learner)
    changed.beta = 0.1
    with pytest.raises(DataError, match=r"\(beta differ\)"):
        changed.recognise(kept)


def test_parts_of_a_batch_add_up_to_the_whole(tmp_path: Path) -> None:
    pairs = some_pairs(4)
    learner = a_learner(a_network(moved=True), pairs, [])
    whole = the_loss(learner, tmp_path, np.arange(4)).item()
    trainer = Trainer(
        learner.processes, learner.objective, learner.schedule, learner.config, tmp_path, rates="lr", silent=True
    )
    parts = [learner.loss(trainer.state(), np.array(rows), np.arange(4)).total for rows in ([0, 2], [1, 3])]
    assert sum(parts).item() == pytest.approx(whole, rel=1e-5)


def test_a_batch_lays_both_conversations_side_by_side_and_foretells_answers_alone() -> None:
    pair = TokenizedPair(a_chat([20, 21], [7, 1]), a_chat([20, 21], [17, 18, 1]))
    batch = PairBatch.of([pair, TokenizedPair(a_chat([22], [7]), a_chat([22], [8]))])
    assert batch.inputs[0].tolist() == [20, 21, 7, 20, 21, 17, 18]
    assert batch.targets[0].tolist() == [-1, 7, 1, -1, 17, 18, 1]
    assert batch.documents.tolist() == [[0, 0, 0, 1, 1, 1, 1], [0, 1, 2, 2, 2, 2, 2]]


def test_every_pair_is_drawn_once_an_epoch_and_held_out_ones_are_read_once() -> None:
    plan = PairPlan(10, 4, seed=1)
    drawn = np.concatenate(list(plan.epoch(0)))
    assert sorted(set(drawn[:10].tolist())) == list(range(10))
    assert [batch.tolist() for batch in plan.epoch(0, 1)] == [batch.tolist() for batch in plan.epoch(0)][1:]
    assert np.concatenate(list(plan.epoch(1))).tolist() != drawn.tolist()
    pairs = some_pairs(17)
    batches = list(in_order(pairs, 40))
    assert [pair for batch in batches for pair in batch] == pairs
    assert all(PairBatch.of(batch).inputs.size <= 40 for batch in batches if len(batch) > 1)
    with pytest.raises(DataError, match="no pair to learn from"):
        PairPlan(0, 4, seed=1)


def test_the_loss_of_equal_gains_is_ln_2_and_falls_with_the_margin() -> None:
    reference = torch.zeros(3, 2)
    policy = torch.tensor([[-1.0, -1.0], [0.0, -2.0], [-2.0, 0.0]])
    loss = dpo_loss(policy, reference, 0.5)
    assert loss.tolist() == pytest.approx([math.log(2), math.log(1 + math.exp(-1)), math.log(1 + math.e)])
