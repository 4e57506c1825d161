"""An engine whose library has threads of its own refuses in a forked child, instead of waiting for them."""

import os
from pathlib import Path

import pytest
from engine_parameters import parameter
from expert_models import made, tokenizer

from forking import run_forking
from interconnected_ai.experts import save_expert
from interconnected_ai.experts.engines import ENGINES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")


@pytest.mark.parametrize("engine", [parameter(name) for name in ENGINES if name != "torch"])
def test_an_engine_that_was_opened_before_the_fork_refuses_and_answers_where_it_was_opened(
    tmp_path: Path, engine: str
) -> None:
    save_expert(
        made(norm="pre", vocab_size=330, d_model=64, d_ff=128, max_seq_len=64), tmp_path / "expert", tokenizer()
    )
    found = run_forking(f"""
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.engines import open_engine
config = GenerationConfig(max_new_tokens=3, temperature=0.0)
with open_engine({engine!r}, {str(tmp_path / "expert")!r}, threads=2) as engine:
    def work():
        for call in (lambda: engine([[1, 2]], config), lambda: list(engine.stream([[1, 2]], config))):
            try:
                call()
            except ForkError as error:
                assert "Open the engine in the child" in str(error)
                continue
            return 5
        return 3
    engine([[1, 2]], config)
    code = forked(work)
    print(code, len(engine([[1, 2]], config)))
""")
    assert found == "3 1"
