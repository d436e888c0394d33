"""Keeps the evaluations of runs as a small CSV file, and prints a table: mean and standard deviation over the seeds.

    python tables.py OUT.csv METRIC,METRIC STEP,STEP,... RUN...

A RUN is a run directory. Runs whose settings differ in the seed alone are a row. Where a run has no record at a step yet, its row says over how
many seeds the figure is.
"""

import json
import statistics
import sys

out, metrics, steps, directories = sys.argv[1], sys.argv[2].split(","), [int(float(x)) for x in sys.argv[3].split(",")], sys.argv[4:]


def read(directory):
    with open(f"{directory}/config.json") as file:
        config = json.load(file)
    with open(f"{directory}/metrics.jsonl") as file:
        records = [json.loads(line) for line in file]
    algorithm = config["algorithm"]
    kind = algorithm.get("agent") or algorithm.get("policy") or algorithm["critic"]["architecture"]
    evaluations = [{name: round(record[name], 2) for name in ("step", *metrics) if name in record} for record in records if metrics[0] in record]
    return dict(environment=config["environment"], algorithm=f"{algorithm['name']} {kind}", seed=config["loop"]["seed"], evaluations=evaluations)


runs = [read(directory) for directory in directories]
with open(out, "w") as file:
    file.write(",".join(["environment", "algorithm", "seed", "step", *metrics]) + "\n")
    for run in runs:
        for record in run["evaluations"]:
            own = [run["environment"], run["algorithm"], run["seed"], record["step"], *(record.get(name, "") for name in metrics)]
            file.write(",".join(map(str, own)) + "\n")

print("| environment, metric | run | " + " | ".join(f"{step:,}" for step in steps) + " |\n|" + " --- |" * (len(steps) + 2))
for key in dict.fromkeys((run["environment"], run["algorithm"]) for run in runs):
    group = [run for run in runs if (run["environment"], run["algorithm"]) == key]
    for metric in metrics:
        cells = []
        for step in steps:
            values = [e[metric] for run in group for e in run["evaluations"] if e["step"] == step and metric in e]
            spread = f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            part = f" ({len(values)} of {len(group)})" if 0 < len(values) < len(group) else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}{part}" if values else "")
        print(f"| {key[0]}, {metric} | {key[1]}, {len(group)} | " + " | ".join(cells) + " |")
