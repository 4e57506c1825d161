"""The embedded base on llama.cpp, beside the same file on PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import MissingExtraError
from interconnected_ai.experts.adapters.folder import save_adapter
from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
from interconnected_ai.experts.bases import Base, embedded_base
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.causal_lm import CausalLM

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from interconnected_ai.experts.engines.llama_adapters import open_llamacpp

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base() -> Base:
    try:
        return embedded_base()
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_an_adapter_shifts_log_probabilities_as_on_pytorch(base: Base, tmp_path: Path) -> None:
    model, drawn = CausalLM.from_pretrained(base), torch.Generator().manual_seed(3)
    parts = {}
    for name, part in model.network.named_modules():
        if isinstance(part, torch.nn.Linear) and name != "lm_head":
            second = torch.randn(part.out_features, 8, generator=drawn)
            parts[name] = LowRank(torch.randn(8, part.in_features, generator=drawn) * 0.05, second * 0.05, 2.0)
    weights = AdapterWeights(parts)
    save_adapter(weights, tmp_path / "numpy", ExpertCard(name="numpy", base=base.name, base_sha256=base.sha256))
    config = GenerationConfig(max_new_tokens=24, temperature=0.0, logprobs=1)
    with open_llamacpp(base, {"numpy": tmp_path / "numpy"}, threads=1) as engine:
        prompt = engine.tokenize("Gravity is the force that")
        plain, changed = engine([prompt, prompt], config, adapters=[None, "numpy"])
    assert plain.text is not None
    assert plain.text.isascii()

    def foretold(answer: tuple[int, ...]) -> list[float]:
        with torch.inference_mode():
            shares = model(torch.tensor([[*prompt, *answer]]))[0, len(prompt) - 1 : -1].log_softmax(-1)
        return shares.gather(1, torch.tensor(answer)[:, None])[:, 0].tolist()

    def told(steps: tuple[object, ...]) -> list[float]:
        return [step.logprob for step in steps]  # type: ignore[attr-defined]

    before = foretold(changed.token_ids)
    assert foretold(plain.token_ids) == pytest.approx(told(plain.steps), abs=0.25)  # q8 activations against float32
    for name, low_rank in weights.named():
        model.network.get_submodule(name).weight.data += low_rank.delta()
    after = foretold(changed.token_ids)
    assert after == pytest.approx(told(changed.steps), abs=0.4)
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 1.0  # the adapter matters


_MEASURE = """
import sys
from pathlib import Path
import xllamacpp
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import GgufModel, LlamaCppEngine, LlamaFile

def resident():
    return 1024 * int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

file = LlamaFile.of_model(GgufModel.read(sys.argv[1]))
before = resident()
engine = LlamaCppEngine(file, threads=1)
for length in (100, 480):  # of more tokens than the first server has room for
    engine([[1] * length], GenerationConfig(max_new_tokens=16, temperature=0.0))
print(resident() - before, engine.num_bytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_the_engine_says_what_it_takes(base: Base) -> None:
    command = [sys.executable, "-c", _MEASURE, str(base.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    taken, said = map(int, done.stdout.split())
    assert said == pytest.approx(taken, rel=0.15)


def test_a_stream_of_characters_of_many_tokens_is_the_whole_answer(base: Base) -> None:
    config = GenerationConfig(max_new_tokens=24, temperature=0.0)
    with open_llamacpp(base, threads=1) as engine:
        prompt = engine.tokenize("日本語の 日本語の 😀🙃😀🙃")
        stream = engine.stream([prompt], config)
        told = [step.token_id for step in stream]
        (answer,) = engine([prompt], config)
        assert stream.result() == [answer]
        assert tuple(told) == answer.token_ids
