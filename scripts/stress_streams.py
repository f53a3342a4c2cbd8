"""Look for results that depend on the stream that computed them, in many fresh processes or in a busy one.

    python scripts/stress_streams.py --processes 20
    python scripts/stress_streams.py --processes 300 --model multilingual-e5-small --cold
    python scripts/stress_streams.py --requests 20000 --threads 4

Each process opens a model and runs requests on several streams at once, in pairs of one shape that no stream
has seen, because the engine creates its kernels at the first use of a shape. Every result is compared with
that of one stream, computed afterwards, and some with NumPy. Random checkpoints of every architecture and
head are made with `transformers` (in the development environment), or ``--model`` names a model. Exits with 1
if a result was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

HEADS = {
    "Model": None,
    "ForMaskedLM": "masked-lm",
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
}
CLASSES = [
    *(
        (family, head)
        for family in ("Bert", "Roberta", "XLMRoberta", "Electra", "DistilBert")
        for head in HEADS
    ),
    ("Bert", "ForNextSentencePrediction"),
    ("GPT2", "LMHeadModel"),
]
HEADS |= {"ForNextSentencePrediction": "next-sentence-prediction", "LMHeadModel": "causal-lm"}
LONGEST, WORDS = 500, 200  # tokens of a text, pieces of the vocabulary
TOLERANCE = 1e-4


def make_checkpoints(folder: Path) -> list[tuple[Path, str | None]]:
    """Save a random checkpoint of every architecture and head; return folders and heads."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    sizes = {"vocab_size": WORDS, "max_position_embeddings": 512, "initializer_range": 0.1}
    bert = {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 6, "intermediate_size": 1536}
    own = {
        "DistilBert": {"dim": 384, "n_layers": 1, "n_heads": 6, "hidden_dim": 1536},
        "GPT2": {"n_embd": 384, "n_layer": 1, "n_head": 6, "n_positions": 512},
    }
    made = []
    for family, name in CLASSES:
        settings = sizes | own.get(family, bert) | ({"embedding_size": 384} if family == "Electra" else {})
        settings |= {"bos_token_id": 1, "eos_token_id": 2}
        if family == "GPT2":
            del settings["max_position_embeddings"]
        torch.manual_seed(0)
        model = getattr(transformers, family + name)(getattr(transformers, family + "Config")(**settings))
        model.save_pretrained(folder / (family + name))
        made.append((folder / (family + name), HEADS[name]))
    return made


def open_model(name: str, head: str | None, **settings: Any) -> Any:
    """Open a checkpoint with one head, or the bare encoder."""
    from munjang import Model

    return Model.from_pretrained(name, head, **settings)


def program_of(model: Any) -> Any:
    """Return the program that a model runs by default."""
    return model.program(frozenset({"logits"} if model.head else {"last_hidden_state"}))


def texts_of(lengths: list[int], generator: np.random.Generator, pieces: int) -> list[Any]:
    """Make texts of these lengths of random token ids."""
    from munjang.tokenization import TokenIds

    return [TokenIds(generator.integers(5, pieces, size=n).tolist(), [0] * n) for n in lengths]


def results(model: Any, texts: list[Any], budget: int) -> list[np.ndarray]:
    """Run texts and return the output of each, by index."""
    name = "logits" if model.head else "last_hidden_state"
    per_token = not model.head or model.architecture.heads[model.head].on == "tokens"
    found: dict[int, np.ndarray] = {}
    for done in model.runner.run(program_of(model), texts, token_budget=budget):
        values = done.split(name) if per_token else list(done.outputs[name])
        found.update(zip(done.indices, values, strict=True))
    return [found[place] for place in range(len(texts))]


def wrong(found: list[np.ndarray], expected: list[np.ndarray]) -> int:
    """Count the results that differ from the expected results."""
    return sum(
        not np.allclose(one, other, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(other).max())))
        for one, other in zip(found, expected, strict=True)
    )


