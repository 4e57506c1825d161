"""A branch added from an uploaded table: in the background, its progress shown, and honest after whatever ends the server."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import call
from tests.serving.own_halls import TEXTS, csv_of, job_events, own_server, saved_system, until, upload

from interconnected_ai import InterconnectedAISystem
from interconnected_ai.serving import KeyFile
from interconnected_ai.serving.own import growing


def answers_of(url: str) -> list[Any]:
    found: list[Any] = call(url, "/v1/classify", {"input": TEXTS, "branches": ["one", "two"]})[2]["data"]
    return found


def test_an_uploaded_table_becomes_a_branch_while_requests_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_DISPLAY_ENV", "true")
    with own_server(tmp_path) as (url, _):
        before = answers_of(url)
        status, headers, job = upload(url, csv_of("three"), name="three", epochs="2")
        assert status == 202, job
        assert headers["location"] == f"/v1/jobs/{job['id']}"
        seen: set[tuple[str, ...]] = set()
        ended = threading.Event()

        def keep_asking() -> None:
            while not ended.is_set():
                status, _, found = call(url, "/v1/classify", {"input": TEXTS})
                assert status == 200, found
                seen.update(tuple(each["branches"]) for each in found["data"])
                ended.wait(0.05)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            told = list(job_events(url, job["id"]))
        finally:
            ended.set()
            asking.join()
        assert told[-1]["status"] == "succeeded", told[-1]
        assert {"reading", "encoding", "saving"} & {each["progress"]["doing"] for each in told}
        assert told[-1]["result"]["num_rows"] + told[-1]["result"]["num_classes"] > 20
        assert told[-1]["result"]["others_max_abs_diff"] == 0.0
        assert seen <= {("one", "two"), ("one", "two", "three")}
        assert list(call(url, "/v1/classify", {"input": "cat"})[2]["data"][0]["branches"]) == ["one", "two", "three"]
        assert answers_of(url) == before
        three = call(url, "/v1/branches/three")[2]
        assert three["num_rows"] == told[-1]["result"]["num_rows"]
        confusion = three["confusion"]
        right = sum(count for true, said, count in confusion["counts"] if true == said)
        assert confusion["rows"] == "validation"
        assert right / confusion["num_rows"] == pytest.approx(told[-1]["result"]["validation_accuracy"])
        assert call(url, "/v1/branches/one")[2]["confusion"] is None
        assert InterconnectedAISystem.from_pretrained(tmp_path / "system").branch_names == ["one", "two", "three"]
        assert not list((tmp_path / "state").rglob("rows.csv"))
        (complaints,) = (tmp_path / "state").rglob("errors.txt")
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in complaints.read_text()  # its threads sleep

        status, _, gone = call(url, "/v1/branches/three", method="DELETE")
        assert (status, gone["branches"]) == (200, ["one", "two"])
        assert call(url, "/v1/branches/three")[0] == 404
        assert not list((tmp_path / "state" / "confusions").iterdir())
        assert answers_of(url) == before
        assert call(url, "/v1/branches/three", method="DELETE")[0] == 404
    # what a page sees when it is loaded again after another start
    with own_server(tmp_path) as (url, _):
        (kept,) = call(url, "/v1/jobs")[2]["data"]
        assert kept == told[-1]
        assert [each["status"] for each in job_events(url, kept["id"])] == ["succeeded"]
        assert call(url, f"/v1/jobs/{kept['id']}", method="DELETE")[0] == 200
        assert call(url, f"/v1/jobs/{kept['id']}")[0] == 404
        assert call(url, "/v1/jobs")[2]["data"] == []


def zipped(size: int) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("rows.csv", b"\0" * size)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (Path(sys.executable).resolve().read_bytes()[:100_000], 415, "program"),
        (b"MZ\x90\x00" + b"\0" * 500, 415, "program"),
        (b"#!/bin/sh\nrm -rf /\n", 415, "program"),
        (zipped(50_000_000), 415, "zip"),
        (b"\x1f\x8b\x08" + b"\0" * 100, 415, "unpack"),
        (b"%PDF-1.7\n", 415, "document"),
        (b"text,label\n" + b"\xff" * 100, 415, "UTF-8"),
        (b"text,label\ncat\0dog,animals\n" * 50, 415, "NUL"),
        (b"", 400, "empty"),
        (b"\n \n", 400, "empty"),
        (b"text,label,text\na,b,c\n", 400, "text"),
        (b"text\nonly\n", 400, "label"),
        (b'text,label\n"never closed,a\n', 400, "quotes"),
    ],
)
def test_what_is_no_table_is_refused_by_its_content(data: bytes, status: int, words: str, refusing: str) -> None:
    answered, _, found = upload(refusing, data, name="three", file="rows.csv")
    assert answered == status, found
    assert words in found["error"]["message"]
    assert "/" not in found["error"]["message"].replace("#!/", "").split(":")[0]
    assert call(refusing, "/v1/jobs")[2]["data"] == []


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with own_server(tmp_path_factory.mktemp("refusing"), max_upload_mb=1) as (url, _):
        yield url


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": "../../etc"}, 400),
        ({"name": "a" * 10_000}, 400),
        ({"name": "one"}, 409),
        ({"name": "ONE"}, 409),
        ({"name": "three", "system": "nobody"}, 404),
        ({"name": "three", "epochs": "many"}, 400),
        ({"name": "three", "epochs": "100000000"}, 400),
        ({"name": "three", "text": "none"}, 400),
    ],
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, str], status: int, refusing: str) -> None:
    answered, _, found = upload(refusing, csv_of("three"), **fields)
    assert answered == status, found
    assert found["error"]["message"]


def test_an_upload_over_the_limit_is_refused_before_it_is_read(refusing: str) -> None:
    parts = urlsplit(refusing)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    connection.putrequest("POST", "/v1/branches")
    connection.putheader("content-type", "multipart/form-data; boundary=edge")
    connection.putheader("content-length", str(10**9))
    connection.endheaders()
    answered = connection.getresponse()
    assert answered.status == 413
    assert json.loads(answered.read())["error"]["code"] == "too_large"
    connection.close()
    assert call(refusing, "/v1/branches", {"name": "three"})[0] == 400
    assert call(refusing, "/healthz")[0] == 200


def test_rows_that_cannot_be_learnt_fail_the_job_in_words_and_it_may_start_again(tmp_path: Path) -> None:
    with own_server(tmp_path) as (url, _):
        job = upload(url, b"text,label\ncat,animals\ndog,animals\n", name="three", text="text", label="label")[2]
        failed = until(url, job["id"], "failed")
        assert "label" in failed["error"] or "class" in failed["error"]
        assert str(tmp_path) not in failed["error"]
        assert failed["may_restart"] is True
        assert call(url, f"/v1/jobs/{job['id']}/restart", b"", method="POST")[0] == 202
        assert until(url, job["id"], "failed")["error"] == failed["error"]
        assert call(url, "/v1/branches/three")[0] == 404


def test_what_a_job_finds_wrong_is_told_by_the_fields_of_its_request(tmp_path: Path) -> None:
    rows = "".join(
        f"a text of row {row} with words,another one {row} of words,b{row % 3},c{row % 5}\n" for row in range(70_000)
    )
    data = f"one,two,three,four\n{rows}".encode()
    assert len(data) > growing._READ_AT_ONCE_BYTES  # of a smaller table the request itself is told
    with own_server(tmp_path) as (url, _):
        answered, _, job = upload(url, data, name="three", file="people's rows.csv")
        assert answered == 202, job
        told = until(url, job["id"], "failed")["error"]
    assert told.startswith("text: which columns are meant cannot be told")
    assert "name the columns text and label" in told
    assert "--" not in told


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(tmp_path: Path) -> None:
    with own_server(tmp_path) as (url, _):
        running = upload(url, csv_of("three"), name="three")[2]
        waiting = upload(url, csv_of("four"), name="four")[2]
        until(url, running["id"], "running") if running["status"] == "queued" else None
        assert call(url, f"/v1/jobs/{waiting['id']}", method="DELETE")[0] == 409
        for job in (waiting, running):
            assert call(url, f"/v1/jobs/{job['id']}/cancel", b"", method="POST")[0] == 200
            assert until(url, job["id"], "cancelled")["may_restart"] is True
        assert call(url, f"/v1/jobs/{waiting['id']}/restart", b"", method="POST")[0] == 202
        assert until(url, waiting["id"], "succeeded")["result"]["branch"] == "four"
        assert call(url, f"/v1/jobs/{waiting['id']}/restart", b"", method="POST")[0] == 409
        assert [card["id"] for card in call(url, "/v1/branches")[2]["data"]] == ["one", "two", "four"]


def test_a_server_that_ends_leaves_what_ran_interrupted_and_the_way_to_start_again(tmp_path: Path) -> None:
    with own_server(tmp_path) as (url, _):
        job = upload(url, csv_of("three"), name="three", epochs="1")[2]
        until(url, job["id"], "running")
        watched: list[Any] = []
        watching = threading.Thread(target=lambda: watched.extend(job_events(url, job["id"])))
        watching.start()
        while not watched:
            time.sleep(0.01)
    watching.join()
    assert watched[-1]["status"] == "running"
    with own_server(tmp_path) as (url, _):
        found = call(url, f"/v1/jobs/{job['id']}")[2]
        assert found["status"] == "interrupted"
        assert found["ended_at"] is not None
        assert f"/v1/jobs/{job['id']}/restart" in found["error"]
        assert call(url, f"/v1/jobs/{job['id']}/restart", b"", method="POST")[0] == 202
        assert until(url, job["id"], "succeeded")["error"] is None
        assert call(url, "/v1/branches/three")[0] == 200


SERVER = """
import sys
from pathlib import Path
from interconnected_ai.config import ServingConfig
from interconnected_ai.serving import Hall, ServerThread
home = Path(sys.argv[1])
with Hall.open([home / "system"]) as hall, ServerThread(hall, ServingConfig(port=0, state=str(home / "state"))) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


