"""Measure what asking costs: mimicit and others, against a server that is not the bottleneck.

    python tools/bench_teachers.py                                    # some minutes
    python tools/bench_teachers.py --scenarios text-64 --ways sketch --ways mimicit --runs 5
    python tools/bench_teachers.py --peers-python peers/bin/python    # more ways, installed there
    python tools/bench_teachers.py --flat --resume                    # mimicit alone, at length

The server (`_bench_server.py`, a process of its own) answers every request after `--latency`
seconds with the same completion of 600 tokens. Scenarios: `text-64` and `text-256` are 2,000
requests of 1.7 kB with so many in flight; `pictures` is 500 requests with three different JPEGs of
100 kB each, read and encoded as each is sent, 64 in flight.

Ways: `openai` is that package with a semaphore, replies in a list. `sketch` is aiohttp and msgspec
with an SQLite insert for each reply in a thread: the least that asking can cost, with no retry, no
limit, no lookup. `mimicit` is the asking pass of a build: journal on the disk, limits and budget
on. The others are peers, each asked through its own batch interface; one whose library is in none
of the interpreters is named as left out, and so is one that cannot read pictures as it sends them.
(daft cannot be told how many requests may be in flight: see `peak`.) Every measurement runs in a
process of its own, in turn, so that a noisy machine disturbs all alike.

Columns: `wall s` from the first request's arrival at the server to the last answer's departure;
`/ ideal` the same over requests x latency / in flight; `start s` from just before asking to the
first arrival; `CPU ms` of the client a request, from just before asking on; `whole ms` the same
for the whole process, imports and children included; `MB` peak memory of the process, and of the
largest of its children if it has some; `peak` most requests under way at once; `conns` connections
opened; `server ms` CPU of the server a request: its share of `wall s` says how far it is from being
the bottleneck; `sent` requests that came, marked where those are not as many as were asked for.
Medians over the runs. Of `--resume`, `start s` says how long mimicit looks for what is new, and
the rest is for all of it, the walk over what is known included.
"""

import argparse
import asyncio
import functools
import importlib
import itertools
import json
import os
import queue
import sqlite3
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from _bench_server import (
    COLUMNS,
    SCENARIOS,
    SYSTEM,
    Job,
    begin,
    interpreter,
    make_pictures,
    measure,
    question,
    running,
    spent,
)

MODEL = "bench"
PICTURE_BYTES = 100_000


PARAMETERS = {"max_tokens": 1000, "temperature": 0.7}


# ------------------------------------------------------------------------ in the child


def ask_openai(job: Job) -> None:
    """Ask as most scripts do."""
    import openai

    async def ask() -> list[str]:
        gate = asyncio.Semaphore(job.concurrency)
        client: Any = openai.AsyncOpenAI(base_url=f"{job.url}/v1", api_key="none", max_retries=0)

        async def one(number: int) -> str:
            async with gate:
                answer = await client.chat.completions.create(
                    model=MODEL, messages=job.messages(number), **PARAMETERS
                )
                return str(answer.choices[0].message.content)

        begin(job)
        async with client:
            return await asyncio.gather(*map(one, range(job.requests)))

    assert len(asyncio.run(ask())) == job.requests


