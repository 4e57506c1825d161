"""Who may come in: names and pages, keys with their scopes and limits, and what nobody is told."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from tests.serving.halls import Waiting, asked, call, waiting_server

from interconnected_ai.config import ServingConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import ExpertPool
from interconnected_ai.serving import SCOPES, Hall, KeyFile, create_app
from interconnected_ai.serving.quotas import Quotas

CHAT = "/v1/chat/completions"
OPEN = {"/healthz", "/readyz", "/", "/chat", "/branches", "/experts", "/memory", "/planner", "/page/static/page.css"}


def expert(num_calls: int = 1000) -> Waiting:
    """One that answers at once."""
    made = Waiting(num_pieces=1)
    made.goes.release(num_calls)
    return made


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with waiting_server(expert(), hosts=["proxy.example"], origins=["https://page.example"]) as address:
        yield address


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "2130706433"])
def test_a_name_that_is_not_this_servers_is_refused(host: str, url: str) -> None:
    status, _, found = call(url, "/v1/models", headers={"host": host})
    assert status == 403
    assert "hosts" in found["error"]["message"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:9000", "LOCALHOST:80", "proxy.example"])
def test_names_of_this_machine_at_any_port_and_those_of_the_config_are_known(host: str, url: str) -> None:
    assert call(url, "/v1/models", headers={"host": host})[0] == 200


@pytest.mark.parametrize("host", ["", "a b", "a:b", "a/b", "a@b"])
def test_a_name_that_is_none_is_refused(host: str, url: str) -> None:
    assert call(url, "/v1/models", headers={"host": host})[0] == 400


def test_pages_of_other_sites_are_refused_and_get_no_word_of_cors(url: str) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "file://"):
        status, headers, _ = call(url, CHAT, asked(model="waiting"), headers={"origin": origin})
        assert status == 403
        assert not [name for name in headers if name.startswith("access-control")]
    status, headers, _ = call(url, CHAT, method="OPTIONS", headers={"origin": "https://evil.example"})
    assert status == 403
    assert not [name for name in headers if name.startswith("access-control")]
    for origin in (url, "https://page.example"):
        assert call(url, CHAT, asked(model="waiting"), headers={"origin": origin})[0] == 200


def test_every_answer_has_safe_headers(url: str) -> None:
    for path in ("/healthz", "/v1/models", "/nothing"):
        headers = call(url, path)[1]
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_a_flood_of_headers_ends_the_connection_and_not_the_server(url: str) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        try:
            for number in range(20_000):
                connection.sendall(f"x-{number}: {'a' * 200}\r\n".encode())
            answered = connection.recv(4096)
        except ConnectionError:
            answered = b""
    assert answered == b"" or b" 4" in answered[:16]
    assert call(url, "/healthz")[0] == 200


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[str, KeyFile, dict[str, str]]]:
    keys = KeyFile(tmp_path / "keys.json")
    secrets = {scope: keys.add(scope, scopes=[scope])[1] for scope in SCOPES}
    with waiting_server(expert(), keys=str(keys.path)) as address:
        yield address, keys, secrets


def routes_of(router: FastAPI | APIRouter) -> list[APIRoute]:
    """Every route, those of routers within too."""
    found: list[APIRoute] = []
    for route in router.routes:
        if isinstance(route, APIRoute):
            found.append(route)
        elif (inner := getattr(route, "original_router", None)) is not None:
            found += routes_of(inner)
    return found


def scope_of(route: APIRoute) -> str | None:
    """The scope that a route's dependencies ask for."""
    found = [each.call.scope for each in route.dependant.dependencies if hasattr(each.call, "scope")]
    return found[0] if found else None


def test_every_route_asks_for_a_scope_or_is_open_by_name(keyed: tuple[str, KeyFile, dict[str, str]]) -> None:
    """From outside: each route with no key, with a wrong one, and with one of every scope."""
    url, _, secrets = keyed
    with ExpertPool(10) as pool:
        pool.add("waiting", expert, num_bytes=1)
        routes = routes_of(create_app(Hall(experts=pool), ServingConfig()))
    assert len(routes) > 5
    for route in routes:
        path = route.path.replace("{model:path}", "waiting").replace("{name:path}", "page.css")
        for method in route.methods or ():
            body = b"{}" if method in ("POST", "PUT", "PATCH") else None
            if path in OPEN:
                assert call(url, path, body, method=method)[0] == 200
                continue
            needed = scope_of(route)
            assert needed is not None, path
            for headers in ({}, bearer("iai-" + "x" * 43), bearer(""), {"authorization": "Basic YTpi"}):
                status, told, found = call(url, path, body, method=method, headers=headers)
                assert status == 401, path
                assert told["www-authenticate"] == "Bearer"
                assert found["error"]["code"] == "invalid_api_key"
            for scope, secret in secrets.items():
                status, _, found = call(url, path, body, method=method, headers=bearer(secret))
                if needed in ("any", scope) or scope == "admin":
                    assert status not in (401, 403), (path, scope)
                else:
                    assert (status, found["error"]["code"]) == (403, "missing_scope"), (path, scope)


def test_a_stranger_is_refused_before_the_body_is_read(keyed: tuple[str, KeyFile, dict[str, str]]) -> None:
    parts = urlsplit(keyed[0])
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n".encode()
        )
        assert b"401" in connection.recv(4096)


