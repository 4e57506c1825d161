import torch

from interconnected_ai.bench.second_turn import bench_second_turn
from interconnected_ai.experts import Expert, ExpertModel
from interconnected_ai.text import Tokenizer


def test_a_second_turn_reads_what_is_new_and_says_the_same() -> None:
    words = Tokenizer.train(["a tensor holds elements"] * 3, 320, roles=["system", "user", "assistant"])
    model = ExpertModel(words.vocab_size, 32, 2, 4, max_seq_len=512, generator=torch.Generator().manual_seed(0))
    found = bench_second_turn(Expert(model, words), num_history=120, num_new=2, repeats=1)
    assert found["same_answers"]
    assert 120 <= found["num_first_tokens"] <= found["num_known_tokens"] < found["num_second_tokens"]
    assert found["second_turn_share"] == found["second_ms"] / found["first_ms"]
