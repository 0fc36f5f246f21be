#!/usr/bin/env python3
# twin.py BIN DIFFERENCES [NAME...] - the program's numbers beside those of transformers and lm-eval.
#
# SPDX-License-Identifier: MIT
#
# BIN is the folder with rbe and the workers.  Models: those that ship, their exports, and where
# $SHARED (default ../shared) has them the real model and the small GGUF files; NAMEs choose some.
# Each goes through both, and every number that is not the same is a difference.
#
# DIFFERENCES lists those that are known: lines "CHECK ITEM: reason".  One that is not there fails,
# and so does a line whose check ran and found no such difference.
import contextlib
import copy
import glob
import json
import lzma
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import zipfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                  TRANSFORMERS_VERBOSITY="error",
                  # The bounds of coded models are those of 16-bit inputs; see docs/CODECS.md.
                  RBE_ACTIVATIONS="16",
                  # Threads that spin while others have the CPUs would take a hundred times as long.
                  OMP_WAIT_POLICY="passive")
import lm_eval
import torch
from datasets import disable_progress_bars
from lm_eval.models.huggingface import HFLM
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from lm_tasks import bound_of, describe, metric_of
from texts import ask_ids, newer_digits, random_texts

disable_progress_bars()
logging.disable_progress_bar()
torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))

binaries, known_file = sys.argv[1:3]
chosen = sys.argv[3:]
shared = os.environ.get("SHARED", "../shared")
embedded = "datasets/embedded"
rbe = os.path.join(binaries, "rbe")
WINDOWS, ITEMS, TEXTS, GREEDY = 20, 100, int(os.environ.get("TEXTS", "20000")), 32

# --- what differs ---------------------------------------------------------------------------

ran, found, newer = set(), {}, []


def differs(check, item, text):
    if (check, item) not in found:
        print("  differs  %s %s: %s" % (check, item, text))
    found[check, item] = text


def verdict():
    """Against the list; True when nothing is new and nothing is out of date."""
    listed, good = {}, True
    for line in open(known_file):
        if line.strip() and not line.startswith("#"):
            name, reason = line.rstrip("\n").split(": ", 1)
            check, item = name.split(" ", 1)
            listed[check, item] = reason
    for key, text in found.items():
        if key in listed:
            print("known    %s %s: %s" % (*key, listed[key]))
        else:
            print("FAIL %s %s: %s" % (*key, text))
            good = False
    for key in listed:
        if key[0] in ran and key not in found:
            print("FAIL %s %s: is in %s and no longer so" % (*key, known_file))
            good = False
    print("%d checks, %d differences, %d of them known"
          % (len(ran), len(found), len([k for k in found if k in listed])))
    return good


def close(check, item, ours, theirs, bound):
    """Lists of numbers within a bound, of those above 10 in proportion; the worst one's share."""
    worst = max((abs(a - b) / max(1, abs(b) / 10) for a, b in zip(ours, theirs)), default=0)
    if len(ours) != len(theirs) or not worst <= bound:
        differs(check, item, "by %.3g, %.3g is allowed (%d and %d numbers)"
                % (worst, bound, len(ours), len(theirs)))
    return worst


# --- the two programs -----------------------------------------------------------------------

