"""Requests that come together are answered by passes that they share, each as it would be alone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import asked, call, config_of

from interconnected_ai.config import ServingConfig
from interconnected_ai.experts import BatchLimits, Expert
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.serving import Hall, ServerThread
from interconnected_ai.types import ChatMessage

QUESTIONS = ["a traceback", "the court", "суд и иск", "every token", "two experts", "user", "assistant", "hello"]


def test_eight_at_once_are_answered_as_each_alone(tmp_path: Path) -> None:
    config_of(tmp_path)
    with Expert.from_pretrained(tmp_path / "code") as code:
        alone = [
            code.chat([ChatMessage("user", each)], max_new_tokens=24, temperature=0.0).message.content
            for each in QUESTIONS
        ]
    with (
        Hall.open([tmp_path / "code"], batching=BatchLimits(num_rows=4)) as hall,
        ServerThread(hall, ServingConfig(port=0, max_at_once=8)) as server,
        ThreadPoolExecutor(8) as clients,
    ):

        def answered(question: str) -> Any:
            status, _, told = call(server.url, "/v1/chat/completions", asked(question, max_tokens=24))
            assert status == 200, told
            return told["choices"][0]["message"]["content"]

        assert list(clients.map(answered, QUESTIONS)) == alone
        assert hall.experts is not None
        with hall.experts.borrow("code") as loan:
            assert isinstance(loan.expert, Expert)
            assert isinstance(loan.expert.engine, DecoderEngine)
            batcher = loan.expert.engine.batcher
            assert batcher is not None
            stats = batcher.stats()
            assert 0 < stats.num_passes <= stats.num_tokens
            assert (stats.num_rows, stats.num_waiting) == (0, 0)
