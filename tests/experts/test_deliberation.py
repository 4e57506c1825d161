"""Deliberation: mixtures of experts' next tokens, weighed by how well each foretold the text so far."""

import math

import pytest
import torch
from expert_models import TEXTS, VOCABULARY, made, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tiny_llamas import tiny_adapter, tiny_llama

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts import CausalLM, SharedBase, TorchEngine, measure
from interconnected_ai.experts.deliberation import DeliberationEngine, RunningWeights, foretold, mixed
from interconnected_ai.experts.scoring import HeldOut, token_nats
from interconnected_ai.text import Tokenizer

GREEDY = GenerationConfig(max_new_tokens=8, temperature=0.0)
PROMPTS = [[3, 14, 15, 92, 65], [35, 89, 79], [32, 38, 46, 26, 43, 38]]


def engines() -> dict[str, TorchEngine]:
    return {name: TorchEngine(made(seed)) for seed, name in enumerate(["one", "two", "three"])}


def by_hand(members: dict[str, TorchEngine], prior: list[float], prompt: list[int], forgetting: float) -> list[int]:
    """Greedy tokens of the mixture, every distribution computed from scratch."""

    def log_probs(token_ids: list[int]) -> torch.Tensor:
        rows = [engine.decoder().start([token_ids], 40)[0] for engine in members.values()]
        return torch.stack(rows).double().log_softmax(-1)

    start = torch.tensor(prior, dtype=torch.float64)
    start, said = start / start.sum(), list(prompt)
    weights = start
    for place in range(1, len(prompt)):
        weights = weights * log_probs(prompt[:place])[:, prompt[place]].exp()
        weights = (1 - forgetting) * weights / weights.sum() + forgetting * start
    for _ in range(8):
        now = log_probs(said)
        token = int((weights[:, None] * now.exp()).sum(0).argmax())
        weights = weights * now[:, token].exp()
        weights = (1 - forgetting) * weights / weights.sum() + forgetting * start
        said.append(token)
    return said[len(prompt) :]


@pytest.mark.parametrize("forgetting", [0.0, 0.05])
def test_answers_are_those_of_the_mixture_computed_by_hand(forgetting: float) -> None:
    members = engines()
    council = DeliberationEngine(members, prior={"one": 2, "two": 1, "three": 1}, forgetting=forgetting)
    answers = council([PROMPTS[0]], GREEDY)
    assert list(answers[0].token_ids) == by_hand(members, [2, 1, 1], PROMPTS[0], forgetting)


def test_a_row_is_answered_as_it_is_alone_where_all_rows_show_as_much() -> None:
    council = DeliberationEngine(engines(), num_evidence=2)
    together = [answer.token_ids for answer in council(PROMPTS, GREEDY)]
    assert together == [council([prompt], GREEDY)[0].token_ids for prompt in PROMPTS]


def test_one_member_answers_as_it_does_without_a_council() -> None:
    members = engines()
    alone = members["two"](PROMPTS, GREEDY)
    council = DeliberationEngine({"two": members["two"]})(PROMPTS, GREEDY)
    certain = DeliberationEngine(members, prior={"one": 0, "two": 1, "three": 0})(PROMPTS, GREEDY)
    for answers in (council, certain):
        assert [one.token_ids for one in answers] == [one.token_ids for one in alone]


def test_adapters_of_one_base_deliberate() -> None:
    words = Tokenizer.train(TEXTS, 300)
    with SharedBase(CausalLM(tiny_llama()), words, name="tiny") as base:
        for seed, name in enumerate(["stdlib", "numpy"]):
            base.add(name, tiny_adapter(tiny_llama(), seed))
        members = {name: base.engine_with(name) for name in base.adapters}
        with DeliberationEngine({"base": base.engine, **members}) as council:
            assert council.members == ("base", "stdlib", "numpy")
            (answer,) = council([words.encode("The router")], GREEDY)
            assert len(answer.token_ids) == 8
        assert not base.engine.is_closed


