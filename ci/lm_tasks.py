# lm_tasks.py - tasks of lm-evaluation-harness on files that are here, and what it says of items.
#
# SPDX-License-Identifier: MIT
import math
import os

import yaml
from lm_eval.api.task import ConfigurableTask


def describe(task, data, yaml_file):
    """lm-eval's own task, on our file."""
    def function(loader, node):
        module, _, name = node.value.rpartition(".")
        space = {}
        exec(open(os.path.join(os.path.dirname(yaml_file), module + ".py")).read(), space)
        return space[name]

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", function)
    config = yaml.load(open(yaml_file), Loader)
    split = config.get("test_split") or config["validation_split"]
    for key in "tag", "dataset_name", "training_split", "metadata", "test_split":
        config.pop(key, None)
    config.update(task=task, dataset_path="json", validation_split=split,
                  dataset_kwargs={"data_files": {split: data}})
    return ConfigurableTask(config=config)


def metric_of(sample, metric):
    """A metric of `rbe eval comprehension` from what lm-eval logged of an item."""
    if metric != "log_odds":
        return float(sample[{"log_p": "perplexity"}.get(metric, metric)])
    log_p = [float(r[0]) for r in sample["filtered_resps"]]
    # Of WinoGrande, where the texts before the end differ, the target is the end.
    target = sample["target"]
    right = log_p.pop(target if isinstance(target, int) else int(sample["doc"]["answer"]) - 1)
    most = max(log_p)
    return right - most - math.log(sum(math.exp(x - most) for x in log_p))


def bound_of(metric, bound):
    """How far apart it may be where two log p may be `bound` apart."""
    return {"log_p": bound, "log_odds": 2 * bound}.get(metric, 0)
