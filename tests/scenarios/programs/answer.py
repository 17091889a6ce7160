"""A program that knows nothing but the protocol: it answers each instance with its last word."""

import json
import sys


def answer(instances):
    return [" ".join(instance["input"].split()[-1:]) for instance in instances]


def say(text):
    print(text, flush=True)


for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, list):
        say("this line is no reply")
        say(json.dumps(answer(asked)))
        continue
    with open(asked["offline_data_path"]) as data:
        instances = [json.loads(row) for row in data]
    say("Model and data loaded. Start the timer.")
    outputs = answer(instances[: asked["limit"]])
    say("Offiline prediction done. Stop the timer.")
    with open(asked["offline_output_path"], "w") as file:
        file.writelines(json.dumps({"output": output}) + "\n" for output in outputs)
    say("Offiline outputs written. Exit.")
