"""Streams say that all is well, answers for nobody are cancelled, and what is too much is told to come again."""

import datetime
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import openai
from tests.serving.halls import JSON, Waiting, asked, call, waiting_server

from interconnected_ai.config import ServingConfig
from interconnected_ai.experts import ExpertPool
from interconnected_ai.serving import Hall, ServerThread

CHAT = "/v1/chat/completions"
BODY = json.dumps(asked(model="waiting")).encode()
STREAMED = json.dumps(asked(model="waiting", stream=True)).encode()


def sent(url: str, body: bytes, more: str = "") -> socket.socket:
    """A connection on which a request was sent. more: headers, each with its line's end."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=60)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    connection.sendall(f"{head}{more}\r\n".encode() + body)
    return connection


def test_a_silent_stream_pings_and_clients_read_on() -> None:
    expert = Waiting()
    with waiting_server(expert, ping_seconds=0.05) as url:
        with sent(url, STREAMED) as connection:
            seen = b""
            while seen.count(b": ping\n") < 3:
                seen += connection.recv(4096)
            head = seen.split(b"\r\n\r\n")[0].lower()
            assert b"200 ok" in head
            assert b"text/event-stream" in head
            assert b"x-accel-buffering: no" in head
            assert b"content-security-policy" in head
            expert.goes.release(3)
            while b"[DONE]" not in seen:
                seen += connection.recv(4096)
        with openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
            chunks = client.chat.completions.create(
                model="waiting", messages=[{"role": "user", "content": "a"}], stream=True
            )
            next(chunks)
            threading.Timer(0.3, expert.goes.release, [3]).start()
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "0 1 2"


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "streamed"])
def test_an_answer_whose_client_leaves_is_cancelled_before_its_first_piece(body: bytes) -> None:
    expert = Waiting()
    with waiting_server(expert) as url:
        connection = sent(url, body)
        assert expert.began.wait(60)
        connection.close()
        assert expert.ended.wait(60)


def test_a_stream_whose_client_leaves_in_its_midst_is_cancelled() -> None:
    expert = Waiting()
    with waiting_server(expert) as url:
        connection = sent(url, STREAMED)
        expert.goes.release(1)
        seen = b""
        while b'"content":"0"' not in seen:
            seen += connection.recv(4096)
        connection.close()
        assert expert.ended.wait(60)


def test_more_than_may_wait_is_told_to_come_again_and_the_rest_is_answered() -> None:
    expert = Waiting(num_pieces=1)
    with waiting_server(expert, max_at_once=1, max_waiting=1) as url:
        held = [sent(url, BODY) for _ in range(2)]
        assert expert.began.wait(60)
        while call(url, "/readyz")[0] != 503:  # the second has not come yet
            continue
        status, headers, found = call(url, CHAT, asked(model="waiting"))
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert found["error"]["code"] == "full"
        assert call(url, "/readyz")[0] == 503
        assert call(url, "/healthz")[0] == 200
        expert.goes.release(9)
        for connection in held:
            assert b"200 OK" in connection.recv(4096)
            connection.close()
        while call(url, "/readyz")[0] != 200:
            continue


def test_a_request_that_waits_and_whose_client_leaves_is_never_begun() -> None:
    expert = Waiting(num_pieces=1)
    with waiting_server(expert, max_at_once=1, max_waiting=1) as url:
        first = sent(url, BODY)
        assert expert.began.wait(60)
        for body in (BODY, STREAMED):
            waiting = sent(url, body)
            while call(url, "/readyz")[0] != 503:
                continue
            waiting.close()
            while call(url, "/readyz")[0] != 200:  # its place is free, though the first still runs
                continue
        expert.goes.release(1)
        assert b"200 OK" in first.recv(4096)
        first.close()
        assert expert.num_asked == 1


def test_an_answer_that_takes_too_long_is_ended() -> None:
    expert = Waiting()
    with waiting_server(expert, max_seconds=0.2) as url:
        status, _, found = call(url, CHAT, asked(model="waiting"))
        assert status == 503
        assert found["error"]["code"] == "timeout"
        assert expert.ended.wait(60)


def test_a_body_that_never_ends_is_refused_and_the_connection_closed() -> None:
    with waiting_server(Waiting(), max_body_mb=0.01, body_seconds=0.5) as url:
        parts = urlsplit(url)
        for chunk, status in ((b"400\r\n" + b" " * 1024 + b"\r\n", b"413"), (b"", b"408")):
            with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
                head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                connection.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
                for _ in range(12):
                    connection.sendall(chunk)
                seen = b""
                while part := connection.recv(4096):
                    seen += part
                assert seen.split(b" ")[1] == status
                assert json.loads(seen.split(b"\r\n\r\n")[1])["error"]["code"] in ("too_large", "slow_body")


def test_a_client_that_takes_nothing_is_let_go() -> None:
    expert = Waiting(num_pieces=200, width=200_000)  # more than all buffers hold
    expert.goes.release(200)
    with waiting_server(expert, stall_seconds=0.3) as url:
        connection = sent(url, STREAMED)
        assert expert.ended.wait(60)
        while b"iai_clients_gone_total 1.0" not in (text := call(url, "/metrics")[2]):
            continue
        assert b"iai_requests_open 1.0" in text  # that of the figures themselves
        connection.close()


def test_an_answer_that_waits_for_room_is_cancelled_too() -> None:
    small, large = Waiting(num_pieces=1), Waiting(num_pieces=1)
    with ExpertPool(1) as pool:
        pool.add("small", lambda: small, num_bytes=1)
        pool.add("large", lambda: large, num_bytes=1)
        with pool.borrow("small"), ServerThread(Hall(experts=pool), ServingConfig(port=0, drain_seconds=1.0)) as server:
            connection = sent(server.url, json.dumps(asked(model="large")).encode())
            while not pool.stats().num_waiting:
                continue
            connection.close()
            while pool.stats().num_waiting:
                continue
    assert not large.began.is_set()


def test_a_server_with_certificates_speaks_https(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    expert = Waiting(num_pieces=1)
    expert.goes.release(1)
    with waiting_server(expert, tls_certificate=str(certificate), tls_key=str(key)) as url:
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{url}/healthz", context=trusted, timeout=60) as answer:
            assert json.load(answer) == {"status": "ok"}


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key, as PEM files."""
    x509 = pytest.importorskip("cryptography.x509", reason="makes certificates")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(began).not_valid_after(began + datetime.timedelta(days=30))
        .add_extension(address, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_a_server_that_ends_lets_answers_come_to_their_end() -> None:
    expert = Waiting(num_pieces=1)
    found: list[Any] = []
    with waiting_server(expert, drain_seconds=60) as url:
        asking = threading.Thread(target=lambda: found.append(call(url, CHAT, asked(model="waiting"))))
        asking.start()
        assert expert.began.wait(60)
        threading.Timer(0.2, expert.goes.release, [1]).start()
    asking.join(60)
    assert found[0][0] == 200


def test_requests_on_one_connection_have_ids_of_their_own() -> None:
    with waiting_server(Waiting()) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        ids = set()
        for _ in range(3):
            connection.request("GET", "/v1/models", headers=JSON)
            answer = connection.getresponse()
            answer.read()
            ids.add(answer.getheader("x-request-id"))
        connection.close()
        assert len(ids) == 3


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "streamed"])
def test_an_answer_that_does_not_end_is_cut_when_the_server_has_waited_long_enough(body: bytes) -> None:
    expert = Waiting()
    with waiting_server(expert, drain_seconds=0.2) as url:
        connection = sent(url, body)
        assert expert.began.wait(60)
    assert expert.ended.wait(60)
    connection.close()
