"""`iai bench routing` on sets of a few made-up requests, and the rules that it writes."""

import json
import random
from pathlib import Path

import pytest

from interconnected_ai.bench import bench_routing, routing_goal_rows
from interconnected_ai.bench.routing_rules import rules_from
from interconnected_ai.bench.routing_sets import load_routing_set
from interconnected_ai.errors import DataError
from interconnected_ai.routing import Example, RuleRouter, evaluate_router

TOPICS = {
    "kitchen": {"bake": "bake oven dough flour", "fry": "fry pan oil onion"},
    "money": {"card": "card bank limit payment", "loan": "loan interest debt credit"},
}
FILLERS = "please how do i can you tell me".split()


def said(words: str, draw: random.Random) -> str:
    return " ".join([*draw.choices(words.split(), k=3), *draw.choices(FILLERS, k=3)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, draw = tmp_path_factory.mktemp("sets"), random.Random(0)
    (made / "clinc150").mkdir()
    intents = {intent: words for topics in TOPICS.values() for intent, words in topics.items()}

    def side(count: int) -> list[list[str]]:
        return [[said(words, draw), intent] for intent, words in intents.items() for _ in range(count)]

    def foreign(count: int) -> list[list[str]]:
        return [[said("quasar nebula theorem sonata glacier", draw), "oos"] for _ in range(count)]

    content = {"train": side(25), "val": side(20), "test": side(15),
               "oos_train": foreign(10), "oos_val": foreign(50), "oos_test": foreign(30)}  # fmt: skip
    (made / "clinc150" / "data_full.json").write_text(json.dumps(content), encoding="utf-8")
    domains = {domain: list(topics) for domain, topics in TOPICS.items()}
    (made / "clinc150" / "domains.json").write_text(json.dumps(domains), encoding="utf-8")
    return made


def test_every_router_is_measured_and_the_keys_are_those_of_the_goals(folder: Path) -> None:
    found = bench_routing(folder, sets=["clinc150"], say=lambda words: None)
    for name in ("rules", "knn", "learned", "cascade", "tfidf_svm"):
        assert found[f"accuracy_{name}"] == found[f"clinc150_accuracy_{name}"]
        assert found[f"accuracy_{name}"] > 0.9
    assert found["oos_recall"] > 0.8
    assert found["false_oos"] < 0.2
    assert found["oos_auroc"] > 0.9
    assert next(row["what"].split(":")[0] for row in routing_goal_rows(found)) == "learned"
    assert len(routing_goal_rows(found)) == 5
    assert found["rules_p99_ms"] > 0 < found["learned_p99_ms"]
    json.dumps(found)


def test_on_validation_rows_the_test_rows_stay_unread(folder: Path) -> None:
    whole = load_routing_set(folder, "clinc150")
    half = whole.on_validation()
    assert set(half.test) | set(half.validation) == set(whole.validation)
    assert not {each.text for each in half.test} & {each.text for each in half.validation}
    some = half.first(20)
    assert [len(side) for side in (some.train, some.validation, some.test)] == [20, 20, 20]


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_full\.json"):
        bench_routing(tmp_path, sets=["clinc150"])


def test_rules_of_telling_words_are_well_and_right_about_their_own_requests() -> None:
    draw = random.Random(1)
    subjects = [(expert, words) for expert, topics in TOPICS.items() for words in topics.values()]
    learnt, asked = ([Example(said(words, draw), who) for who, words in subjects for _ in range(30)] for _ in range(2))
    router = RuleRouter.from_text(rules_from(learnt, per_expert=6))
    assert len(router.book.rules) == 12
    assert (evaluate_router(router, asked).answered_accuracy or 0.0) > 0.95


def test_of_a_real_set_come_as_many_rules_as_are_asked_for(shared_data: Path) -> None:
    train = load_routing_set(shared_data, "clinc150").train
    assert len(RuleRouter.from_text(rules_from(train)).book.rules) == 500