def ask_sketch(job: Job) -> None:
    """Ask with as little around it as can be."""
    import aiohttp
    import msgspec

    class Message(msgspec.Struct):
        content: str

    class Choice(msgspec.Struct):
        message: Message

    class Completion(msgspec.Struct):
        choices: list[Choice]

    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Completion).decode
    replies: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
    writer = threading.Thread(target=_insert, args=(Path(job.work) / "replies.db", replies))

    async def work(session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for number in numbers:
            body = {"model": MODEL, "messages": job.messages(number), **PARAMETERS}
            path, headers = "/v1/chat/completions", {"Content-Type": "application/json"}
            async with session.post(path, data=encode(body), headers=headers) as answer:
                found = decode(await answer.read())
            replies.put((number, found.choices[0].message.content))

    async def ask() -> None:
        numbers = iter(range(job.requests))
        connector = aiohttp.TCPConnector(limit=job.concurrency)
        begin(job)
        async with aiohttp.ClientSession(job.url, connector=connector) as session:
            await asyncio.gather(*(work(session, numbers) for _ in range(job.concurrency)))

    writer.start()
    try:
        asyncio.run(ask())
    finally:
        replies.put(None)
        writer.join()


def _insert(path: Path, replies: "queue.SimpleQueue[tuple[int, str] | None]") -> None:
    """Insert replies, and commit whenever none is waiting."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE replies (key INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    while (row := replies.get()) is not None:
        database.execute("INSERT INTO replies VALUES (?, ?)", row)
        if replies.empty():
            database.commit()
    database.commit()
    database.close()


def ask_mimicit(job: Job) -> None:
    """Make the asking pass of a build, over scenes that are made as it walks."""
    from mimicit.asking import ask
    from mimicit.budget import Budget
    from mimicit.config import Endpoint
    from mimicit.decoding import Decoders
    from mimicit.journal import Journal
    from mimicit.media import Media
    from mimicit.media_cache import MediaCache
    from mimicit.prices import Price
    from mimicit.progress import silent
    from mimicit.schema import ImageInfo
    from mimicit.stored import StoreForm
    from mimicit.teachers.limits import Limits
    from mimicit.teachers.openai import OpenAITeacher

    n, work = job.concurrency, Path(job.work)
    kept = work.parent if job.known else work
    endpoint = Endpoint(f"{job.url}/v1", n, rpm=1e8, tpm_in=1e11, tpm_out=1e11)
    with (
        Journal(kept / "journal.db") as journal,
        Decoders() as decoders,
        MediaCache(work / "media") as cache,
    ):
        media = Media(decoders, cache, StoreForm(), [])
        known = work.parent / "pictures" / "known.json"
        for info in json.loads(known.read_bytes()) if job.pictures else []:
            media.infos[info["id"]] = ImageInfo(**info, format="JPEG", media_type="image/jpeg")
        price = Price(input=2.5, output=10)
        budget = Budget(journal, "bench", media.size, price=price, limit=1e9)
        limits = Limits(n, rpm=endpoint.rpm, tpm_in=endpoint.tpm_in, tpm_out=endpoint.tpm_out)
        begin(job)
        asked = ask(
            lambda: (functools.partial(_look, job, media, journal, s) for s in _scenes(job)),
            journal,
            lambda: OpenAITeacher(MODEL, endpoint, media.data_url, limits, budget),
            budget=budget,
            limits=limits,
            concurrency=n,
            rounds=0,
            total=job.requests,
            track=silent,
        )
    assert asked.replies == job.requests, asked


def _scenes(job: Job) -> range:
    return range(job.known + job.requests // job.per_scene)


def _scene_requests(job: Job, media: Any, scene: int) -> list[Any]:
    """Make the requests of one scene, which differ in their replicate alone."""
    from mimicit.schema import ImagePart, ImageRef, Message, Request

    parts: list[Any] = [question(scene)]
    for path in job.files(scene):
        info = media.infos[f"B_IMG_{path.stem}"]
        ref = ImageRef(info.id, str(path.parent), path.name)
        parts.append(ImagePart(info.sha256, 0, ref, info.sha256, info.media_type))
    messages = Message("system", (SYSTEM,)), Message("user", tuple(parts))
    named = tuple(PARAMETERS.items())
    return [Request(MODEL, messages, named, "", number) for number in range(job.per_scene)]


def _look(job: Job, media: Any, journal: Any, scene: int) -> tuple[list[Any], int]:
    """Look a scene up: its requests without a reply, and how many have one."""
    requests = _scene_requests(job, media, scene)
    missing = [request for request in requests if journal.get(request.key) is None]
    return missing, len(requests) - len(missing)


def fill_journal(job: Job) -> None:
    """Answer every request of the known scenes, as if they had been asked long ago."""
    from mimicit.journal import Journal
    from mimicit.schema import Reply

    text = json.dumps({"exchanges": [question(n)[:300] for n in range(8)]})
    with Journal(Path(job.work) / "journal.db") as journal:
        scenes = iter(range(job.known))
        while some := list(itertools.islice(scenes, 500)):
            requests = [r for scene in some for r in _scene_requests(job, None, scene)]
            replies = (Reply(r.key, text, "stop", MODEL, 400, 600) for r in requests)
            kept = [journal.put(r, reply) for r, reply in zip(requests, replies, strict=True)]
            for future in kept:
                future.result()


# ------------------------------------------------------------------------ peers, in the child


def ask_datatrove(job: Job) -> None:
    """Ask through its inference runner."""
    data = importlib.import_module("datatrove.data")
    runs = importlib.import_module("datatrove.pipeline.inference.run_inference")
    jsonl = importlib.import_module("datatrove.pipeline.writers.jsonl")

    async def rollout(document: Any, generate: Any) -> Any:
        return await generate({"messages": job.messages(int(document.id)), **PARAMETERS})

    config = runs.InferenceConfig(
        server_type="endpoint",
        model_name_or_path=MODEL,
        endpoint_url=job.url,
        api_key="none",
        max_concurrent_generations=job.concurrency,
    )
    writer = jsonl.JsonlWriter(job.work, output_filename="${rank}.jsonl", compression=None)
    runner = runs.InferenceRunner(rollout, config, writer)
    documents = (data.Document(text=question(n), id=str(n)) for n in range(job.requests))
    begin(job)
    runner.run(documents)


def ask_distilabel(job: Job) -> None:
    """Ask through a pipeline of one task, in batches of as many as may be in flight."""
    models = importlib.import_module("distilabel.models")
    pipelines = importlib.import_module("distilabel.pipeline")
    tasks = importlib.import_module("distilabel.steps.tasks")
    rows = [{"instruction": question(number)} for number in range(job.requests)]
    limits = {"max_new_tokens": PARAMETERS["max_tokens"], "temperature": PARAMETERS["temperature"]}
    with pipelines.Pipeline(name=MODEL, cache_dir=job.work) as pipeline:
        steps = importlib.import_module("distilabel.steps")
        load = steps.LoadDataFromDicts(data=rows, batch_size=job.concurrency)
        llm = models.OpenAILLM(
            model=MODEL, base_url=f"{job.url}/v1", api_key="none", generation_kwargs=limits
        )
        load >> tasks.TextGeneration(
            llm=llm, system_prompt=SYSTEM, input_batch_size=job.concurrency
        )
    begin(job)
    made = pipeline.run(use_cache=False)
    assert len(made["default"]["train"]) == job.requests


def ask_curator(job: Job) -> None:
    """Ask through its LLM class."""
    os.environ.update(TELEMETRY_ENABLED="false", LITELLM_LOCAL_MODEL_COST_MAP="true")
    # It knows where the vocabulary is that comes with it, so that none need be downloaded.
    importlib.import_module("litellm.litellm_core_utils.default_encoding")
    curator = importlib.import_module("bespokelabs.curator")
    llm = curator.LLM(
        model_name=MODEL,
        backend="openai",
        system_prompt=SYSTEM,
        generation_params=PARAMETERS,
        backend_params={
            "base_url": f"{job.url}/v1",
            "api_key": "none",
            "max_concurrent_requests": job.concurrency,
            "max_requests_per_minute": 10**7,
            "max_tokens_per_minute": 10**10,
        },
    )
    questions = [question(number) for number in range(job.requests)]
    begin(job)
    made = llm(questions, working_dir=job.work)
    assert len(made.dataset) == job.requests


def ask_daft(job: Job) -> None:
    """Ask through a column of a data frame."""
    daft = importlib.import_module("daft")
    provider = importlib.import_module("daft.ai.openai.provider").OpenAIProvider(
        base_url=f"{job.url}/v1", api_key="none"
    )
    prompt = importlib.import_module("daft.functions.ai").prompt
    frame = daft.from_pydict({"q": [question(number) for number in range(job.requests)]})
    begin(job)
    answers = prompt(
        daft.col("q"),
        system_message=SYSTEM,
        provider=provider,
        model=MODEL,
        use_chat_completions=True,
        concurrency=job.concurrency,
        **PARAMETERS,
    )
    assert len(frame.with_column("a", answers).to_pydict()["a"]) == job.requests


# ------------------------------------------------------------------------ in the parent


WAYS: dict[str, tuple[Callable[[Job], None], str]] = {
    "sketch": (ask_sketch, "msgspec"),
    "mimicit": (ask_mimicit, "mimicit"),
    "openai": (ask_openai, "openai"),
    "datatrove": (ask_datatrove, "datatrove"),
    "distilabel": (ask_distilabel, "distilabel"),
    "curator": (ask_curator, "bespokelabs-curator"),
    "daft": (ask_daft, "daft"),
}
"""Every way by name, and the distribution that it needs."""

SEES = frozenset({"sketch", "mimicit", "openai", "datatrove"})
"""Ways that can be handed pictures which are read when they are sent."""


def child(name: str, job: Job) -> None:
    """Ask in one way, and print what it took."""
    WAYS[name][0](job)
    print(spent(), flush=True)


def repeat(jobs: dict[str, tuple[str, str, Job]], latency: float, runs: int) -> None:
    """Measure some jobs in turn, and print the medians as a table.

    Args:
        jobs: Interpreter, way and job by the name that the table gives it.
        latency: Seconds that the server takes for an answer.
        runs: How often each is measured.
    """
    results: dict[str, list[dict[str, float]]] = {title: [] for title in jobs}
    with running(latency) as url:
        for _ in range(runs):
            for title in list(results):
                python, name, job = jobs[title]
                with tempfile.TemporaryDirectory(dir=job.work) as work:
                    asked = replace(job, url=url, work=work)
                    command = [python, __file__, "--child", name, json.dumps(asdict(asked))]
                    try:
                        results[title].append(measure(command, asked, latency))
                    except RuntimeError as error:  # a library that does not work here
                        print(f"left out: {title} {error}\n", flush=True)
                        del results[title]
    print("| way | " + " | ".join(COLUMNS) + " |\n|---|" + "---:|" * len(COLUMNS))
    for title, found in results.items():
        middle = {column: statistics.median(each[column] for each in found) for column in COLUMNS}
        cells = [format(middle[column], form) for column, form in COLUMNS.items()]
        marked = "" if middle["sent"] == jobs[title][2].requests else " !"
        print(f"| {title} | " + " | ".join(cells) + f"{marked} |", flush=True)
    print()


def compare(work: str, wanted: argparse.Namespace) -> None:
    """Compare the ways in each scenario."""
    found = {name: interpreter(WAYS[name][1], wanted.peers_python) for name in wanted.ways or WAYS}
    missing = [name for name, (python, _) in found.items() if not python]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}\n")
    for scenario in wanted.scenarios or SCENARIOS:
        job = replace(SCENARIOS[scenario], work=work)
        if job.pictures:
            (Path(work) / "pictures").mkdir()
            make_pictures(Path(work) / "pictures", job.requests * job.pictures, PICTURE_BYTES)
        named = {
            f"{name} {version}": (python, name, job)
            for name, (python, version) in found.items()
            if python and (name in SEES or not job.pictures)
        }
        sent = f"{job.requests:,} requests, {job.concurrency} in flight"
        print(f"{scenario}: {sent}, {job.pictures} pictures each, {wanted.runs} runs\n")
        blind = [name for name in found if job.pictures and name not in SEES]
        if blind:
            print(f"asked without pictures only, so left out: {', '.join(blind)}\n")
        repeat(named, wanted.latency, wanted.runs)


def flat(work: str) -> None:
    """Show how much memory mimicit takes for few requests, and for many."""
    print("mimicit, 256 in flight, answered after 0.02 s\n")
    jobs = {f"{n:,}": Job(n, 256, work=work) for n in (1000, 10_000, 100_000)}
    repeat({title: (sys.executable, "mimicit", job) for title, job in jobs.items()}, 0.02, 1)


def resume(work: str, replies: int) -> None:
    """Show how long mimicit takes to ask again where most is known: `start s`."""
    job = Job(800, 64, work=work, per_scene=8, known=replies // 8)
    print(f"mimicit, {job.known:,} scenes of 8 requests known, and 100 more\n", flush=True)
    fill_journal(job)
    repeat({"mimicit": (sys.executable, "mimicit", job)}, 0.2, 1)


def main() -> None:
    """Run all that is asked for, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--scenarios", action="append", choices=SCENARIOS, default=[])
    add("--ways", action="append", choices=WAYS, default=[])
    add("--runs", type=int, default=3)
    add("--latency", type=float, default=0.2, help="seconds that the server takes")
    add("--peers-python", action="append", default=[], help="another interpreter to look in")
    add("--work", type=Path, help="folder for the files; a temporary one otherwise")
    add("--flat", action="store_true", help="peak memory of mimicit at 1,000 to 100,000 requests")
    add("--resume", action="store_true", help="time that mimicit takes to go on")
    add("--replies", type=int, default=1_000_000, help="in the journal that --resume goes on with")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.work) as work:
        if wanted.flat:
            flat(work)
        if wanted.resume:
            resume(work, wanted.replies)
        if wanted.scenarios or wanted.ways or not (wanted.flat or wanted.resume):
            compare(work, wanted)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Job(**json.loads(sys.argv[3])))
    else:
        main()
