"""What the `openai` package is told and takes from the environment, in each of its versions."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from test_teacher import (
    KEY,
    OK,
    Scripted,
    answer,
    bare_environment,  # noqa: F401  # used by every test
    error,
    frozen_imports,  # noqa: F401  # used by every test
    in_turn,
    probe,
    scripted,
    teach,
)

from mimicit.errors import TeacherError, UsageError
from mimicit.teachers.openai import OpenAITeacher
from mimicit.testing import FakeTeacher

ROOT = Path(__file__).parents[1]

# ------------------------------------------------------------------ keys and URLs


@pytest.mark.parametrize("key", [KEY, f" {KEY}\n"])
def test_the_key_of_the_environment_is_sent(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with scripted(in_turn((200, OK))) as own:
        assert answer(own.url).text == "yes"
        assert own.headers[0]["authorization"] == f"Bearer {KEY}"
        monkeypatch.setenv("OPENAI_BASE_URL", own.url)
        assert answer(None).text == "yes"
        assert own.paths == ["/v1/chat/completions"] * 2


@pytest.mark.parametrize("key", [None, "", " "])
def test_a_server_of_ones_own_gets_a_placeholder(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with scripted(in_turn((200, OK))) as own:
        assert answer(own.url).text == "yes"
    assert own.headers[0]["authorization"] == "Bearer none"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OPENAI_API_KEY": ""},
        {"OPENAI_API_KEY": "\n", "OPENAI_BASE_URL": ""},
        {"OPENAI_ADMIN_KEY": KEY},
        {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com"},
        {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com", "AZURE_OPENAI_API_KEY": KEY},
    ],
)
def test_without_a_key_one_is_told_what_to_set(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"OPENAI_API_KEY.*OPENAI_API_VERSION.*--base-url") as told:
        answer(None)
    assert KEY not in str(told.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"])
@pytest.mark.parametrize("key", ["sk-secret…", "sk-sec\nret", "sk-sec\x7fret"])
def test_what_cannot_be_a_key_is_told_at_once(
    name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.setenv(name, key)
    with pytest.raises(UsageError, match=rf"\${name} ") as told:
        answer(None)
    assert "sec" not in str(told.value)


def test_an_empty_base_url_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for url in (None, "", " "):
        if url is not None:
            monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert teach(None, _where) == "https://api.openai.com/v1"


async def _where(teacher: OpenAITeacher) -> str:
    return teacher.where


@pytest.mark.parametrize(
    "settings",
    [
        {"OPENAI_BASE_URL": "http://user:pa55word@host:port/v1"},
        {"OPENAI_BASE_URL": "http://[::1/v1"},
        {"OPENAI_BASE_URL": "http://127.0.0.1:99999/v1"},
        {"OPENAI_BASE_URL": "user:pa55word@127.0.0.1:1/v1"},
        {"OPENAI_BASE_URL": "http:///v1"},
        {"HTTP_PROXY": "ftp://user:pa55word@127.0.0.1:1"},
        {"SSL_CERT_FILE": "/no/such/file"},
    ],
)
def test_settings_that_cannot_be_are_told_at_once(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as told:
        probe(None)
    assert "no key" not in str(told.value)
    assert "pa55word" not in str(told.value)


def test_a_wrong_key_is_told_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    wrong = (401, error(f"Incorrect API key provided: {KEY}.", "invalid_api_key"))
    with scripted(in_turn(wrong)) as own:
        for ask in (probe, answer):
            with pytest.raises(TeacherError, match=r"\$OPENAI_API_KEY") as told:
                ask(own.url)
            assert KEY not in str(told.value)
    assert len(own.bodies) == 2
    assert KEY not in caplog.text


def test_an_unknown_model_is_named() -> None:
    with FakeTeacher(latency=0, models=["another"]) as server:
        for ask in (probe, answer):
            with pytest.raises(TeacherError, match="some-model"):
                ask(server.base_url)
        assert server.count == 2


# ------------------------------------------------------- proxies, certificates, Azure


def _forward(asked: Scripted) -> tuple[int, Any]:
    """Do what a proxy does with a request for `http://host:port/path`."""
    url = urlsplit(asked.paths[-1])
    connection = http.client.HTTPConnection(url.hostname or "", url.port)
    try:
        connection.request("POST", url.path, json.dumps(asked.bodies[-1]))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTeacher(latency=0) as server, scripted(_forward) as proxy:
        monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        assert answer(server.base_url).text
        assert proxy.paths == [f"{server.base_url}/chat/completions"]
        assert server.count == 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert answer(server.base_url).text
        assert (len(proxy.paths), server.count) == (1, 2)


def test_a_certificate_authority_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with scripted(in_turn((200, OK)), context) as own:
        for ask in (probe, answer):
            with pytest.raises(TeacherError, match=r"not trusted: .*certificate.*SSL_CERT_FILE"):
                ask(own.url)
        assert not own.bodies
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert probe(own.url).text == "yes"


def test_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    with scripted(in_turn((200, OK))) as own:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", own.url.removesuffix("/v1"))
        assert answer(None).text == "yes"
    path = "/openai/deployments/some-model/chat/completions?api-version=2024-10-21"
    assert own.paths == [path]
    assert own.headers[0]["api-key"] == KEY
    assert "authorization" not in own.headers[0]
    assert own.bodies[0]["max_tokens"] == 99


def test_azures_own_filter_is_a_reply() -> None:
    body = error("Filtered.", "weird")
    body["error"]["innererror"] = {"code": "ResponsibleAIPolicyViolation"}
    with scripted(in_turn((400, body))) as own:
        assert answer(own.url).finish_reason == "content_filter"


# ----------------------------------------------------------------------- versions


@pytest.mark.slow
def test_version_2_of_the_package_serves_alike(tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    venv.create(tmp_path / "venv", with_pip=True)  # this environment may have no pip
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--target", str(libraries)]
    done = subprocess.run([*install, "openai>=2,<3"], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"version 2 cannot be installed: {done.stderr.strip()[-200:]}")
    environment = {**os.environ, "PYTHONPATH": str(libraries)}
    command = [sys.executable, "-W", "error", "-c", "import openai; print(openai.__version__)"]
    shown = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert shown.startswith("2.")
    names = ("teacher", "wire", "openai_versions", "transport", "charges")
    tests = [f"tests/test_{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
