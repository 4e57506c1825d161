"""What stands beside an adapter's weights of its chats: its own template goes before the base's, foreign tokens are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_llamas import saved_base, tiny_adapter, tiny_llama

from interconnected_ai.errors import AdapterError, ConfigError, IntegrityError
from interconnected_ai.experts import Expert, ExpertCard, SharedBase, export_expert, read_adapter, save_adapter
from interconnected_ai.experts.chat.template import CHATML
from interconnected_ai.storage import MANIFEST
from interconnected_ai.types import ChatMessage

OWN = "{% for message in messages %}[{{ message['role'] }}: {{ message['content'] }}]{% endfor %}{{ eos_token }}"
ASKED = [ChatMessage("user", "the router")]
GREEDY = {"max_new_tokens": 4, "temperature": 0.0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_base(tmp_path_factory.mktemp("base") / "base").path


def adapter_on(base: Path, folder: Path, number: int = 0, **beside: Any) -> Path:
    """An adapter as PEFT leaves one, without our manifest; beside: further files, as text or as JSON."""
    card = ExpertCard(base=str(base))
    save_adapter(tiny_adapter(tiny_llama(), number), folder, card)
    for name in (MANIFEST, "expert.json"):
        (folder / name).unlink()
    for name, content in beside.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def test_an_adapter_without_a_template_has_its_bases(base: Path, tmp_path: Path) -> None:
    with Expert.from_pretrained(adapter_on(base, tmp_path / "plain")) as expert:
        assert expert.template.source == CHATML


@pytest.mark.parametrize(
    "beside", [{"chat_template__jinja": OWN}, {"tokenizer_config__json": {"chat_template": OWN}}], ids=str
)
def test_an_adapters_own_template_goes_before_its_bases(base: Path, tmp_path: Path, beside: dict[str, Any]) -> None:
    folder = adapter_on(base, tmp_path / "own", **beside)
    with Expert.from_pretrained(folder) as expert:
        assert expert.template.source == OWN
        assert expert.template.text(ASKED) == f"[user: the router]{expert.tokenizer.special_names['eos_token']}"
        answer = expert.chat(ASKED, **GREEDY)
        assert answer.num_prompt_tokens == expert.template.count(ASKED)


def test_adapters_of_one_base_are_each_asked_as_their_template_says(base: Path, tmp_path: Path) -> None:
    with SharedBase.open(base) as shared:
        shared.add("plain", adapter_on(base, tmp_path / "plain"))
        shared.add("own", adapter_on(base, tmp_path / "own", chat_template__jinja=OWN))
        plain = shared.stream_chat(ASKED, adapter="plain", **GREEDY).result()
        own = shared.stream_chat(ASKED, adapter="own", **GREEDY).result()
        assert plain.num_prompt_tokens == shared.template.count(ASKED) != own.num_prompt_tokens
        (tmp_path / "own" / "chat_template.jinja").write_text("{{ messages[0]['content'] }}", encoding="utf-8")
        assert shared.reload("own")
        assert shared.stream_chat(ASKED, adapter="own", **GREEDY).result().num_prompt_tokens < own.num_prompt_tokens


def test_what_is_exported_keeps_the_adapters_template(base: Path, tmp_path: Path) -> None:
    folder = adapter_on(base, tmp_path / "own", chat_template__jinja=OWN)
    export_expert(folder, "safetensors", tmp_path / "merged")
    export_expert(folder, "peft", tmp_path / "peft")
    with Expert.from_pretrained(tmp_path / "merged") as merged:
        assert merged.template.source == OWN
    assert read_adapter(tmp_path / "peft").chats.template == OWN


def test_tokens_that_the_base_knows_may_stand_beside_an_adapter(base: Path, tmp_path: Path) -> None:
    known = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    assert known["added_tokens"]
    folder = adapter_on(base, tmp_path / "known", tokenizer__json=known)
    with Expert.from_pretrained(folder) as expert:
        assert str(expert.generate("The router", **GREEDY))


@pytest.mark.parametrize(
    "beside",
    [
        {"tokenizer__json": {"added_tokens": [{"id": 300, "content": "<|tool|>"}]}},
        {"tokenizer_config__json": {"added_tokens_decoder": {"300": {"content": "<|tool|>"}}}},
        {"added_tokens__json": {"<|tool|>": 300}},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_tokens_that_the_base_has_not_are_refused_by_name(base: Path, tmp_path: Path, beside: dict[str, Any]) -> None:
    folder = adapter_on(base, tmp_path / "foreign", **beside)
    said = r"its tokenizer has 1 tokens that .* has not under these ids: '<\|tool\|>' \(300\)"
    with pytest.raises(AdapterError, match=said):
        Expert.from_pretrained(folder)
    with pytest.raises(AdapterError, match=said):
        export_expert(folder, "safetensors", tmp_path / "out")


def test_files_beside_it_that_are_nonsense_are_told(base: Path, tmp_path: Path) -> None:
    folder = adapter_on(base, tmp_path / "broken", tokenizer_config__json={"added_tokens_decoder": {"a": 1}})
    with pytest.raises(IntegrityError, match="files of its tokenizer cannot be read"):
        read_adapter(folder)
    folder = adapter_on(base, tmp_path / "number", tokenizer_config__json={"chat_template": 7})
    with pytest.raises(ConfigError, match=r"the chat template of .* is a int, needed is text"):
        read_adapter(folder)
