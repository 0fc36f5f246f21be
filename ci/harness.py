#!/usr/bin/env python3
# harness.py BIN [ITEMS] - lm-evaluation-harness' local-completions before rbe-serve, beside rbe eval.
#
# SPDX-License-Identifier: MIT
#
# The harness asks rbe-serve over HTTP for the log-probabilities of its tasks; `rbe eval` scores the
# same items by itself.  Every item's score must be the same, its log-probability but for rounding.
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false",
                  TRANSFORMERS_VERBOSITY="error", OPENAI_API_KEY="a secret")
import lm_eval
from datasets import disable_progress_bars

from lm_tasks import bound_of, describe, metric_of

disable_progress_bars()
binaries = sys.argv[1]
items = int(sys.argv[2]) if len(sys.argv) > 2 else 40
embedded = "datasets/embedded"
tokenizer = os.path.join(embedded, "rbe-mini")
BOUND = 2e-3
passed = failed = 0


def check(what, ok):
    global passed, failed
    passed += bool(ok)
    failed += not ok
    if not ok:
        print("FAIL " + what)


def passages():
    with open(os.path.join(embedded, "lambada_test.jsonl"), encoding="utf-8") as f:
        return [json.loads(line)["text"] for _, line in zip(range(items), f)]


def choices(texts):
    """Items as HellaSwag has them: how a passage goes on, and how three others do."""
    for i, text in enumerate(texts):
        words = text.split()
        ends = [" ".join(texts[(i + k) % len(texts)].split()[-6:]) for k in range(4)]
        right = i % 4
        ends[0], ends[right] = ends[right], ends[0]
        half = len(words) // 2
        yield {"activity_label": "A story", "ctx_a": " ".join(words[:half]),
               "ctx_b": " ".join(words[half:-6]), "endings": ends, "label": right}


def tasks(folder):
    own = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
    texts = passages()
    for name, lines, yaml_file in (
            ("lambada", [{"text": t} for t in texts], "lambada/lambada_openai.yaml"),
            ("hellaswag", choices(texts), "hellaswag/hellaswag.yaml")):
        data = os.path.join(folder, name + ".jsonl")
        with open(data, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in lines)
        yield name, data, os.path.join(own, yaml_file)


def by_ourselves(model, name, data):
    out = subprocess.run(
        [os.path.join(binaries, "rbe"), "eval", "comprehension", "-m", model, "--special", "parse",
         "--json", "-q", "-t", "1", "%s=%s" % (name, data)], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out.decode().splitlines()[0])


@contextlib.contextmanager
def service(model, folder):
    token = os.path.join(folder, "token")
    with open(token, "w") as f:
        f.write(os.environ["OPENAI_API_KEY"] + "\n")
    with open(os.path.join(folder, "said"), "w+") as said:
        p = subprocess.Popen([os.path.join(binaries, "rbe-serve"), "-m", model, "--http", "0",
                              "--token-file", token, "--tokenizer", tokenizer, "-t", "1"],
                             stderr=said)
        try:
            at = ""
            while not at and p.poll() is None:
                time.sleep(0.05)
                said.seek(0)
                at = said.read().partition(", at ")[2].strip()
            check("rbe-serve starts", at)
            yield at
        finally:
            p.send_signal(signal.SIGTERM)
            check("rbe-serve ends", p.wait() == 0)


def compare(model, folder):
    lines = []
    with service(model, folder) as at:
        lm = lm_eval.api.registry.get_model("local-completions")(
            model="rbe", base_url=at + "/v1/completions", tokenizer=tokenizer, num_concurrent=3,
            batch_size=4, max_length=512, max_retries=2)
        for name, data, yaml_file in tasks(folder):
            row = by_ourselves(model, name, data)
            with contextlib.redirect_stderr(open(os.devnull, "w")):
                result = lm_eval.evaluate(lm=lm, task_dict={name: describe(name, data, yaml_file)},
                                          log_samples=True, bootstrap_iters=0)
            samples = sorted(result["samples"][name], key=lambda s: s["doc_id"])
            check("%s: %d items" % (name, items), len(samples) == items == row["items"])
            worst = 0
            for metric, ours in row["samples"].items():
                if metric in ("group", "paradigm"):
                    continue
                theirs = [metric_of(s, metric) for s in samples]
                apart = [abs(a - b) for a, b in zip(ours, theirs)]
                worst = max(worst, max(apart))
                check("%s: %s of item %d" % (name, metric, apart.index(max(apart))),
                      len(ours) == len(theirs) and max(apart) <= bound_of(metric, BOUND))
            said = ", ".join("%s %.4g" % (k.split(",")[0], v) for k, v in result["results"][name].items()
                             if isinstance(v, float) and "stderr" not in k)
            lines.append("%s %s: %s; %.1e apart" % (os.path.basename(model), name, said, worst))
    return lines


for model in (os.path.join(embedded, "rbe-mini"), os.path.join(embedded, "mini-2.89-tuned.rbe")):
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(compare(model, folder)))
print("%d passed, %d failed" % (passed, failed))
sys.exit(failed > 0)