@given(st.integers(1, 5), st.floats(0, 1), st.integers(0, 2**31))
def test_a_mixture_is_never_worse_than_its_best_member_by_more_than_its_prior_allows(
    k: int, forgetting: float, seed: int
) -> None:
    drawn = torch.Generator().manual_seed(seed)
    told = torch.randn(30, k, generator=drawn, dtype=torch.float64).sub(3).clamp(max=-0.01)  # ln p of each token
    weights, cost = RunningWeights(torch.ones(1, k), forgetting), 0.0
    for token in told[:, None]:
        cost -= float((weights.log_weights + token).logsumexp(-1))
        weights.observe(token)
        assert float(weights.log_weights.exp().sum()) == pytest.approx(1)
    allowed = math.log(k) - 30 * math.log1p(-forgetting) if forgetting < 1 else math.inf
    assert cost <= float(-told.sum(0).max()) + allowed + 1e-6


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_power_mean_is_a_distribution_and_equal_members_change_nothing(power: float) -> None:
    one = torch.randn(2, 1, 50, generator=torch.Generator().manual_seed(4)).log_softmax(-1)
    found = mixed(torch.tensor([[0.3, 0.7], [0.5, 0.5]]).log(), one.expand(2, 2, 50), power)
    torch.testing.assert_close(found, one[:, 0], rtol=1e-4, atol=1e-4)
    unlike = torch.randn(1, 3, 50, generator=torch.Generator().manual_seed(5)).log_softmax(-1)
    total = mixed(torch.tensor([[0.2, 0.3, 0.5]]).log(), unlike, power).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-4)


def test_what_a_member_forbids_the_geometric_mean_forbids_too() -> None:
    probs = torch.tensor([[[0.5, 0.5, 0.0], [0.2, 0.4, 0.4]]])
    geometric = mixed(torch.tensor([[0.5, 0.5]]).log(), probs.log(), 0.0).exp()
    assert float(geometric[0, 2]) == 0
    silent = mixed(torch.tensor([[0.0, 1.0]]).log(), probs.log(), 0.0).exp()  # no weight, no veto
    torch.testing.assert_close(silent, probs[:, 1])


def test_every_token_costs_what_measuring_adds_up() -> None:
    words, model = tokenizer(), made(vocab_size=tokenizer().vocab_size)
    held = HeldOut.of([*TEXTS, TEXTS[1] * 4], words)
    nats = token_nats(model, held)
    assert [len(each) for each in nats] == [len(document) for document in held.documents]
    assert float(sum(each.sum() for each in nats)) == pytest.approx(measure(model, held).nats, rel=1e-5)


def test_documents_cost_the_mixture_what_its_engine_would_pay() -> None:
    words = tokenizer()
    models = {name: made(seed, vocab_size=words.vocab_size) for seed, name in enumerate(["one", "two"])}
    found = foretold(models, TEXTS, words)
    costs = found.costs()
    alone = found.mixture_costs(torch.tensor([[1.0, 0.0]] * 3), width=1)
    torch.testing.assert_close(alone, costs[:, 0])
    both = found.mixture_costs(forgetting=0.0)
    assert bool((both <= costs.min(dim=1).values + math.log(2) + 1e-6).all())
    decoder = DeliberationEngine({name: TorchEngine(model) for name, model in models.items()}, forgetting=0.0).decoder()
    token_ids = words.encode(TEXTS[2])
    logits, paid = decoder.start([[words.start_id]], 1 + len(token_ids)), 0.0
    for token in token_ids:
        paid -= float(logits.double().log_softmax(-1)[0, token])
        logits = decoder.step(torch.tensor([token]))
    assert paid == pytest.approx(float(both[2]), rel=1e-3)


def test_what_cannot_deliberate_is_refused() -> None:
    members = engines()
    with pytest.raises(EngineError, match="different tokenizers"):
        DeliberationEngine({"one": members["one"], "other": TorchEngine(made(vocab_size=VOCABULARY + 1))})
    with pytest.raises(ConfigError, match="one expert at least"):
        DeliberationEngine({})
    with pytest.raises(ConfigError, match="give a number for each"):
        DeliberationEngine(members, prior={"one": 1.0})
    with pytest.raises(ConfigError, match="not all of them 0"):
        DeliberationEngine(members, prior={"one": 0.0, "two": 0.0, "three": 0.0})
    with pytest.raises(ConfigError, match="forgetting"):
        DeliberationEngine(members, forgetting=1.5)
    with pytest.raises(ConfigError, match="power"):
        DeliberationEngine(members, power=-1)
    with pytest.raises(EngineError, match="gives no logits"):
        DeliberationEngine({"one": object()})  # type: ignore[dict-item]
