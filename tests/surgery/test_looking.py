"""Counting, suggesting, ablating, steering, roles, router rows from texts, mixtures of dense models."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, DataError, NotAModelError, TokenizerError, UnknownNameError
from interconnected_ai.surgery import MoE, Program, Rule, make_role, perplexity, role, rows_for, tune, upcycle
from interconnected_ai.surgery.analysis.importance import gradient_scores
from interconnected_ai.surgery.analysis.usage import best_experts
from interconnected_ai.surgery.anatomy.places import stacks

IDS = prompts()
WORDS = [f"w{i}" for i in range(90)]


def tokenizer() -> Any:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<bos>", "<eos>", *WORDS, "<unk>", "<a>", "<b>"])}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def opened(family: str = "qwen3_moe", **settings: Any) -> MoE:
    return MoE(make(family, **settings), tokenizer())


def texts(first: int, number: int = 6) -> list[str]:
    return [" ".join(WORDS[first + (i * j) % 12] for j in range(3 + i)) for i in range(1, number + 1)]


@pytest.mark.parametrize("family", TINY)
def test_usage_counts_the_routers_own_choices_without_padding(family: str) -> None:
    moe = opened(family)
    found = moe.usage({"a": texts(0), "b": texts(40)}, batch_size=4)
    tokens = sum(len(text.split()) for text in texts(0))
    assert found.prompt["a"].tokens == tokens
    expected = [torch.zeros(8, dtype=torch.float64) for _ in moe.layers]
    for text in texts(0):  # one by one there is no padding
        with moe.watch() as seen, torch.no_grad():
            moe.model(torch.tensor([moe.tokenizer(text)["input_ids"]]))
        for total, routed in zip(expected, seen.passes, strict=True):
            total += torch.bincount(routed.indices.flatten(), minlength=8)
    for chosen, total in zip(found.prompt["a"].chosen, expected, strict=True):
        assert chosen.sum() == tokens * 2
        assert (chosen - total).abs().sum() <= 2  # a near tie may fall the other way in a batch
    assert all(0 <= value <= 1 for value in found.entropy("a"))
    assert all(value >= 1 for value in found.imbalance("b"))
    for split in found.specialisation():
        used = split.sum(dim=0) > 0
        torch.testing.assert_close(split.sum(dim=0)[used], torch.ones(int(used.sum()), dtype=torch.float64))


def test_what_is_written_is_counted_apart_from_what_is_read() -> None:
    moe = opened()
    found = moe.usage(texts(0), generate_tokens=4)
    read = moe.usage(texts(0))
    assert found.generated is not None
    assert found.generated["texts"].tokens == 6 * 3  # the last token is never read
    for chosen, alone in zip(found.prompt["texts"].chosen, read.prompt["texts"].chosen, strict=True):
        assert (chosen - alone).abs().sum() <= 4


def test_suggestions_are_the_experts_with_the_largest_scores() -> None:
    moe = opened()
    found = moe.usage(texts(0))
    suggested = found.suggest("texts", 0.25)
    for layer, gates in zip(found.layers, found.prompt["texts"].gates, strict=True):
        assert suggested[layer] == tuple(gates.argsort(descending=True)[:2].tolist())
    fewest = found.suggest("texts", threshold=0.5, score="tokens")
    for layer, counts in zip(found.layers, found.prompt["texts"].chosen, strict=True):
        ordered = counts.sort(descending=True).values
        number = len(fewest[layer])
        assert ordered[:number].sum() >= 0.5 * counts.sum() > ordered[: number - 1].sum()
    assert moe.suggest(texts(0), share=0.25) == suggested
    with pytest.raises(UnknownNameError, match=r"'text'.*'texts'"):
        found.suggest("text")
    with pytest.raises(ConfigError, match="above 0"):
        found.suggest("texts", 0)


def test_a_share_over_the_whole_model_takes_the_best_wherever_they_stand() -> None:
    scores = {2: torch.tensor([0.1, 5.0, 0.2, 4.0]), 5: torch.tensor([3.0, 0.0, 0.3, 0.4]), 7: torch.zeros(2)}
    assert best_experts(scores, 0.3, over="model") == {2: (1, 3), 5: (0,)}
    assert best_experts(scores, 0.3) == {2: (1,), 5: (0,), 7: (0,)}
    assert best_experts(scores, threshold=0.9, over="model") == {2: (1, 3), 5: (0,)}
    with pytest.raises(UnknownNameError, match=r"'layers'.*'layer'"):
        opened().suggest(texts(0), over="layers")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r"'grad'.*'gradient'"):
        opened().suggest(texts(0), score="grad")  # type: ignore[arg-type]


@pytest.mark.parametrize("family", TINY)
def test_gradient_scores_are_the_squared_norms_of_each_experts_gradient(family: str) -> None:
    moe = opened(family)
    some = texts(0, 3)
    found = gradient_scores(moe, some, batch_size=1)
    stacked = {layer.number: list(stacks(layer.place.experts).values()) for layer in moe.layers}
    expected = {number: torch.zeros(8, dtype=torch.float64) for number in stacked}
    tokens = 0
    for text in some:
        ids = torch.tensor([moe.tokenizer(text)["input_ids"]])
        tokens += ids.shape[1] - 1
        loss = moe.model(ids, labels=ids).loss * (ids.shape[1] - 1)
        for number, own in stacked.items():
            for gradient in torch.autograd.grad(loss, own, retain_graph=True):
                expected[number] += gradient.double().square().flatten(1).sum(dim=1)
    for number, each in expected.items():
        torch.testing.assert_close(found[number], each / tokens**2, rtol=1e-4, atol=1e-12)
    best = moe.suggest(some, 1 / 8, score="gradient", over="model")
    assert sum(map(len, best.values())) == 2


def test_a_step_on_the_best_experts_lowers_the_loss_more_than_on_the_worst() -> None:
    moe = opened()
    some = texts(0)
    best = moe.suggest(some, 0.25, score="gradient", over="model")
    scores = gradient_scores(moe, some)
    worst = best_experts({number: -each for number, each in scores.items()}, 0.25, over="model")
    losses = []
    for chosen in (best, worst):
        learner = opened()
        adapter = learner.train_experts(chosen)
        before = perplexity(learner, some)
        tune(learner, some, adapter.parameters(), steps=3, seq_tokens=16, learning_rate=1e-3)
        losses.append(before - perplexity(learner, some))
    assert losses[0] > losses[1]


def test_measuring_gradients_leaves_flags_gradients_and_mode_as_they_were() -> None:
    moe = opened()
    moe.train_only("router", [0])
    moe.model.train()
    stack: Any = moe.layers[0].place.experts.down_proj
    stack.grad = torch.ones_like(stack)
    flags = {name: parameter.requires_grad for name, parameter in moe.model.named_parameters()}
    gradient_scores(moe, texts(0))
    assert {name: parameter.requires_grad for name, parameter in moe.model.named_parameters()} == flags
    assert [name for name, parameter in moe.model.named_parameters() if parameter.grad is not None] == [
        "model.layers.0.mlp.experts.down_proj"
    ]
    assert torch.equal(stack.grad, torch.ones_like(stack))
    assert moe.model.training


def test_gradients_that_would_not_reach_the_experts_are_refused() -> None:
    moe = opened()
    with pytest.raises(DataError, match="single token"):
        gradient_scores(moe, ["w1"])
    moe.lora({0: [1]}, name="law")
    with pytest.raises(ConfigError, match=r"law.*drop"):
        moe.suggest(texts(0), score="gradient")
    moe.drop_adapter("law")
    moe.pack_experts([1])
    with pytest.raises(ConfigError, match=r"layers \[1\] are packed"):
        moe.suggest(texts(0), score="gradient")


def test_experts_that_nobody_uses_are_named() -> None:
    moe = opened()
    moe.set_program(Program(rules=(Rule(do="forbid", experts=(2, 5), layers=(1,)),)))
    dead = moe.usage(texts(0, 9)).dead()
    assert {2, 5} <= set(dead[1])


def test_the_heat_map_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    moe = opened()
    moe.insert(0, [None])  # layers may differ
    target = moe.usage({"a": texts(0), "b": texts(40)}).heat_map(tmp_path / "use.png")
    assert target.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"ends in \.png, \.svg"):
        moe.usage({"a": texts(0)}).heat_map(tmp_path / "use.docx")
    assert not (tmp_path / "use.docx").exists()


@torch.no_grad()
def logits(moe: MoE) -> Tensor:
    out: Tensor = moe.model(IDS).logits
    return out


def test_steering_by_a_vector_of_another_width_is_refused() -> None:
    moe = MoE(make("qwen3_moe"))
    with (
        pytest.raises(ConfigError, match=r"shape \(7,\) cannot be added.*needs \(32,\)"),
        moe.steer({0: {1: torch.ones(7)}}),
    ):
        raise AssertionError("the block must not be entered")
    assert moe.plain


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss", "llama4", "deepseek_v3"])
def test_ablation_and_steering_last_for_a_moment(family: str) -> None:
    moe = opened(family)
    before = logits(moe)
    with moe.watch() as seen:
        logits(moe)
    used = int(seen.passes[0].indices[0, 0])
    with moe.ablate({0: [used]}):
        assert not torch.equal(logits(moe), before)
    with moe.ablate({0: [used]}, reroute=True), moe.watch() as seen:
        logits(moe)
    assert not (seen.passes[0].indices == used).any()
    with moe.steer({0: {used: 1.0}}):
        torch.testing.assert_close(logits(moe), before)
    with moe.steer({0: {used: torch.full((32,), 3.0)}}):
        assert not torch.equal(logits(moe), before)
    assert torch.equal(logits(moe), before)
    assert moe.plain


def test_perplexity_is_that_of_the_tokens_alone() -> None:
    moe = opened()
    rows = [moe.tokenizer(text)["input_ids"] for text in texts(0)]
    total, count = 0.0, 0
    for row in rows:
        with torch.no_grad():
            out = moe.model(torch.tensor([row]), labels=torch.tensor([row]))
        total += out.loss.item() * (len(row) - 1)
        count += len(row) - 1
    assert perplexity(moe, texts(0)) == pytest.approx(float(torch.tensor(total / count).exp()), rel=1e-4)
    with pytest.raises(DataError, match="no text"):
        perplexity(moe, [""])
    with pytest.raises(TokenizerError, match="tokenizer="):
        perplexity(MoE(make("qwen3_moe")), texts(0))


def test_a_role_token_the_tokenizer_lacks_is_added_and_said() -> None:
    moe = opened()
    before = logits(moe)
    rows = moe.model.get_input_embeddings().weight.shape[0]
    with pytest.warns(UserWarning, match=r"no token '<\|role=code\|>'.*grew from 96 to 97 rows"):
        token = moe.add_role("code")
    assert token == rows == 96
    torch.testing.assert_close(logits(moe)[..., :96], before)
    assert moe.tokenizer("w1 <|role=code|> w2")["input_ids"][1] == token
    assert moe.add_role("code") == token  # the second time it is there


@pytest.mark.parametrize("tied", [False, True])
def test_a_role_token_is_taken_back_and_stands_in_recipes(tied: bool, tmp_path: Path) -> None:
    moe, other = (opened(tie_word_embeddings=tied) for _ in range(2))
    before, state = logits(moe), {name: tensor.clone() for name, tensor in moe.model.state_dict().items()}
    with pytest.warns(UserWarning, match="grew"):
        token = moe.add_role("code")
    moe.set_program(Program(roles=moe.program.roles, rules=(Rule(do="prefer", experts=(2,), role="code"),)))
    moe.recipe().save(tmp_path / "recipe.yaml")
    with pytest.warns(UserWarning, match="grew"):
        other.apply(tmp_path / "recipe.yaml")
    assert other.program == moe.program
    assert torch.equal(logits(other), logits(moe))
    assert other.tokenizer.convert_tokens_to_ids("<|role=code|>") == token
    adapter = moe.lora({0: [1]}, role="code")
    moe.undo()
    with pytest.raises(ConfigError, match="wait for roles that this program lacks"):
        moe.undo()
    moe.drop_adapter(adapter.name)
    assert moe.undo().do == "add_role"
    assert torch.equal(logits(moe), before)
    assert moe.model.config.vocab_size == 96
    assert (moe.model.lm_head.weight is moe.model.get_input_embeddings().weight) == tied
    assert "<|role=code|>" not in moe.tokenizer.get_vocab()
    assert all(torch.equal(tensor, state[name]) for name, tensor in moe.model.state_dict().items())


@pytest.mark.filterwarnings("ignore:the tokenizer had no token:UserWarning")
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_role_that_cannot_be_made_leaves_nothing(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moe = opened()
    before = logits(moe)
    with pytest.raises(ConfigError, match="names expert 8"):
        make_role(moe, "code", texts(0), experts={0: [8]}, method=method)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(role, "tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_role(moe, "code", texts(0), experts={0: [3]}, method=method)
    assert torch.equal(logits(moe), before)
    assert moe.plain
    assert moe.steps == ()
    assert moe.program == Program()
    assert moe.model.config.vocab_size == 96


def test_a_role_learns_its_texts_and_leaves_others_alone() -> None:
    moe = opened()
    learnt, others = texts(0, 12), texts(40)
    untouched = logits(moe)
    with pytest.warns(UserWarning, match="grew"):
        role = make_role(moe, "code", learnt, others, steps=40, batch_size=4, seq_tokens=12, rank=4, learning_rate=0.02)
    assert role.role_after < 0.8 * role.role_before
    torch.testing.assert_close(logits(moe)[..., :96], untouched, rtol=1e-4, atol=1e-4)
    with pytest.raises(UnknownNameError, match="method"):
        make_role(moe, "x", learnt, method="prompt")  # type: ignore[arg-type]


def test_a_row_from_texts_draws_those_texts() -> None:
    moe = opened()
    inside, outside = texts(0, 10), texts(40, 10)
    rows = rows_for(moe, inside, outside)
    moe.let_in(0, moe.insert(0, [None], rows[0]))
    found = moe.usage({"in": inside, "out": outside})
    assert found.share("in")[0][8] > found.share("out")[0][8]


SIZES = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, }  # fmt: skip


@pytest.mark.parametrize(("model", "config"), [(Qwen3ForCausalLM, Qwen3Config), (LlamaForCausalLM, LlamaConfig)])
def test_copies_of_a_dense_model_answer_as_it_does(model: Any, config: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    dense = model(config(**SIZES)).eval()
    moe = upcycle(dense, num_experts=4, top_k=2)
    with torch.no_grad():
        torch.testing.assert_close(logits(moe), dense(IDS).logits, rtol=1e-4, atol=1e-5)
    assert moe.save(tmp_path / "moe").vanilla
    assert upcycle(dense, num_experts=4, noise=0.1).layers[0].read(0).gate.ne(moe.layers[0].read(0).gate).all()


def test_siblings_bring_an_expert_each_and_their_prompts_point_at_it() -> None:
    siblings = []
    for seed in range(2):
        torch.manual_seed(seed)
        siblings.append(Qwen3ForCausalLM(Qwen3Config(**SIZES)).eval())
    moe = upcycle(siblings, num_experts=4, top_k=1, prompts=[texts(0), texts(40)], tokenizer=tokenizer())
    assert torch.equal(moe.layers[1].read(3).down, siblings[1].model.layers[1].mlp.down_proj.weight)
    mean = (siblings[0].lm_head.weight + siblings[1].lm_head.weight) / 2
    torch.testing.assert_close(moe.model.lm_head.weight, mean)
    found = moe.usage({"a": texts(0), "b": texts(40)})
    first = sum(float(share[0] + share[2]) for share in found.share("a"))
    assert first > sum(float(share[0] + share[2]) for share in found.share("b"))


def test_a_folder_without_a_model_is_no_dense_model(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match=r"no config\.json in .*; needs the folder of a dense Hugging Face model"):
        upcycle(str(tmp_path), num_experts=2)


def test_siblings_that_nothing_tells_apart_are_refused() -> None:
    siblings = []
    for seed in range(2):
        torch.manual_seed(seed)
        siblings.append(Qwen3ForCausalLM(Qwen3Config(**SIZES)).eval())
    same = [texts(0), list(reversed(texts(0)))]
    with pytest.raises(ConfigError, match=r"siblings 0 and 1 have the same prompts.*noise"):
        upcycle(siblings, num_experts=4, prompts=same, tokenizer=tokenizer())
    with pytest.raises(ConfigError, match="sees the prompts of all siblings alike"):
        upcycle(siblings, num_experts=4, prompts=[["w1 w2"], ["w1  w2"]], tokenizer=tokenizer())
    with pytest.raises(ConfigError, match="siblings 0 and 1 are the same model"):
        upcycle([siblings[0], copy.deepcopy(siblings[0])], num_experts=4)
    with pytest.raises(ConfigError, match="hold no text"):
        upcycle(siblings, num_experts=4, prompts=[texts(0), [" "]], tokenizer=tokenizer())


def test_dense_models_that_cannot_be_mixed_are_refused() -> None:
    torch.manual_seed(0)
    dense = Qwen3ForCausalLM(Qwen3Config(**SIZES))
    with pytest.raises(ConfigError, match="different shapes"):
        upcycle([dense, Qwen3ForCausalLM(Qwen3Config(**{**SIZES, "intermediate_size": 16}))])
    with pytest.raises(ConfigError, match="top_k"):
        upcycle(dense, num_experts=2, top_k=3)
    with pytest.raises(UnknownNameError, match="dense family"):
        upcycle(make("qwen3_moe"))
    with pytest.raises(ConfigError, match="one list of texts"):
        upcycle(dense, prompts=[texts(0), texts(1)], tokenizer=tokenizer())
    for setting in ({"num_experts": "8"}, {"top_k": True}, {"noise": math.nan}, {"seed": -1}, {"seed": "a"}):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            upcycle(dense, **setting)  # type: ignore[arg-type]
    assert surgery.upcycle is upcycle