def one_process(name: str, head: str | None, seed: int, shapes: int) -> dict[str, int]:
    """Run pairs of new shapes, then mixed texts, on several streams; compare with one stream and NumPy."""
    generator = np.random.default_rng(seed)
    model = open_model(name, head, threads=max(2, len(os.sched_getaffinity(0))))
    longest = min(LONGEST, model.runner.layout.max_length)
    pieces = min(WORDS, model.config.vocab_size)
    rounds = [([n] * 4, n) for n in generator.integers(2, longest, size=shapes).tolist()]
    rounds.append((generator.integers(1, longest, size=40).tolist(), 512))
    calls = [(texts_of(lengths, generator, pieces), budget) for lengths, budget in rounds]
    found = [results(model, texts, budget) for texts, budget in calls]
    alone = open_model(name, head, streams=1)
    faults = sum(wrong(have, results(alone, *call)) for have, call in zip(found, calls, strict=True))
    exact = open_model(name, head, backend="numpy")
    faults += wrong(found[0][:1], results(exact, calls[0][0][:1], 512))
    return {"results": sum(map(len, found)), "wrong": faults}


def many_requests(name: str, head: str | None, requests: int, threads: int, seed: int) -> dict[str, int]:
    """Send random texts from several threads to one model; compare with one stream."""
    model = open_model(name, head)
    alone = open_model(name, head, streams=1)
    longest = min(LONGEST, model.runner.layout.max_length)

    def worker(number: int) -> tuple[int, int]:
        generator, sent, faults = np.random.default_rng([seed, number]), 0, 0
        while sent < requests // threads:
            lengths = generator.integers(1, longest, size=int(generator.integers(1, 9))).tolist()
            texts = texts_of(lengths, generator, min(WORDS, model.config.vocab_size))
            faults += wrong(results(model, texts, 512), results(alone, texts, 512))
            sent += len(texts)
            if number == 0 and sent % 500 < len(texts):
                print(f"{sent * threads} of {requests} texts", file=sys.stderr)
        return sent, faults

    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(worker, range(threads)))
    return {"results": sum(sent for sent, _ in done), "wrong": sum(faults for _, faults in done)}


def drop_page_cache() -> None:
    """Make the next process read its files from the disk; needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")


def main() -> int:
    """Read the options and run; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=20, help="fresh processes, one after the other")
    parser.add_argument("--shapes", type=int, default=12, help="new shapes for each process")
    parser.add_argument("--model", help="a model in place of random checkpoints")
    parser.add_argument("--cold", action="store_true", help="empty the page cache before each process (root)")
    parser.add_argument(
        "--requests", type=int, help="texts for one process with --threads, instead of processes"
    )
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, head = options.child
        print(json.dumps(one_process(name, head or None, options.seed, options.shapes)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        models = [(options.model, None)] if options.model else make_checkpoints(Path(folder))
        if options.requests:
            counts = many_requests(
                *map(str, models[0][:1]), models[0][1], options.requests, options.threads, options.seed
            )
            print(f"{counts['results']} texts, {counts['wrong']} wrong")
            return int(counts["wrong"] > 0)
        bad, compared, start = [], 0, time.monotonic()
        for number in range(options.processes):
            name, head = models[number % len(models)]
            if options.cold:
                drop_page_cache()
            command = [sys.executable, __file__, "--child", str(name), head or ""]
            command += ["--seed", str(options.seed + number), "--shapes", str(options.shapes)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this file
            counts = json.loads(ran.stdout) if ran.returncode == 0 else {"results": 0, "wrong": 1}
            compared += counts["results"]
            if counts["wrong"]:
                bad.append(number)
                print(f"process {number} ({Path(str(name)).name}): {counts}\n{ran.stderr}", file=sys.stderr)
            if (number + 1) % 10 == 0:
                seconds = time.monotonic() - start
                print(
                    f"{number + 1} of {options.processes} processes, {len(bad)} wrong, {seconds:.0f} s",
                    flush=True,
                )
        print(f"{options.processes} processes, {compared} results, {len(bad)} processes wrong")
        return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