def test_a_key_that_is_revoked_opens_nothing_at_once_and_the_last_one_opens_no_door(
    keyed: tuple[str, KeyFile, dict[str, str]],
) -> None:
    url, keys, secrets = keyed
    assert call(url, CHAT, asked(model="waiting"), headers=bearer(secrets["chat"]))[0] == 200
    assert call(url, CHAT, asked(model="waiting"), headers={"x-api-key": secrets["chat"]})[0] == 200
    keys.revoke("chat")
    assert call(url, CHAT, asked(model="waiting"), headers=bearer(secrets["chat"]))[0] == 401
    for name in ("classify", "memory", "admin"):
        keys.revoke(name)
    assert call(url, "/v1/models")[0] == 401


def test_requests_over_a_keys_limit_are_told_when_to_come_again(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    few = bearer(keys.add("few", requests_per_minute=2)[1])
    short = bearer(keys.add("short", tokens_per_minute=1)[1])
    with waiting_server(expert(), keys=str(keys.path)) as url:
        told = [call(url, CHAT, asked(model="waiting"), headers=few) for _ in range(3)]
        assert [status for status, _, _ in told] == [200, 200, 429]
        assert 1 <= int(told[2][1]["retry-after"]) <= 31
        assert told[2][2]["error"]["type"] == "rate_limit_error"
        assert told[0][1]["x-ratelimit-remaining-requests"] == "1"
        assert call(url, CHAT, asked(model="waiting"), headers=short)[0] == 200
        assert call(url, CHAT, asked(model="waiting"), headers=short)[0] == 429


def test_a_bucket_fills_again_by_a_clock_that_only_grows(tmp_path: Path) -> None:
    now = 100.0
    key, _ = KeyFile(tmp_path / "keys.json").add("a", requests_per_minute=60, tokens_per_minute=600)
    quotas = Quotas(clock=lambda: now)
    for _ in range(60):
        quotas.take_request(key)
    with pytest.raises(Exception, match="60 requests of a minute"):
        quotas.take_request(key)
    now += 1.0
    quotas.take_request(key)
    now -= 50.0  # a clock that jumps gives nothing away, and takes nothing
    with pytest.raises(Exception, match="60 requests of a minute"):
        quotas.take_request(key)
    now += 60.0
    quotas.take_tokens(key, 700)
    with pytest.raises(Exception, match="600 tokens of a minute; wait 10"):
        quotas.take_request(key)


def test_keys_are_kept_as_hashes_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key, secret = keys.add("phone", user="ann")
    text = keys.path.read_text(encoding="utf-8")
    assert secret not in text
    assert secret.removeprefix("iai-") not in text
    assert keys.path.stat().st_mode & 0o077 == 0
    assert KeyFile(keys.path).find(secret) == key
    assert keys.find(secret[:-1]) is None
    assert keys.find(secret + "\ud800") is None
    assert "sha256" not in key.shown()
    with pytest.raises(ConfigError, match="in force"):
        keys.add("phone")
    keys.revoke(key.id)
    assert keys.find(secret) is None
    assert keys.add("phone")[1] != secret


def test_an_address_that_others_reach_needs_a_key(tmp_path: Path) -> None:
    with ExpertPool(10) as pool:
        pool.add("waiting", expert, num_bytes=1)
        hall = Hall(experts=pool)
        for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
            with pytest.raises(ConfigError, match="iai key add"):
                create_app(hall, ServingConfig(host=host))
        keys = KeyFile(tmp_path / "keys.json")
        keys.add("a")
        create_app(hall, ServingConfig(host="0.0.0.0", keys=str(keys.path)))
        keys.revoke("a")
        with pytest.raises(ConfigError, match="iai key add"):
            create_app(hall, ServingConfig(host="0.0.0.0", keys=str(keys.path)))


def test_the_log_holds_no_prompt_and_no_key_unless_it_is_asked_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.add("phone")[1]
    for log_prompts in (False, True):
        caplog.clear()
        with (
            caplog.at_level(logging.INFO, "interconnected_ai.serving"),
            waiting_server(expert(), keys=str(keys.path), log_prompts=log_prompts) as url,
        ):
            path = f"{CHAT}?secret=query"
            status, headers, _ = call(url, path, asked("my secret words", model="waiting"), headers=bearer(secret))
            assert status == 200
        lines: list[dict[str, Any]] = [json.loads(record.getMessage()) for record in caplog.records]
        (line,) = [line for line in lines if line["id"] == headers["x-request-id"]]
        assert line["key"] == "phone"
        assert (line["route"], line["status"], line["model"]) == (CHAT, 200, "waiting")
        assert line["answer_tokens"] == 1
        text = json.dumps(lines)
        assert ("my secret words" in text) is log_prompts
        assert secret not in text
        assert "secret=query" not in text


def test_no_label_of_the_figures_comes_from_a_request(url: str) -> None:
    call(url, "/made-up-path-7")
    call(url, "/v1/models/made-up-model-7")
    call(url, CHAT, asked(model="made-up-model-7"))
    call(url, CHAT, asked(model="waiting"))
    call(url, "/healthz", method="MADEUP7")
    text = call(url, "/metrics")[2].decode()
    assert "made-up" not in text
    assert "MADEUP7" not in text
    assert f'iai_requests_total{{method="POST",route="{CHAT}",status="200"}}' in text
    assert 'iai_tokens_total{kind="answer",model="waiting"}' in text
    assert 'iai_pool_bytes{pool="experts"}' in text
    assert call(url, "/metrics")[1]["content-type"].startswith("text/plain")
