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
from interconnected_ai.experts.deliberation import DeliberationEngine, RunningWeights, foretold, log_likelihoods, mixed
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


def test_shares_are_what_the_members_words_weighed_on_the_average() -> None:
    council = DeliberationEngine(engines())
    assert council.shares == pytest.approx(dict.fromkeys(("one", "two", "three"), 1 / 3))
    decoder = council.decoder()
    decoder.start([PROMPTS[0]], 20)
    weighed = [decoder.weights.log_weights.exp()[0]]
    for token in (5, 7, 9):
        decoder.step(torch.tensor([token]))
        weighed.append(decoder.weights.log_weights.exp()[0])
    assert list(council.shares.values()) == pytest.approx(torch.stack(weighed).mean(0).tolist())
    assert len(set(council.shares.values())) == 3


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


def test_adapters_of_one_base_are_rows_of_one_batch_and_say_what_they_say_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = Tokenizer.train(TEXTS, 300)
    with SharedBase(CausalLM(tiny_llama()), words, name="tiny") as base:
        for seed, name in enumerate(["stdlib", "numpy"]):
            base.add(name, tiny_adapter(tiny_llama(), seed))
        apart = {"other": TorchEngine(made(3, vocab_size=words.vocab_size))}  # between the two of one base
        members = {
            "stdlib": base.engine_with("stdlib"),
            **apart,
            "base": base.engine,
            "numpy": base.engine_with("numpy"),
        }
        prompt, prior = words.encode("The router gives"), [2.0, 1.0, 1.0, 1.0]
        expected = by_hand(members, prior, prompt, 0.05)
        made_decoders, real = [], base.engine.decoder
        monkeypatch.setattr(base.engine, "decoder", lambda: made_decoders.append(real()) or made_decoders[-1])
        council = DeliberationEngine(members, words, prior=dict(zip(members, prior, strict=True)), forgetting=0.05)
        (answer,) = council([prompt], GREEDY)
        assert list(answer.token_ids) == expected[: len(answer.token_ids)]
        assert len(made_decoders) == 1
        prompts, beams = [prompt, words.encode("To two experts.")], GREEDY.with_changes(num_beams=2)
        alike = DeliberationEngine(members, words, num_evidence=2)  # every row shows as much as alone
        together = [answer.token_ids for answer in alike(prompts, beams)]
        assert together == [alike([one], beams)[0].token_ids for one in prompts]


def test_a_text_is_as_likely_as_its_tokens_are_one_by_one() -> None:
    words = Tokenizer.train(TEXTS, 300)
    with SharedBase(CausalLM(tiny_llama()), words, name="tiny") as base:
        base.add("numpy", tiny_adapter(tiny_llama(), 1))
        members = {
            "one": TorchEngine(made(1, vocab_size=words.vocab_size)),
            "numpy": base.engine_with("numpy"),
            "base": base.engine,
        }
        token_ids = [words.start_id, *words.encode(TEXTS[0])]
        found = log_likelihoods(members, token_ids)
        for name, engine in members.items():
            decoder, expected = engine.decoder(), 0.0
            logits = decoder.start([token_ids[:1]], len(token_ids))
            for token in token_ids[1:]:
                expected += float(logits.double().log_softmax(-1)[0, token])
                logits = decoder.step(torch.tensor([token]))
            assert found[name] == pytest.approx(expected, rel=1e-4)
        few = log_likelihoods(members, token_ids, most_tokens=3)
        assert all(few[name] > found[name] for name in members)
        assert log_likelihoods(members, token_ids[:1]) == dict.fromkeys(members, 0.0)
    with pytest.raises(EngineError, match="different tokenizers"):
        log_likelihoods({"one": TorchEngine(made(1)), "two": TorchEngine(made(vocab_size=VOCABULARY + 1))}, [1, 2])
    with pytest.raises(EngineError, match="'one' runs on object"):
        log_likelihoods({"one": object()}, [1, 2])  # type: ignore[dict-item]


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
    given = found.costs(num_given=2)
    torch.testing.assert_close(given, torch.stack([nats[2:].sum(0) for nats in found.nats]))
    sure = found.mixture_costs(torch.tensor([[1.0, 0.0]] * 3), width=1, num_given=2)
    torch.testing.assert_close(sure, given[:, 0])
    both = found.mixture_costs(forgetting=0.0)
    rest = found.mixture_costs(forgetting=0.0, num_given=4)  # what the first four showed counts, and costs nothing
    first = torch.stack([-(-nats[:4].sum(0)).logsumexp(0) + math.log(2) for nats in found.nats])
    torch.testing.assert_close(rest, both - first)
    assert bool((both <= costs.min(dim=1).values + math.log(2) + 1e-6).all())
    decoder = DeliberationEngine({name: TorchEngine(model) for name, model in models.items()}, forgetting=0.0).decoder()
    token_ids = words.encode(TEXTS[2])
    logits, paid = decoder.start([[words.start_id]], 1 + len(token_ids)), 0.0
    for token in token_ids:
        paid -= float(logits.double().log_softmax(-1)[0, token])
        logits = decoder.step(torch.tensor([token]))
    assert paid == pytest.approx(float(both[2]), rel=1e-3)


def test_a_request_shows_who_foretells_and_is_not_counted() -> None:
    words = tokenizer()
    models = {name: made(seed, vocab_size=words.vocab_size) for seed, name in enumerate(["one", "two", "three"])}
    whole = foretold(models, TEXTS, words, most_tokens=12)
    found = foretold(models, TEXTS, words, num_given=4, most_tokens=12)
    assert found.nats[0].shape == (12, 3)
    torch.testing.assert_close(found.costs() + found.given_costs(), whole.costs())
    assert found.num_bytes[0] == len(words.decode(words.encode(TEXTS[0])[4:12]).encode())
    assert sum(foretold(models, TEXTS, words).num_bytes) == sum(len(text.encode()) for text in TEXTS)
    # the mixture that has read the request pays for the rest what the whole costs it beyond the request
    for document, paid in zip(found.nats, found.mixture_costs(forgetting=0.1), strict=True):
        weights, by_hand = RunningWeights(torch.ones(1, 3), 0.1), 0.0
        for place, token in enumerate(-document[:, None]):
            by_hand -= float((weights.log_weights + token).logsumexp(-1)) if place >= 4 else 0.0
            weights.observe(token)
        assert float(paid) == pytest.approx(by_hand)


def test_a_seed_is_among_those_who_deliberate_whatever_its_prior() -> None:
    words = tokenizer()
    models = {name: made(seed, vocab_size=words.vocab_size) for seed, name in enumerate(["one", "two", "seed"])}
    found = foretold(models, TEXTS, words)
    priors = torch.tensor([[0.9, 0.08, 0.02]]).expand(len(TEXTS), -1)
    alone = found.mixture_costs(torch.tensor([[0.9, 0.0, 0.02]]).expand(len(TEXTS), -1), forgetting=0.0)
    torch.testing.assert_close(found.mixture_costs(priors, width=2, forgetting=0.0, always="seed"), alone)


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
