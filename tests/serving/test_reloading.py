"""What is edited, trained or copied into the place of what is served is taken up; who is being answered ends as it began."""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.council.tiny_councils import RULES, saved_expert
from tests.serving.halls import asked, call, config_of
from tests.serving.own_halls import TEXTS, own_server, saved_system

from conftest import make_system, randomize
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.config import ServingConfig
from interconnected_ai.experts import BatchLimits
from interconnected_ai.serving import Hall, ServerThread

CHAT = "/v1/chat/completions"
NAMES = ("general", "code", "law")


def written(home: Path, **more: Any) -> Path:
    """A council's file, of three experts beside it."""
    config_of(home)
    experts = {name: {"place": name} for name in NAMES}
    council = {
        "experts": experts, "fallback": "general", "rules": "rules.yaml", "semantic": False, "max_new_tokens": 6,
        "budget_mb": 100, **more,
    }  # fmt: skip
    file = home / "council.yaml"
    file.write_text(yaml.safe_dump(council), encoding="utf-8")
    return file


@contextmanager
def served(file: Path) -> Iterator[tuple[str, Hall]]:
    with (
        Hall.open([file], batching=BatchLimits()) as hall,
        ServerThread(hall, ServingConfig(port=0, drain_seconds=1.0)) as server,
    ):
        yield server.url, hall


@contextmanager
def asking(url: str, body: dict[str, Any]) -> Iterator[list[int]]:
    """Requests without a pause from two clients; their statuses."""
    statuses: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            statuses.append(call(url, CHAT, body)[0])

    with ThreadPoolExecutor(2) as clients:
        running = [clients.submit(ask) for _ in range(2)]
        try:
            yield statuses
        finally:
            is_over.set()
            for each in running:
                each.result()


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.05)


def who_answers(url: str, text: str) -> str:
    name: str = call(url, CHAT, asked(text, model="council"))[2]["interconnected_ai"]["experts"][0]
    return name


def said(url: str, model: str) -> str:
    text: str = call(url, CHAT, asked("a traceback", model=model, max_tokens=12))[2]["choices"][0]["message"]["content"]
    return text


def test_rules_that_are_edited_decide_from_then_on_and_no_request_is_dropped(tmp_path: Path) -> None:
    with served(written(tmp_path)) as (url, _), asking(url, asked("a traceback", model="council")) as statuses:
        assert who_answers(url, "a traceback") == "code"
        (tmp_path / "rules.yaml").write_text(RULES.replace("to: code", "to: law"), encoding="utf-8")
        until(lambda: who_answers(url, "a traceback") == "law")
    assert set(statuses) == {200}


def test_rules_that_cannot_be_change_nothing_and_the_log_and_readyz_say_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(written(tmp_path)) as (url, _), caplog.at_level(logging.WARNING, "interconnected_ai.serving"):
        assert call(url, "/readyz")[2] == {"status": "ready", "kept": {}}
        (tmp_path / "rules.yaml").write_text("rules:\n- name: a\n  to: nobody\n  words: [a]\n", encoding="utf-8")
        until(lambda: call(url, "/readyz")[2]["kept"])
        assert "nobody" in call(url, "/readyz")[2]["kept"]["council"]
        assert str(tmp_path) not in json.dumps(call(url, "/readyz")[2])
        assert len([line for line in caplog.messages if "council stays as it was" in line]) == 1
        assert who_answers(url, "a traceback") == "code"
        (tmp_path / "rules.yaml").write_text(RULES.replace("to: code", "to: general"), encoding="utf-8")
        until(lambda: not call(url, "/readyz")[2]["kept"])
        assert who_answers(url, "a traceback") == "general"


def test_an_expert_that_is_added_to_the_councils_file_or_taken_out_of_it_comes_and_goes(tmp_path: Path) -> None:
    file = written(tmp_path, rules=None)
    with served(file) as (url, _), asking(url, asked("hello", model="council")) as statuses:
        saved_expert(tmp_path / "more", 7)
        council = yaml.safe_load(file.read_text(encoding="utf-8"))
        council["experts"]["more"] = {"place": "more"}
        council["fallback"] = "more"
        file.write_text(yaml.safe_dump(council), encoding="utf-8")
        until(lambda: who_answers(url, "hello") == "more")
        assert call(url, "/v1/models/more")[0] == 200
        assert said(url, "more")
        council["fallback"] = "general"
        del council["experts"]["more"]
        file.write_text(yaml.safe_dump(council), encoding="utf-8")
        until(lambda: call(url, CHAT, asked(model="more"))[0] == 404)
        assert who_answers(url, "hello") == "general"
        assert [each["id"] for each in call(url, "/v1/experts")[2]["data"]] == sorted(NAMES)
    assert set(statuses) == {200}


def test_a_councils_file_that_needs_another_start_is_left_alone(tmp_path: Path) -> None:
    file = written(tmp_path)
    with served(file) as (url, _):
        written(tmp_path, budget_mb=50)
        until(lambda: "budget_mb" in call(url, "/readyz")[2]["kept"].get("council", ""))
        assert who_answers(url, "a traceback") == "code"
        file.write_text("experts: [", encoding="utf-8")
        until(lambda: "budget_mb" not in call(url, "/readyz")[2]["kept"].get("council", "budget_mb"))
        assert who_answers(url, "a traceback") == "code"


