"""What a user can get wrong in a campaign over topologies: tasks, tracks, environments, methods, plug-ins.

A file beside `bad_inputs`, which has the other kinds and says what a case is.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bad_inputs import Case, file

TOPOLOGIES = """
name: grown
kind: topologies
task: xor
search: {method: neat, population: 6, generations: 2}
evaluation: {workers: 0}
examination: {seeds: 1}
"""
TASK = """from evosparse.topologies import Task, task


@task(inputs=2, outputs=1)
def f(networks, goal=1.0):
    return [goal] * len(networks)
"""
CLASS = "\n\nclass F(Task):\n    input_names = ('x',)\n    output_names = ('y',)\n"
FITNESS = "from evosparse import fitness\n\n\n@fitness({})\ndef f(topology):\n    return 1.0\n"


def grown(name: str, text: str, *told: str, prepare: Callable[[], object] = lambda: None) -> Case:
    """An override that is wrong, on a campaign file that is right."""

    def write() -> None:
        Path("grown.yaml").write_text(TOPOLOGIES)
        prepare()

    return Case(name, ("run", "grown.yaml", "--set", text), told, write)


def own_task(name: str, stem: str, source: str, *told: str, reference: str = "f", more: str = "") -> Case:
    """A task of a user's own that is wrong."""
    text = f"task={{name: custom, function: '{stem}.py:{reference}'{more}}}"
    return grown(name, text, *told, prepare=file(f"{stem}.py", source))


def track(name: str, path: str, *told: str, content: str | bytes | None = None) -> Case:
    """A track that is wrong."""
    prepare = (lambda: None) if content is None else file(path, content)
    return grown(name, f"task={{name: driving, tracks: ['{path}']}}", *told, prepare=prepare)


def environment(name: str, id: str, *told: str, more: str = "") -> Case:
    """An environment that is wrong."""
    return grown(name, f"task={{name: gymnasium, id: '{id}'{more}}}", *told)


