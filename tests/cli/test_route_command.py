"""`iai route`: rules explained without a model, a router trained, measured, and asked beside rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run_main

from conftest import make_encoder, make_rows
from interconnected_ai.data import write_rows

RULES = """experts: [animals, money, weather]
default: weather
rules:
- name: bank words
  to: money
  words: [bank, loan]
- name: no zoo for guests
  deny: animals
  flags: guest
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("route")
    encoder = make_encoder()
    encoder.model.save_pretrained(made / "encoder")  # type: ignore[operator]
    encoder.tokenizer.save_pretrained(made / "encoder")
    (made / "rules.yaml").write_text(RULES, encoding="utf-8")
    for name, count, seed in (("train", 240, 0), ("validation", 90, 1), ("test", 60, 2)):
        write_rows(made / f"{name}.jsonl", *make_rows("topic", count, seed=seed).of("topic"))
    return made


def test_rules_are_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["route", "explain", "My loans", "--rules", str(folder / "rules.yaml"), "--flag", "guest"]
    assert run_main(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["expert"], found["router"], found["is_fallback"]) == ("money", "rules", False)
    assert found["barred"] == ["animals"]
    assert [(each["rule"], each["line"]) for each in found["fired"]] == [("bank words", 4), ("no zoo for guests", 7)]
    assert found["fired"][0]["because"] == ["'loans' is 'loan'"]
    assert run_main(*words) == 0
    shown = capsys.readouterr().out
    assert "bank words" in shown
    assert "denies animals" in shown
    assert "'loans' is 'loan'" in shown
    assert run_main("route", "explain", "x", "--rules", str(folder / "rules.yaml")) == 0
    assert "weather (fallback)" in capsys.readouterr().out


def test_rules_alone_load_no_model(folder: Path) -> None:
    program = (
        "import sys\nfrom interconnected_ai.cli import main\n"
        f"try:\n    main(['route', 'explain', 'a loan', '--rules', {str(folder / 'rules.yaml')!r}])\n"
        "finally:\n    assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "money" in done.stdout


def test_a_fault_of_the_rules_is_one_clear_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.yaml").write_text(RULES.replace("to: money", "to: mony"), encoding="utf-8")
    assert run_main("route", "explain", "x", "--rules", str(tmp_path / "wrong.yaml")) == 2
    assert "wrong.yaml:4: unknown expert 'mony'; known, nearest first: money" in capsys.readouterr().err
    assert run_main("route", "explain", "x") == 2
    assert "--rules FILE" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["learned", "semantic"])
def test_a_router_is_trained_measured_and_asked(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    router = str(tmp_path / "router")
    train = ["route", "train", str(folder / "train.jsonl"), "--out", router, "--kind", kind,
             "--validation", str(folder / "validation.jsonl"), "--encoder", str(folder / "encoder")]  # fmt: skip
    assert run_main(*train, "--json") == 0
    assert json.loads(capsys.readouterr().out)["experts"] == ["animals", "money", "weather"]
    assert run_main(*train) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run_main(*train, "--overwrite", "-q") == 0
    capsys.readouterr()
    asked = ["--rules", str(folder / "rules.yaml"), "--router", router]
    assert run_main("route", "evaluate", str(folder / "test.jsonl"), *asked, "--timed", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] > 0.9
    assert found["num_requests"] == 60
    assert found["p99_seconds"] > 0
    assert run_main("route", "evaluate", str(folder / "test.jsonl"), *asked, "--timed", "2") == 0
    assert "coverage" in capsys.readouterr().out
    assert run_main("route", "explain", "the cat and the horse", *asked, "--json") == 0
    route = json.loads(capsys.readouterr().out)
    assert [each["router"] for each in route["considered"]] == ["rules", kind]


def test_texts_that_are_nobodys_business_are_learnt_from_and_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = [f"a of in on my is was {number}" for number in range(300)]
    (tmp_path / "outside.txt").write_text("\n".join(foreign), encoding="utf-8")
    router = str(tmp_path / "router")
    outside = ["--outside", str(tmp_path / "outside.txt")]
    assert run_main(
        "route", "train", str(folder / "train.jsonl"), "--out", router, *outside,
        "--encoder", str(folder / "encoder"), "-q",
    ) == 0  # fmt: skip
    capsys.readouterr()
    words = ["route", "evaluate", str(folder / "test.jsonl"), "--router", router, *outside]
    assert run_main(*words, "--timed", "0", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_outside"], found["p99_seconds"]) == (300, None)
    assert found["oos_recall"] > 0.9