@pytest.mark.parametrize("is_council", [True, False])
def test_another_version_of_an_expert_answers_who_comes_later_and_the_old_one_ends_its_answers(
    tmp_path: Path, is_council: bool
) -> None:
    place = written(tmp_path) if is_council else tmp_path / "code"
    config_of(tmp_path)
    saved_expert(tmp_path / "next" / "code", 11)
    with Hall.open([tmp_path / "next" / "code"]) as hall, ServerThread(hall, ServingConfig(port=0)) as server:
        expected = said(server.url, "code")
    with served(place) as (url, hall):
        old = said(url, "code")
        assert old != expected
        pool = hall.pools["council" if is_council else "experts"]
        with pool.borrow("code") as held, asking(url, asked(model="code")) as statuses:
            before = held.expert.generate("the court", max_new_tokens=8, temperature=0.0)
            shutil.rmtree(tmp_path / "code")
            shutil.copytree(tmp_path / "next" / "code", tmp_path / "code")
            until(lambda: said(url, "code") == expected)
            assert held.expert.generate("the court", max_new_tokens=8, temperature=0.0) == before
            both = pool.stats().used_bytes
        until(lambda: pool.stats().used_bytes < both)  # the old one is gone with who had it last
        assert set(statuses) <= {200, 503}  # 503 alone while the folder was not there, and the expert not in memory


def test_a_version_of_an_expert_that_cannot_be_loaded_leaves_the_old_one_answering(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(written(tmp_path)) as (url, _), caplog.at_level(logging.WARNING, "interconnected_ai.serving"):
        old = said(url, "code")
        weights = tmp_path / "code" / "model.safetensors"
        half = tmp_path / "half"
        half.write_bytes(weights.read_bytes()[:-1000])
        half.replace(weights)  # what is loaded has the old file mapped, which must not be cut under it
        until(lambda: "expert code" in call(url, "/readyz")[2]["kept"])
        assert said(url, "code") == old
        assert "expert code stays as it was" in caplog.text
        weights.unlink()
        saved_expert(tmp_path / "code", 12)
        until(lambda: said(url, "code") != old)
        assert call(url, "/readyz")[2]["kept"] == {}


def test_an_expert_whose_folder_goes_while_it_answers_answers_on(tmp_path: Path) -> None:
    with served(written(tmp_path)) as (url, _):
        old = said(url, "code")
        shutil.rmtree(tmp_path / "code")
        until(lambda: "expert code" in call(url, "/readyz")[2]["kept"])
        assert said(url, "code") == old
        assert call(url, "/v1/models/code")[0] == 200


def test_a_system_that_was_trained_anew_is_taken_up_and_texts_are_answered_meanwhile(tmp_path: Path) -> None:
    body = {"input": TEXTS}
    with own_server(tmp_path) as (url, hall), ThreadPoolExecutor(1) as beside:
        before = call(url, "/v1/classify", body)[2]
        other = randomize(InterconnectedAISystem.from_pretrained(tmp_path / "system"), seed=7)
        is_over = threading.Event()

        def ask() -> set[int]:
            statuses = set()
            while not is_over.is_set():
                statuses.add(call(url, "/v1/classify", body)[0])
            return statuses

        asking = beside.submit(ask)
        other.save_pretrained(tmp_path / "system")
        until(lambda: call(url, "/v1/classify", body)[2] != before)
        is_over.set()
        assert asking.result() == {200}
        found = call(url, "/v1/classify", body)[2]["data"]
        for told, expected in zip(found, hall.systems["system"].predict(TEXTS), strict=True):
            for name, each in expected.branches.items():
                assert told["branches"][name]["label"] == each.label
        assert call(url, "/v1/branches/verify", b"", method="POST")[2]["object"] == "list"


def test_systems_that_learnt_in_their_encoders_share_it_and_embeddings_are_those_of_before(tmp_path: Path) -> None:
    plain = InterconnectedAISystem.from_pretrained(saved_system(tmp_path))
    name, folders = plain.config.base_model_name, []
    for rank in (2, 3):
        encoder = Encoder.load(name, max_seq_len=32)
        system = randomize(make_system("one", encoder=encoder, base_model_name=name, encoder_lora_rank=rank), seed=rank)
        system.freeze_trunk()
        folders.append(tmp_path / f"learnt{rank}")
        system.save_pretrained(folders[-1])
    with Hall.open(folders) as hall:
        assert list(hall.systems) == ["learnt2", "learnt3"]
        hall.refresh("learnt2")
        words = {s.encoder.model.embeddings.word_embeddings.weight.data_ptr() for s in hall.systems.values()}  # type: ignore[union-attr]
        assert len(words) == 1
        (embedder,) = hall.encoders.values()
        expected = TextVectors(plain.encoder)(TEXTS)
        assert np.array_equal(embedder.embed(TEXTS).vectors, expected)
        for folder in folders:
            alone = InterconnectedAISystem.from_pretrained(folder).predict(TEXTS)
            assert hall.systems[folder.name].predict(TEXTS) == alone
