"""One system, many threads: every answer is that of one state of the system, whatever comes and goes beside it."""

import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import make_encoder, make_rows, make_system, randomize, spec
from interconnected_ai import InterconnectedAISystem, inference
from interconnected_ai.branches import Prediction, fit_branch, growth
from interconnected_ai.branches import system as system_file
from interconnected_ai.branches.convex import regress
from interconnected_ai.branches.turns import Turns
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import Dropout, in_evaluation

TEXTS = ["my bank card", "rain and snow today please tell me", "cat", "the lion was on the horse now", "cold wind"]
THREADS = 16


def at_once(*work: Callable[[], object]) -> None:
    """Run these in threads that begin together; what one raises is raised."""
    failures: list[BaseException] = []
    begin = threading.Barrier(len(work))

    def run(one: Callable[[], object]) -> None:
        begin.wait()
        try:
            one()
        except BaseException as error:  # noqa: BLE001  # raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def answers(predictions: list[Prediction], branch: str) -> list[Any] | None:
    """What a branch said to every text, or None when it was not there for any."""
    found = [prediction.branches.get(branch) for prediction in predictions]
    assert all(found) or not any(found), "there for some texts and not for others"
    return found if all(found) else None


def test_predictions_beside_branches_that_come_and_go_are_each_of_one_state(tmp_path: Path) -> None:
    system = randomize(make_system("old", "hot", dropout=0.3))
    system.freeze_trunk()
    system.seal_branches({"old": {"trained": "joint"}, "hot": {"trained": "joint"}})
    first = system.branch("hot")
    second = deepcopy(first)
    with torch.no_grad():
        second.head.weight.neg_()
    (second,) = system.sealed([second], [{"threshold": 0.5, "temperature": 2.0}])
    expected, states = system.predict(TEXTS), []
    for hot in (first, second):
        states.append(answers(system.predict(TEXTS), "hot"))
        system.replace_branch(system.branch("hot"), second if hot is first else first)
    assert states[0] != states[1]
    rows, rounds, over = make_rows("new", 8).of("new"), 6, threading.Event()

    def ask() -> None:
        while True:
            last = over.is_set()
            found = system.predict(TEXTS)
            assert answers(found, "old") == answers(expected, "old")
            assert answers(found, "hot") in states
            answers(found, "new")
            assert system.predict(TEXTS, branches=["old"])[0].branches == {"old": expected[0].branches["old"]}
            if last:
                return

    def replace() -> None:
        for number in range(2 * rounds):
            system.replace_branch(system.branch("hot"), [second, first][number % 2])

    def grow() -> None:
        for _ in range(rounds):
            system.add_branch(spec("new"))
            fit_branch(system, "new", *rows, config=TrainingConfig(epochs=1))
            system.remove_branch("new")

    def prove_and_save() -> None:
        for number in range(rounds):
            assert all(check.identical for check in system.verify())
            system.save_pretrained(tmp_path / f"model-{number % 2}")
            assert set(system.cards) >= {"old", "hot"}

    def change() -> None:
        try:
            at_once(replace, grow, prove_and_save)
        finally:
            over.set()

    at_once(change, *[ask] * THREADS)
    assert system.branch_names == ["old", "hot"]


def test_every_way_to_ask_answers_the_same_from_many_threads() -> None:
    system = randomize(make_system("one", "two", encoder=make_encoder()))
    input_ids, mask = make_encoder().pad(make_encoder().tokenize(TEXTS))
    alone = make_answers(deepcopy(system), input_ids, mask)

    def ask() -> None:
        for _ in range(3):
            assert make_answers(system, input_ids, mask) == alone

    at_once(*[ask] * THREADS)


def make_answers(system: InterconnectedAISystem, input_ids: torch.Tensor, mask: torch.Tensor) -> list[Any]:
    found = inference(system, input_ids, branch_id="one", attention_mask=mask)
    logits = system.logits_of(system.features_of(TEXTS))
    return [found, system.predict(TEXTS), [t.tolist() for t in logits.values()]]


