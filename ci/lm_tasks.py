# lm_tasks.py - tasks of lm-evaluation-harness on files that are here.
#
# SPDX-License-Identifier: MIT
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
