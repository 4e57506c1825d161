"""A forked child answers or says why it cannot; it never waits for threads that stayed with its parent."""

import os

import pytest

from forking import run_forking

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")


def test_a_child_of_a_process_that_has_computed_refuses_and_says_how_to_start_it() -> None:
    found = run_forking("""
system = make_system("a")
def alone():
    torch.set_num_threads(1)
    return answer(system)
def in_a_new_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(answer(system)))
    thread.start()
    thread.join()
    return codes[0]
def anew():
    try:
        make_system("a")
    except ForkError:
        return 4
    return 5
print(forked(lambda: answer(system)), forked(alone), forked(in_a_new_thread), forked(anew), answer(system))
""")
    assert found == "3 5 5 4 5"


def test_a_child_of_a_process_that_has_not_computed_answers() -> None:
    assert run_forking('print(forked(lambda: answer(make_system("a"))))') == "5"


def test_an_expert_refuses_too() -> None:
    found = run_forking("""
from interconnected_ai.experts import ExpertModel
model = ExpertModel(vocab_size=50, d_model=16, n_layers=1, n_heads=2, max_seq_len=16)
ids = torch.tensor([[1, 2, 3]])
model(ids)
def work():
    for call in (lambda: model(ids), lambda: model.generate(ids, max_new_tokens=2)):
        try:
            call()
        except ForkError:
            continue
        return 5
    return 3
print(forked(work))
""")
    assert found == "3"


def test_an_edited_model_refuses_too() -> None:
    found = run_forking("""
from transformers import MixtralConfig, MixtralForCausalLM
from interconnected_ai.surgery import MoE
config = MixtralConfig(vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2, num_local_experts=2)
moe = MoE(MixtralForCausalLM(config))
ids = torch.tensor([[1, 2, 3]])
def look():
    with moe.watch():
        moe.model(ids)
look()
def work():
    try:
        look()
    except ForkError:
        return 3
    return 5
print(forked(work))
""")
    assert found == "3"