def test_the_tokenizers_length_limit_is_set_before_anybody_asks() -> None:
    """Setting it while another thread tokenizes fails; where it is set already it is only looked at."""
    limit = make_encoder(max_seq_len=7).tokenizer.backend_tokenizer.truncation
    assert limit["max_length"] == 7


def test_branches_that_are_added_at_once_are_all_there_and_a_name_is_given_once() -> None:
    system, refused = make_system("old"), []

    def add(number: int) -> None:
        system.add_branch(spec(f"branch-{number}"))
        try:
            system.add_branch(spec("wanted"))
        except ConfigError as error:
            refused.append(error)

    at_once(*(lambda n=n: add(n) for n in range(THREADS)))  # type: ignore[misc]
    assert sorted(system.branch_names) == sorted(["old", "wanted", *(f"branch-{n}" for n in range(THREADS))])
    assert len(refused) == THREADS - 1


def test_branches_that_are_fitted_at_once_are_the_ones_that_are_fitted_one_by_one() -> None:
    names = [f"branch-{number}" for number in range(4)]
    alone, together = (make_system(*names, dropout=0.3) for _ in range(2))

    def fit(system: InterconnectedAISystem, name: str) -> None:
        rows = make_rows(name, 24, seed=int(name[-1])).of(name)
        fit_branch(system, name, *rows, validation=rows, config=TrainingConfig(epochs=2, batch_size=8))

    for name in names:
        fit(alone, name)
    at_once(*(lambda name=name: fit(together, name) for name in names))  # type: ignore[misc]
    assert together.cards == alone.cards
    assert all(torch.equal(t, alone.state_dict()[n]) for n, t in together.state_dict().items())


def test_who_took_hold_of_the_branches_goes_on_with_those_it_found() -> None:
    system = make_system("one", "two")
    modules, cards, one = system.branches, system.cards, system.branch("one")
    system.add_branch(spec("three"))
    system.remove_branch("one")
    system.seal_branch("two", trained="joint")
    assert list(modules) == ["branch_one", "branch_two"]
    assert (list(cards), cards["two"].trained) == (["one", "two"], None)
    assert cards.branch("one") is one
    assert system.branch_names == ["two", "three"]


def test_changes_wait_for_each_other() -> None:
    system = make_system("one")
    changes = [lambda: system.add_branch(spec("two")), lambda: system.remove_branch("one")]
    threads = [threading.Thread(target=change) for change in changes]
    with system_file._changes():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=0.1)
            assert thread.is_alive()
        assert system.branch_names == ["one"]
        system.predict(TEXTS)  # who only looks waits for nobody
    for thread in threads:
        thread.join()
    assert system.branch_names == ["two"]


def test_a_branch_that_is_trained_again_answers_as_before_until_it_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    system = randomize(make_system("one"))
    before, meanwhile = system.predict(TEXTS), []

    def train(*arguments: Any, **settings: Any) -> None:
        regress(*arguments, **settings)
        meanwhile.append(system.predict(TEXTS))

    monkeypatch.setattr(growth, "regress", train)
    fit_branch(system, "one", *make_rows("one", 12).of("one"), config=TrainingConfig(epochs=2))
    assert meanwhile == [before]
    assert system.predict(TEXTS) != before