def test_a_server_that_is_killed_leaves_no_process_and_an_honest_record(tmp_path: Path) -> None:
    saved_system(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        job = upload(url, csv_of("three"), name="three")[2]
        until(url, job["id"], "running")
        children = children_of(server.pid)
        server.send_signal(signal.SIGKILL)
        server.wait()
    assert children
    while any(is_alive(child) for child in children):
        time.sleep(0.05)
    record = json.loads((tmp_path / "state" / "jobs" / job["id"] / "job.json").read_text(encoding="utf-8"))
    assert record["status"] == "running"
    with own_server(tmp_path) as (url, _):
        assert call(url, f"/v1/jobs/{job['id']}")[2]["status"] == "interrupted"
        assert call(url, "/v1/classify", {"input": TEXTS})[0] == 200


def children_of(pid: int) -> list[int]:
    """Processes that this one began; it waits until there is one."""
    while True:
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                try:
                    stat = (place / "stat").read_text()
                except OSError:
                    continue
                if int(stat.rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(place.name))
        if found:
            return found
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_records_that_somebody_has_spoilt_are_passed_over(tmp_path: Path) -> None:
    jobs = tmp_path / "state" / "jobs"
    for number, text in enumerate(["", "{", "[]", '{"format_version": 1}', '{"format_version": 9, "id": "x"}', "null"]):
        folder = jobs / f"job_{number:024x}"
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(text)
    (jobs / "somebody's").mkdir()
    with own_server(tmp_path) as (url, _):
        assert call(url, "/v1/jobs")[2]["data"] == []
        for id in ("job_" + "0" * 24, "..%2f..", "a" * 10_000, "%00"):
            assert call(url, f"/v1/jobs/{id}")[0] in (400, 404)


def test_jobs_belong_to_the_key_that_began_them(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    ann, ben = ({"authorization": f"Bearer {keys.add(n, scopes=['admin'])[1]}"} for n in ("ann", "ben"))
    with own_server(tmp_path, keys=str(keys.path)) as (url, _):
        job = upload(url, b"text,label\ncat,a\n", ann, name="three", text="text", label="label")[2]
        until(url, job["id"], "failed", headers=ann)
        assert [each["id"] for each in call(url, "/v1/jobs", headers=ann)[2]["data"]] == [job["id"]]
        assert call(url, "/v1/jobs", headers=ben)[2]["data"] == []
        path = f"/v1/jobs/{job['id']}"
        for method, more in (
            ("GET", ""),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("POST", "/restart"),
            ("DELETE", ""),
        ):
            status, _, found = call(url, path + more, b"" if method == "POST" else None, method=method, headers=ben)
            assert status == 404
            assert "cat" not in json.dumps(found)
        assert call(url, path, method="DELETE", headers=ann)[0] == 200
