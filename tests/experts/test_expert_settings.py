"""Settings are checked where they enter: whatever is given, only errors of our own come out, or an answer."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parameters import parameter
from expert_models import made, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.experts import Engine, Expert, TorchEngine, export_expert, save_expert
from interconnected_ai.experts.engines import ENGINES, choose_engine, open_engine, runnable_engines
from interconnected_ai.experts.quantization import quantize_matrix, quantize_model
from interconnected_ai.experts.quantized import quantize_expert
from properties import examples

WINDOW = 24
HALF = "\ud83d"  # of a character
ODD: tuple[Any, ...] = (
    None, True, "", "a", "potato", "cuda", "cuda:99", HALF, b"x", -1, 0, 1, 3, 2**31, 2**70, -(2**70), 0.5, 1.5, -1e300, 1e300,
    400.0, 5e-324, math.nan, math.inf, -math.inf, [], [1], ["a"], [""], [HALF], {}, {"a": 1}, (), ("a", 1), set(), object(),
    torch.zeros(2), Path("nowhere"), int,
)  # fmt: skip
FIELDS = sorted(GenerationConfig.model_fields)
odd_settings = st.dictionaries(st.sampled_from([*FIELDS, "temperatur"]), st.sampled_from(ODD), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("settings") / "expert"
    save_expert(made(norm="pre", vocab_size=330, d_model=64, d_ff=128, max_seq_len=WINDOW), place, tokenizer())
    return place


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[dict[str, Engine]]:
    with ExitStack() as stack:
        found: dict[str, Engine] = {}
        for name, reason in runnable_engines(folder).items():
            if not reason:
                with suppress(InterconnectedAIError):
                    found[name] = stack.enter_context(open_engine(name, folder, threads=1))
        yield found


@pytest.mark.parametrize("name", [parameter(name) for name in ENGINES])
def test_whatever_the_settings_an_answer_or_an_error_of_ours_comes_back(name: str, engines: dict[str, Engine]) -> None:
    expert = Expert(None, tokenizer(), engine=engines[name])

    @examples(150)
    @given(odd_settings, st.sampled_from(ODD), st.booleans())
    def check(changed: dict[str, Any], seed: Any, streamed: bool) -> None:
        if changed.get("window") == "slide":
            return
        asked = {"max_new_tokens": 3, **changed}
        with suppress(InterconnectedAIError):
            if streamed:
                list(expert.stream("The", seed=seed, **asked))
            else:
                expert.generate("The", seed=seed, **asked)

    check()


@pytest.mark.parametrize("name", [parameter(name) for name in ENGINES])
@pytest.mark.parametrize("field", FIELDS)
def test_every_value_of_every_setting_alone(name: str, field: str, engines: dict[str, Engine]) -> None:
    expert = Expert(None, tokenizer(), engine=engines[name])
    for value in ODD:
        with suppress(InterconnectedAIError):
            expert.generate("The", **{"max_new_tokens": 3, field: value})
        with suppress(InterconnectedAIError):
            expert.generate("The", **{"max_new_tokens": 3, "num_beams": 2, field: value})


def _calls(folder: Path, out: Path) -> dict[str, Callable[[Any], object]]:
    """Every public setting that is no field of `GenerationConfig`: its name → a call with it."""
    expert = Expert.from_pretrained(folder)
    model = expert.model
    held = made(vocab_size=330, max_seq_len=WINDOW)
    return {
        "prompt": lambda value: expert.generate(value, max_new_tokens=2),
        "a prompt among others": lambda value: expert.generate(["The", value], max_new_tokens=2),
        "a streamed prompt": lambda value: list(expert.stream(value, max_new_tokens=2)),
        "config": lambda value: expert.generate("The", value, max_new_tokens=2),
        "token ids": lambda value: TorchEngine(model)(value, GenerationConfig(max_new_tokens=2)),
        "input_ids": lambda value: model.generate(value, 2),
        "max_new_tokens": lambda value: model.generate([[1]], value),
        "top_k": lambda value: model.generate([[1]], 2, 1.0, value),
        "layout": lambda value: TorchEngine(model, layout=value),
        "scored text": lambda value: expert.score(value),
        "scored texts": lambda value: expert.score(["The", value]),
        "seq_len": lambda value: expert.score("The", seq_len=value),
        "stride": lambda value: expert.score("The", stride=value),
        "from_pretrained's folder": lambda value: Expert.from_pretrained(value),
        "from_pretrained's engine": lambda value: Expert.from_pretrained(folder, engine=value),
        "device": lambda value: Expert.from_pretrained(folder, device=value),
        "engine": lambda value: open_engine(value, folder),
        "precision": lambda value: open_engine("onnx", folder, precision=value).close(),
        "end_ids": lambda value: open_engine("torch", folder, end_ids=value).close(),
        "threads": lambda value: open_engine("onnx", folder, threads=value).close(),
        "threads of a choice": lambda value: runnable_engines(folder, value),
        "precision of a choice": lambda value: choose_engine(folder, precision="int7" if value is None else value),
        "format": lambda value: export_expert(folder, value, out / "export"),
        "precision of an export": lambda value: export_expert(folder, "onnx", out / "onnx", quantize=value),
        "precision of a GGUF": lambda value: export_expert(folder, "gguf", out / "x.gguf", quantize=value),
        "precision of a quantised expert": lambda value: quantize_expert(folder, out / "small", value),
        "precision of a quantised model": lambda value: quantize_model(held, value),
        "bits": lambda value: quantize_matrix(torch.ones(2, 4), value),
        "group": lambda value: quantize_matrix(torch.ones(2, 4), 4, value),
    }


@pytest.fixture(scope="module")
def calls(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[Any], object]]:
    return _calls(folder, tmp_path_factory.mktemp("out"))


def test_every_value_of_every_other_setting(calls: dict[str, Callable[[Any], object]]) -> None:
    wrong = []
    for name, call in calls.items():
        for value in ODD:
            try:
                call(value)
            except InterconnectedAIError:
                continue
            except Exception as error:  # noqa: BLE001 - it is what the test looks for
                wrong.append(f"{name}={value!r}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"length_penalty": -1e300}, "length_penalty"),
        ({"length_penalty": 400.0}, "length_penalty"),
        ({"stop": (HALF,)}, r"half a character, U\+D83D"),
        ({"bad_words": ("a" + HALF,)}, r"half a character, U\+D83D"),
        ({"temperature": -0.1}, "temperature"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"seed": "a"}, "seed='a': needed is a whole number"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_is_named_with_its_value_and_the_rule(
    settings: dict[str, Any], said: str, folder: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        Expert.from_pretrained(folder).generate("The", **settings)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("potato", "unknown device 'potato'; known: auto, cpu, cuda, cuda:NUMBER, mps"),
        ("cuda:x", "unknown device 'cuda:x'"),
        ("cuda:", "unknown device 'cuda:'"),
        ("cpu:1", "'cpu:1' is not on this machine, which has cpu:0 to cpu:0"),
        (3, "device=3: needed is a name"),
    ],
)
def test_a_device_is_checked_before_anything_is_read(device: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Expert.from_pretrained("nowhere", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_here_is_named_with_one_that_is(folder: Path) -> None:
    with pytest.raises(ConfigError, match="'cuda' is not on this machine; use auto or cpu"):
        Expert.from_pretrained(folder, device="cuda")
    for device in ("auto", "cpu", "cpu:0"):
        assert Expert.from_pretrained(folder, device=device).model.device.type in ("cpu", "mps")


def test_a_device_for_an_engine_that_has_none_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="device='cpu' is for the engine torch; the engine onnx computes on the CPU"):
        Expert.from_pretrained(folder, engine="onnx", device="cpu")