@pytest.mark.parametrize("away", ["removed", "replaced"])
def test_a_branch_that_went_while_it_was_trained_does_not_come_back(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = make_system("old", "new")
    sealed = system.sealed

    def meanwhile(*arguments: Any) -> Any:
        system.remove_branch("new")
        if away == "replaced":
            system.add_branch(spec("new", "other", "classes"))
        return sealed(*arguments)

    monkeypatch.setattr(system, "sealed", meanwhile)
    with pytest.raises(ConfigError, match="removed or replaced while"):
        fit_branch(system, "new", *make_rows("new", 6).of("new"), config=TrainingConfig(epochs=1))
    assert system.branch_names == ["old", "new"][: 1 + (away == "replaced")]
    assert away == "removed" or system.cards["new"].spec.labels == ("other", "classes")


# The mode is nobody's business


@pytest.mark.parametrize("rank", [0, 2])
def test_a_system_in_training_answers_in_evaluation_mode_and_stays_in_training(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = randomize(make_system("one", "two", dropout=0.5, encoder_lora_rank=rank))
    input_ids, mask = system.encoder.pad(system.encoder.tokenize(TEXTS))
    expected = make_answers(system, input_ids, mask)
    system.train()
    modes = {name: module.training for name, module in system.named_modules()}
    assert modes["trunk.layers.0.dropout"]
    assert modes["encoder.model"] == bool(rank)

    def refuse(module: nn.Module, mode: bool = True) -> nn.Module:
        raise AssertionError("the mode of a shared module was set")

    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "train", refuse)
        assert make_answers(system, input_ids, mask) == expected
        system.verify()
    assert {name: module.training for name, module in system.named_modules()} == modes
    with torch.no_grad():
        one, other = (system(input_ids, mask).logits["one"] for _ in range(2))
    assert not torch.equal(one, other)  # it does train


def test_a_branch_that_alone_is_in_training_answers_in_evaluation_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    system = randomize(make_system("one", dropout=0.5))
    expected = system.predict(TEXTS)
    system.branch("one").train()
    assert system.predict(TEXTS) == expected
    assert system.branch("one").training


def test_what_is_computed_for_the_caller_may_be_learnt_from() -> None:
    system = make_system("one")
    pooled = system.encode(TEXTS)
    for found in (pooled, system.logits_of(pooled)["one"], system.branch("one").evaluate(pooled)):
        assert not found.requires_grad
        assert not found.is_inference()
        (nn.Parameter(torch.ones(1)) * found).sum().backward()


def test_a_module_in_evaluation_mode_is_used_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(2, 2), Dropout(0.5)).eval()
    assert in_evaluation(module) is module


def test_a_replica_shares_what_is_learnt_and_nothing_of_the_mode() -> None:
    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), Dropout(0.5))
            self.nothing = None
            self.register_module("absent", None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)  # type: ignore[no-any-return]

    module = Kept()
    module.inner[2].eval()
    replica = in_evaluation(module)
    seen: list[bool] = []
    module.inner[0].register_forward_hook(lambda part, *_: seen.append(part.training))
    with torch.no_grad():
        module.inner[0].weight += 1
        assert torch.equal(replica(torch.ones(3, 2)), deepcopy(module).eval()(torch.ones(3, 2)))
    assert seen[0] is False
    module.double()
    assert replica.inner[0].weight.dtype == torch.float64
    assert [part.training for part in module.modules()] == [True, True, True, True, False]
    assert not any(part.training for part in replica.modules())
    assert set(replica.state_dict()) == set(module.state_dict())


def test_a_lock_is_free_in_a_forked_child(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    with turns():
        assert turns() is turns()
        monkeypatch.setattr("os.getpid", lambda: -1)  # as a child would see it
        assert turns().acquire(blocking=False)


# The cards


def test_a_card_may_be_set_and_nothing_else() -> None:
    system = make_system("one", "two")
    cards = system.cards
    cards["one"] = cards["one"].with_changes(threshold=0.25)
    assert system.cards["one"].threshold == system.branch("one").card.threshold == 0.25
    assert (list(cards), len(cards)) == (["one", "two"], 2)
    assert repr(cards) == repr(dict(cards))
    with pytest.raises(LookupError, match="thre"):
        cards["thre"] = cards["one"]
    with pytest.raises(ConfigError, match="name or classes of another"):
        cards["one"] = cards["two"]
    with pytest.raises(TypeError, match="remove_branch"):
        del cards["one"]
    with pytest.raises(AttributeError):
        system.cards = {}  # type: ignore[misc, assignment]
    with pytest.raises(KeyError):
        cards["keys"]
