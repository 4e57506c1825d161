"""Councils from one seed: made whole, gone on with after a kill, never made of two."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from little_domains import little_modules

from interconnected_ai import bench
from interconnected_ai.bench import SeededSizes, run_seeded_council
from interconnected_ai.bench.domain_texts import read_domains
from interconnected_ai.cli import main
from interconnected_ai.council import Council
from interconnected_ai.data import Document
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.experts import expert_key, load_card
from interconnected_ai.storage import sha256_of

SIZES = SeededSizes(
    num_experts=3, vocab_size=330, d_model=16, n_layers=1, n_heads=2, seq_len=64, batch_size=4, expert_steps=24, lr=0.02,
    branch_lr=0.02, requests=30, precision="float32",
)  # fmt: skip


def unasked() -> Mapping[str, Sequence[Document]]:
    raise AssertionError("the texts stand in the folder and are not read anew")


def quiet(words: str) -> None:
    pass


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded") / "council"
    run_seeded_council(folder, SIZES, modules=little_modules, say=quiet)
    return folder


def test_a_council_has_an_expert_for_each_of_the_largest_modules_and_their_seed(council: Path) -> None:
    told = json.loads((council / "quickstart.json").read_text())
    domains, _ = read_domains(council / "texts")
    names = [domain.name for domain in domains]
    assert sorted(told["bits_per_byte"]) == sorted(names)
    assert len(names) == 3
    assert told["seed_share"] >= 0.4
    assert told["expert_bpb"] < told["seed_bpb"]  # the domains share no noun
    for name in names:
        card = load_card(council / "experts" / name)
        assert card.training["init_key"] == expert_key(council / "experts" / "seed")
    assert not list((council / "experts").glob("*/checkpoints"))


def test_what_is_held_out_of_a_domain_the_seed_has_not_learnt_either(council: Path) -> None:
    domains, _ = read_domains(council / "texts")
    report = json.loads((council / "experts" / "seed-training" / "text_report.json").read_text())
    sides = {side["name"]: side["num_documents"] for side in report["sides"]}
    assert sides["test"] == sum(len(domain.test) for domain in domains)
    assert sides["train"] == sum(len(domain.train) for domain in domains)
    for domain in domains:
        assert not {one.text for one in domain.test} & {one.text for one in domain.train}


def test_the_council_answers_and_its_seed_deliberates(council: Path) -> None:
    with Council.from_config(council / "council.yaml") as opened:
        domains, _ = read_domains(council / "texts")
        assert set(opened.config.experts) == {"seed", *(one.name for one in domains)}
        for domain in domains:
            question = domain.train[0].text.split(".")[0]
            route = opened.route(f"{question}.")
            assert route.experts[0].expert == domain.name, route.reason
        answer = opened.chat("The horse", max_new_tokens=4, seed=1)
        assert "seed" in answer.experts


def test_a_second_run_makes_nothing(council: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in council.rglob("*") if path.is_file()}
    again = run_seeded_council(council, SIZES, modules=unasked, say=quiet)
    assert again.made == ()
    assert again.router is None
    assert {path: path.stat().st_mtime_ns for path in council.rglob("*") if path.is_file()} == before


def test_the_command_tells_how_well_each_expert_knows_its_module(
    council: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SeededSizes", lambda num_experts: SIZES)
    call = ["council", "quickstart", "--experts", "3", "--output", str(council), "--no-chat"]
    with pytest.raises(SystemExit) as leave:
        main(call)
    assert not leave.value.code
    said = capsys.readouterr().out
    assert "mean of all" in said
    assert "Everything stood there already" in said
    assert f"iai chat {council / 'council.yaml'}" in said


def test_another_council_is_not_mixed_into_one(council: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a council of num_experts=3, not 2"):
        run_seeded_council(council, SeededSizes(num_experts=2), modules=unasked, say=quiet)
    (tmp_path / "experts").mkdir()
    with pytest.raises(ConfigError, match="holds another council"):
        run_seeded_council(tmp_path, SIZES, modules=unasked, say=quiet)
    with pytest.raises(DataError, match="ask for fewer"):
        run_seeded_council(tmp_path / "many", SeededSizes(num_experts=40), modules=little_modules, say=quiet)
    with pytest.raises(ConfigError, match="2 experts or more"):
        SeededSizes(num_experts=1)


_RUN = """
import sys
from pathlib import Path
from little_domains import little_modules
from test_seeded_council import SIZES
from interconnected_ai.bench import run_seeded_council
run_seeded_council(Path(sys.argv[1]), SIZES, modules=little_modules)
"""


def start(folder: Path) -> "subprocess.Popen[bytes]":
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", _RUN, str(folder)], env=environment, stdout=subprocess.DEVNULL)


def test_a_run_that_is_killed_goes_on_and_ends_in_the_same_bits(tmp_path: Path, council: Path) -> None:
    killed = tmp_path / "killed"
    for awaited, number in (("experts/seed-training/text_report.json", 1), ("experts/*/manifest.json", 2)):
        run = start(killed)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and run.poll() is None and len(list(killed.glob(awaited))) < number:
            time.sleep(0.01)
        assert run.poll() is None, "it ended before it could be killed"
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=60)
    assert not (killed / "council.yaml").exists()
    run_seeded_council(killed, SIZES, modules=little_modules, say=quiet)
    experts = sorted((council / "experts").glob("*/model.safetensors"))
    assert len(experts) == 4
    for place in experts:
        name = place.parent.name
        assert sha256_of(killed / "experts" / name / "model.safetensors") == sha256_of(place), name
    assert (killed / "council.yaml").read_text() == (council / "council.yaml").read_text()
