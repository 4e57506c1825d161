"""The bench of surgery: its figures follow from what it runs, and the goals that do not depend on time hold."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interconnected_ai.bench import surgery_offload
from interconnected_ai.bench.surgery import (
    Size,
    bench_packing,
    bench_program,
    bench_surgery,
    bench_whole_model,
    peak_bytes,
)
from interconnected_ai.bench.surgery_offload import bench_offload
from interconnected_ai.bench.surgery_pruning import PruningCourse, bench_pruning
from interconnected_ai.bench.surgery_suggestion import Course, bench_suggestion, choices, compare
from interconnected_ai.bench.timing import take_turns
from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import DataError, UnknownNameError
from interconnected_ai.surgery import MoE, Training


def test_packed_experts_are_below_the_goal() -> None:
    found = bench_packing()
    assert found["bytes_4bit_over_bf16"] <= 0.3
    assert 0 < found["logits_relative_error_4bit"] < 0.2


def test_the_peak_counts_what_is_alive_at_one_time() -> None:
    import torch

    def two_after_another() -> None:
        for _ in range(2):
            torch.empty(1 << 20).add_(1)

    def two_at_once() -> None:
        first, second = torch.empty(1 << 20), torch.empty(1 << 20)
        first.add_(second)

    assert peak_bytes(two_after_another) == pytest.approx(4 << 20, rel=0.1)
    assert peak_bytes(two_at_once) == pytest.approx(8 << 20, rel=0.1)


def test_a_whole_model_is_opened_edited_and_trained() -> None:
    found = bench_whole_model(Size(32, 16, 8, 2, 4, 2, 8), steps=3, tokens=16)
    assert found["whole_losses"][-1] < found["whole_losses"][0]
    assert found["whole_peak_bytes"] > found["whole_weight_bytes"]
    assert found["whole_adapter_params"] == 2 * 2 * 16 * (32 + 32 + 16 + 32)


def test_rules_are_timed() -> None:
    assert bench_program(1)["program_overhead"] > -1


WORDS = [f"w{i}" for i in range(90)]


def tokenizer() -> Any:
    fast = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(["<end>", "<unk>", *WORDS])}, unk_token="<unk>")
    )
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="<end>", pad_token="<end>", unk_token="<unk>")


def sentences(number: int) -> list[str]:
    return [" ".join(WORDS[(i + 3 * j) % 30] for j in range(12)) for i in range(number)]


def test_quarters_and_all_are_compared_at_the_rate_that_validation_texts_prefer(tmp_path: Path) -> None:
    MoE(make("qwen3_moe"), tokenizer()).save(tmp_path / "base", verify=False)
    learnt, validation, held = sentences(20), sentences(4), sentences(6)
    course = Course(steps=6, rates=(1e-7, 1e-2))
    found = compare(tmp_path / "base", learnt, validation, held, course=course)
    gains = found["gains"]
    assert list(gains) == ["suggested", "used", "random 0", "random 1", "all"]
    assert all(gain["learning_rate"] == 1e-2 for gain in gains.values())  # a step of 1e-7 teaches nothing
    assert {name: gain["num_params"] / gains["all"]["num_params"] for name, gain in gains.items()} == {
        "suggested": 0.25, "used": 0.25, "random 0": 0.25, "random 1": 0.25, "all": 1.0,
    }  # fmt: skip
    assert gains["all"]["coverage"] == pytest.approx(1)
    assert found["used_gain_share"] == gains["used"]["nats"] / gains["all"]["nats"]
    assert gains["all"]["nats"] > 0


def test_several_seeds_are_several_comparisons_and_their_mean(tmp_path: Path) -> None:
    MoE(make("qwen3_moe"), tokenizer()).save(tmp_path / "base", verify=False)
    course = Course(
        steps=2, rates=(1e-2,), batch_size=2, seq_tokens=16, most_texts=20, most_measured=4, num_asked=4, num_draws=1
    )
    found = bench_suggestion(tmp_path / "base", library="numpy", course=course, num_seeds=2)
    shares = [each["suggested_gain_share"] for each in found["seeds"]]
    assert shares[0] != shares[1]
    assert found["suggested_gain_share"] == pytest.approx(sum(shares) / 2)
    assert list(found["gains"]) == ["suggested", "used", "random 0", "all"]


def test_a_part_that_is_unknown_or_lacks_its_model_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="famlies"):
        bench_surgery(parts=["famlies"])
    with pytest.raises(DataError, match="--model"):
        bench_surgery(parts=["suggestion"])
    assert set(bench_surgery(parts=["packing"])) == {"machine", "bytes_4bit_over_bf16", "logits_relative_error_4bit"}


def test_every_quarter_has_as_many_experts() -> None:
    moe = MoE(make("qwen3_moe"), tokenizer())
    found = choices(moe, sentences(8))
    assert {name: sum(map(len, experts.values())) for name, experts in found.items()} == {
        "suggested": 4, "used": 4, "random 0": 4, "random 1": 4, "all": 16,
    }  # fmt: skip
    assert found["random 0"] != found["random 1"]


def test_half_of_the_experts_are_set_beside_random_and_the_whole_model_trained_as_long(tmp_path: Path) -> None:
    MoE(make("qwen3_moe"), tokenizer()).save(tmp_path / "base", verify=False)
    course = PruningCourse(
        methods=("use", "random"), random_seeds=1, num_asked=2, num_validation=2, num_test=2, seq_tokens=16, batch_size=2,
        training=Training("router", steps=2, batch_size=2, seq_tokens=16), most_texts=12,
    )  # fmt: skip
    said: list[str] = []
    found = bench_pruning(tmp_path / "base", course=course, say=said.append)
    tested = found["pruning_test"]
    assert list(tested) == ["whole", "use", "random"]
    assert found["pruned_half_perplexity"] == tested["use"]["repaired"] / tested["whole"]["before"]
    assert found["random_half_perplexity"] == tested["random"]["repaired"] / tested["whole"]["before"]
    assert [row["method"] for row in found["pruning_validation"]] == ["whole", "use", "random"]
    assert len(said) == 6
    with pytest.raises(DataError, match="'pruning' needs a mixture"):
        bench_surgery(parts=["pruning"])


def test_an_offloaded_mixture_is_set_beside_the_whole_and_beside_the_disk(tmp_path: Path) -> None:
    MoE(make("qwen3_moe"), tokenizer()).save(tmp_path / "base", verify=False)
    found = bench_offload(1, model=tmp_path / "base", tokens=3)
    assert set(found["offload_tokens_per_second"]) == {"whole", "half", "blind", "disk"}
    assert 0 < found["offload_bytes_share"] <= 0.5
    speed = found["offload_tokens_per_second"]
    assert found["offload_share"] == speed["half"] / speed["whole"]


def test_each_turn_of_offloading_writes_after_another_prompt_which_is_the_same_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one prompt again and again a part of the experts would be all that is ever asked for."""
    written: dict[str, list[list[int]]] = {}

    def seen(contestants: Any, repeats: int) -> Any:
        for name, run in contestants.items():
            written[name] = [run()[0].tolist() for _ in range(3)]
        return take_turns(contestants, repeats)

    monkeypatch.setattr(surgery_offload, "take_turns", seen)
    MoE(make("qwen3_moe"), tokenizer()).save(tmp_path / "base", verify=False)
    bench_offload(1, model=tmp_path / "base", tokens=3)
    assert len({tuple(ids[: surgery_offload.PROMPT]) for ids in written["whole"]}) == 3
    assert all(turns == written["whole"] for turns in written.values())


def test_top_p_is_set_beside_top_k_in_experts_perplexity_and_speed(tmp_path: Path) -> None:
    MoE(make("qwen3_moe"), tokenizer()).save(tmp_path / "base", verify=False)
    found = bench_surgery(parts=["top-p"], model=tmp_path / "base", repeats=1)["top_p"]
    taken = [each["experts_taken"] for each in found.values()]
    assert list(found) == ["top-k", "top-p 0.4", "top-p 0.6", "top-p 0.8", "top-p 1"]
    assert taken[0] == taken[-1] == 2
    assert taken[1] <= taken[2] <= taken[3] <= 2
    assert found["top-p 1"]["perplexity"] == pytest.approx(found["top-k"]["perplexity"], rel=1e-4)