TASKS = [
    grown("an unknown task", "task=xorr", "task", "'xorr'", "did you mean 'xor'?"),
    grown("a task without a name", "task={steps: 3}", "task", "name"),
    grown("an unknown key of a task", "task={name: xor, cases: 8}", "task.cases: unknown key"),
    grown("a key of another task", "task={name: double_pole, laps: 3}", "task.laps: unknown key", "steps"),
    grown("no step", "task={name: driving, steps: 0}", "task.steps", ">= 1", "got 0"),
    grown("no laps", "task={name: driving, laps: 0}", "task.laps", "> 0", "got 0"),
    grown("no track", "task={name: driving, tracks: []}", "task.tracks", "at least 1"),
    grown("a start nowhere", "task={name: driving, starts: middle}", "task.starts", "'middle'", "anywhere"),
    grown("actions that a car has not", "task={name: driving, car: {actions: fly}}", "task.car.actions", "'fly'"),
    grown("no data for a task", "task={name: supervised, data: digit}", "no data set 'digit'", "'digits'?"),
    grown("an unknown aim of a task", "task={name: supervised, aim: acuracy}", "task.aim", "'acuracy'", "log_loss"),
    track("an unknown track", "ovall", "'ovall'", "a built-in track", "did you mean 'oval'?"),
    track("a track of no seed", "generated:one", "a whole number as seed", "'one'"),
    track("no track file", "nowhere.csv", "nowhere.csv", "a readable text file with a track", "check the path"),
    track("a track of two points", "two.csv", "two.csv", "control points", content="x,y\n0,0\n9,9\n"),
    track("a track without y", "line.csv", "line.csv", "the columns x and y", content="x\n0\n9\n"),
    track("a track that is an image", "image.csv", "image.csv", "a readable text file", content=b"\x89PNG\r\n\xff\xfe"),
    track("a track of half a file", "half.json", "half.json", "expected JSON", content='{"control_points": [[0, 0]'),
    track("a road without width", "narrow.json", "narrow.json", "half_width",
          content='{"control_points": [[0, 0], [40, 0], [40, 30], [0, 30]], "half_width": 0}'),
]  # fmt: skip
SEARCHES = [
    grown("an unknown method over topologies", "search.method=neatt", "search.method", "'neat'"),
    grown("an unknown key of NEAT", "search.add_nodes=0.1", "search.add_nodes", "did you mean 'add_node'?"),
    grown("a negative rate", "search.add_node=-0.1", "search.add_node", ">= 0", "got -0.1"),
    grown("more than always", "search.mutation_only=1.5", "search.mutation_only", "<= 1", "got 1.5"),
    grown("a negative coefficient", "search.c3=-1", "search.c3", ">= 0", "got -1"),
    grown("no distance", "search.threshold=0", "search.threshold", "> 0", "got 0"),
    grown("nobody survives", "search.survival=0", "search.survival", "> 0"),
    grown("one network", "search.population=1", "search.population", ">= 2", "got 1"),
    grown("no generation of networks", "search.generations=0", "search.generations", ">= 1"),
    grown("an unknown function of hidden nodes", "search.hidden_function=[tanh, sigmod]", "search",
          "unknown function of a node 'sigmod'", "did you mean 'sigmoid'?"),
    grown("an unknown function of outputs", "search.output_function=sigmod", "search", "'sigmod'", "'sigmoid'"),
    grown("no function of nodes", "search.hidden_function=[]", "search", "hidden_function", "at least one", "got none"),
    grown("an unknown start", "search.start=minimum", "search.start", "did you mean 'minimal'?"),
    grown("a start of no hidden node", "search.start={form: random, hidden: 0}", "search.start.hidden", ">= 1"),
    grown("an unknown representative", "search.representative=frist", "search.representative", "'frist'", "first"),
    grown("no sweep", "search.sweeps=0", "search.sweeps", ">= 1", "got 0"),
    grown("text for a rate", "search.toggle=often", "search.toggle", "a number", "'often'"),
    grown("no first network", "examination.seeds=0", "examination.seeds", ">= 1"),
    grown("an unknown baseline of networks", "examination.baselines=[random]", "examination.baselines[0]", "'random'"),
]  # fmt: skip
ENVIRONMENTS = [
    environment("an unknown environment", "CartPol-v1", "no environment 'CartPol-v1'", "did you mean 'CartPole-v1'"),
    environment("an environment of no module", "nowhere_envs:Belt-v0", "no module named 'nowhere_envs'", "mend"),
    environment("a parameter that an environment does not take", "CartPole-v1", "cannot make 'CartPole-v1'", "'gravit'",
                more=", parameters: {gravit: 1}"),
]  # fmt: skip
PLUGINS = [
    grown("no file of a task", "task=nowhere.py:f", "'nowhere.py' not found", "looked for", "mend the path"),
    own_task("no such task", "task_missing", TASK, "has no 'g'", "f", reference="g"),
    own_task("a task that is not marked", "task_plain", "def f(networks):\n    return 1\n", "task_plain:f is no task",
             "mark the function with @task"),
    own_task("a task that is a number", "task_number", "f = 3\n", "is no task"),
    own_task("half a task", "task_half", TASK + CLASS, "F is no whole task", "define evaluate", reference="F"),
    own_task("a parameter that a task does not take", "task_spare", TASK, "takes no parameter 'goals'",
             "did you mean 'goal'?", more=", parameters: {goals: 2}"),
    own_task("a parameter that a task needs", "task_needy", TASK.replace("=1.0", ""), "does not accept", "'goal'"),
    own_task("a task of no input", "task_inputs", TASK.replace("inputs=2", "inputs=0"), "fails on import",
             "at least one name"),
    own_task("a task that fails on import", "task_import", "1 / 0\n", "fails on import: ZeroDivisionError"),
    own_task("a task of two objectives", "task_two", TASK.replace("outputs=1", "outputs=1, maximize=('a', 'b')"),
             "expected one objective for search method neat", "got a, b"),
    own_task("no examination of a task", "task_once", TASK, "task.replicates", ">= 1", more=", replicates: 0"),
    grown("a task without a function", "task={name: custom}", "task.function", "got nothing"),
    grown("a fitness of two objectives", "fitness=two_aims.py:f", "expected one objective for search method neat",
          "got a, b", prepare=file("two_aims.py", FITNESS.format("maximize=('a', 'b')"))),
    grown("parameters of no fitness of networks", "fitness.parameters={price: 1}", "fitness", "none is named"),
]  # fmt: skip
TOPOLOGY_CASES = [*TASKS, *SEARCHES, *PLUGINS, *(ENVIRONMENTS if find_spec("gymnasium") else [])]