class Ours:
    def __init__(self, path):
        self.path = path

    def rows(self, *words):
        out = subprocess.run([rbe, "eval", *words, "--json", "--quiet", "--model", self.path],
                             stdout=subprocess.PIPE, check=True).stdout
        return [json.loads(line) for line in out.decode().splitlines()]

    def follow(self, prompts, greedy):
        """Log-probabilities and greedy tokens of each prompt."""
        lines = "".join("%d %d %s\n" % (greedy, len(p), " ".join(map(str, p))) for p in prompts)
        out = subprocess.run([os.path.join(binaries, "twin-worker"), self.path],
                             input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
        answers = [line.split() for line in out.decode().splitlines()]
        return [([float(x) for x in a[:len(p) - 1]], [int(x) for x in a[len(p) - 1:]])
                for a, p in zip(answers, prompts)]

    def ids(self, texts):
        place = self.path if os.path.isdir(self.path) or self.path.endswith(".gguf") else \
            os.path.join(embedded, "rbe-mini")
        lines = ask_ids(os.path.join(binaries, "tokens-worker"), place, "parse", texts)
        return [[int(x) for x in line.split()] for line in lines]


class Theirs:
    def __init__(self, path):
        folder, file = os.path.split(path) if path.endswith(".gguf") else (path, None)
        more = {}
        if file:
            # A GGUF file of GPT-2 says its context as n_ctx, and transformers makes 1024 positions.
            config = AutoConfig.from_pretrained(folder, gguf_file=file)
            if config.model_type == "gpt2":
                config.n_positions = config.n_ctx
            more = {"gguf_file": file, "config": config}
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                          **more).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
        self.context = self.model.config.max_position_embeddings

    def ids(self, texts):
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def log_p(self, ids):
        """Of each token but the first, and all of the last position's."""
        x = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return x[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist(), x[-1]

    def follow(self, prompt, greedy):
        """Tokens, and by how much each was ahead of the next one."""
        ids, ahead = list(prompt), []
        for _ in range(greedy):
            two = self.log_p(ids[-self.context:])[1].topk(2)
            ids.append(int(two.indices[0]))
            ahead.append(float(two.values[0] - two.values[1]))
        return ids[len(prompt):], ahead


# --- what is compared -----------------------------------------------------------------------

TEXT = os.path.join(embedded, "wiki.test.raw")
PROMPTS = ["The capital of France is", "Once upon a time, in 1984, there were 12345 small",
           "def fibonacci(n):\n    if n < 2:\n        return",
           "The river rises in the mountains and flows", "It's 7 o'clock; we'll see what they've"]


def tokens(name, ours, theirs, rng):
    check = "tokens/" + name
    ran.add(check)
    marks = theirs.tokenizer.all_special_tokens or ["<|endoftext|>"]
    marks = marks + [m[:-1] for m in marks] + ["<|", "|>"]
    texts = [t for t in random_texts(rng, TEXTS, marks) if not any(c in t for c in newer)] + PROMPTS
    bad = 0
    for text, a, b in zip(texts, ours.ids(texts), theirs.ids(texts)):
        if a != b:
            bad += 1
            if bad <= 5:
                print("  %s: %s, want %s" % (ascii(text), a, b))
    if bad:
        differs(check, "texts", "%d of %d are cut differently" % (bad, len(texts)))
    return "%d texts" % len(texts)


def perplexity(name, ours, theirs, bound):
    check = "p1/" + name
    ran.add(check)
    context = min(512, theirs.context)
    row = ours.rows("perplexity", "--text", TEXT, "--windows", str(WINDOWS), "--resamples", "100",
                    "--context", str(context))[0]
    rows = [line if line.strip() else "" for line in open(TEXT, newline="")]
    ids = theirs.ids(["\n\n".join(rows)])[0]
    if len(ids) != row["tokens"]:
        differs(check, "tokens", "%d, want %d" % (row["tokens"], len(ids)))
    scores = []
    for i in range(0, WINDOWS * context, context):
        scores += theirs.log_p(ids[i:i + context])[0]
    if len(scores) != row["scored"]:
        differs(check, "scored", "%d, want %d" % (row["scored"], len(scores)))
    worst = close(check, "nll", [row["nll_mean"]], [-math.fsum(scores) / len(scores)], bound)
    return "P1 %.5f, apart by %.1e nats a token" % (row["perplexity"], worst)


def prompts(name, ours, theirs, bound):
    check = "prompts/" + name
    ran.add(check)
    ids = [p for p in theirs.ids(PROMPTS) if len(p) > 1]
    worst = steps = 0
    for i, (prompt, (log_p, greedy)) in enumerate(zip(ids, ours.follow(ids, GREEDY))):
        worst = max(worst, close(check, "prompt %d" % i, log_p, theirs.log_p(prompt)[0], bound))
        want, ahead = theirs.follow(prompt, GREEDY)
        # Behind the first tie the texts are others.
        same = next((k for k in range(GREEDY) if greedy[k] != want[k]), GREEDY)
        steps += same
        if same < GREEDY:
            differs(check, "greedy %d" % i, "token %d is %d, want %d, ahead by %.2e"
                    % (same, greedy[same], want[same], ahead[same]))
    return "log p apart by %.1e, %d greedy tokens equal" % (worst, steps)


# --- comprehension --------------------------------------------------------------------------

def hellaswag_lines(file):
    """The six lines of an item as the original's JSON, a sentence of the context as ctx_b."""
    with lzma.open(file, "rt", encoding="utf-8") as f:
        lines = [line.rstrip("\n") for _, line in zip(range(6 * ITEMS), f)]
    for i in range(0, len(lines), 6):
        label, _, context = lines[i].partition(": ")
        a, _, b = context.rpartition(". ")
        yield {"activity_label": label, "ctx_a": a + "." if a else b, "ctx_b": b if a else "",
               "endings": lines[i + 2:i + 6], "label": int(lines[i + 1])}


def blimp_lines(file):
    with zipfile.ZipFile(file) as z:
        names = [n for n in z.namelist() if re.match(r"data/\w+\.jsonl$", n)]
        for name in sorted(names)[:ITEMS // 2]:
            yield from z.read(name).decode().splitlines()[:2]


def comprehension_sets(folder):
    """Name, file with ITEMS lines, lm-eval's description of the task, for what is at hand."""
    own = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
    for task, source, yaml_file, make in (
            ("lambada", os.path.join(embedded, "lambada_test.jsonl"), "lambada/lambada_openai.yaml",
             lambda f: [line for _, line in zip(range(ITEMS), open(f, encoding="utf-8"))]),
            ("winogrande", shared + "/data/winogrande/dev.jsonl", "winogrande/default.yaml",
             lambda f: [line for _, line in zip(range(ITEMS), open(f, encoding="utf-8"))]),
            ("hellaswag", shared + "/data/hellaswag/hellaswag_val_full.txt.xz",
             "hellaswag/hellaswag.yaml", lambda f: map(json.dumps, hellaswag_lines(f))),
            ("blimp", shared + "/data/blimp/BLiMP.zip", "blimp/_template_yaml", blimp_lines)):
        if not os.path.exists(source):
            print("SKIP %s: %s is not at hand" % (task, source))
            continue
        os.makedirs(os.path.join(folder, task), exist_ok=True)
        data = os.path.join(folder, task, "items.jsonl")
        with open(data, "w", encoding="utf-8") as f:
            f.writelines(line.rstrip("\n") + "\n" for line in make(source))
        yield task, data, os.path.join(own, yaml_file)


def comprehension(name, ours, theirs, sets, bound):
    lm = HFLM(pretrained=theirs.model, tokenizer=copy.copy(theirs.tokenizer), batch_size=1,
              device="cpu", max_length=theirs.context)
    said = []
    for task, data, yaml_file in sets:
        check = task + "/" + name
        ran.add(check)
        place = os.path.dirname(data) if task == "blimp" else data
        # lm-eval reads special tokens.
        row = ours.rows("comprehension", "--special", "parse", "%s=%s" % (task, place))[0]
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            result = lm_eval.evaluate(
                lm=lm, task_dict={task: describe(task, data, yaml_file)}, log_samples=True,
                bootstrap_iters=0)
        samples = sorted(result["samples"][task], key=lambda s: s["doc_id"])
        for metric, values in row["samples"].items():
            if metric in ("group", "paradigm"):
                continue
            want = [metric_of(s, metric) for s in samples]
            if metric == "acc" and "log_odds" in row["samples"]:
                # Where both answers are as good, either may be taken.
                even = [abs(metric_of(s, "log_odds")) < bound_of("log_odds", bound) for s in samples]
                values = [v for v, e in zip(values, even) if not e]
                want = [v for v, e in zip(want, even) if not e]
            # Random weights: log p of tens of nats, and what endings of many bytes add up to.
            wide = 4 if metric == "log_odds" and name.startswith("tiny-") else 1
            close(check, metric, values, want, wide * bound_of(metric, bound))
        said.append("%s %d" % (task, row["items"]))
    return ", ".join(said)


# --- the models -----------------------------------------------------------------------------

def export(work, model, name, *options):
    out = os.path.join(work, name)
    subprocess.run([rbe, "export", model, out, "--quiet", *options], check=True,
                   stdout=subprocess.DEVNULL)
    return out


def others():
    """Files that do not ship, if they are there and the program opens such."""
    small = sorted(glob.glob(shared + "/data/gguf/*.gguf"))
    real = sorted(glob.glob(shared + "/data/models/smollm2-135m-instruct/*.gguf"))
    for what, files in ("small GGUF files", small), ("SmolLM2", real):
        if not files:
            print("SKIP %s: not at hand in %s" % (what, shared))
    if small:
        said = subprocess.run([os.path.join(binaries, "twin-worker"), small[0]], input=b"",
                              stderr=subprocess.PIPE)
        if said.returncode:
            print("SKIP GGUF files: %s" % said.stderr.decode().strip())
            return []
    return small + real


def models(work):
    """Name, what we read, what they read, bounds of P1 and of log p."""
    mini, tuned = os.path.join(embedded, "rbe-mini"), os.path.join(embedded, "mini-2.89-tuned.rbe")
    # 16-bit inputs of the products: convert/test/check_export.c's bound, of the mean.  Of single
    # tokens one of some thousand is forty times as far apart (log p up to 20 nats).
    coded = 49 * 2 ** -15
    f32 = "--dtype", "f32"
    yield "rbe-mini", mini, lambda: mini, 1e-5, 1e-4
    yield "rbe-mini.gguf", mini, lambda: export(work, mini, "mini.gguf"), 1e-5, 1e-4
    yield "tuned", tuned, lambda: export(work, tuned, "tuned", *f32), coded, 64 * coded
    yield "tuned.gguf", tuned, lambda: export(work, tuned, "tuned.gguf", *f32), coded, 64 * coded
    # The same weights in both programs: nothing but the arithmetic differs.
    again = os.path.join(work, "again")
    yield "tuned-again", again, lambda: export(work, tuned, "again"), 1e-5, 1e-4
    for file in others():
        name = os.path.basename(file)
        yield name, file, lambda file=file: file, 1e-5, 1e-4
        if os.path.getsize(file) > 1e7:
            again = os.path.join(work, name + "-again")
            yield (name + "-again", again, lambda file=file, again=again:
                   export(work, file, os.path.basename(again)), 1e-5, 1e-4)


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("seed %d" % seed)
    newer.extend(newer_digits())
    with tempfile.TemporaryDirectory() as work:
        sets = list(comprehension_sets(work))
        for name, path, make, p1_bound, bound in models(work):
            if chosen and name not in chosen:
                continue
            theirs = Theirs(make())
            ours = Ours(path)
            rng = random.Random(seed)
            print("%s: %s" % (name, tokens(name, ours, theirs, rng)), flush=True)
            print("%s: %s" % (name, perplexity(name, ours, theirs, p1_bound)), flush=True)
            print("%s: %s" % (name, prompts(name, ours, theirs, bound)), flush=True)
            print("%s: %s" % (name, comprehension(name, ours, theirs, sets, bound)), flush=True)
    return 0 if verdict() else 1


sys.exit(main())
