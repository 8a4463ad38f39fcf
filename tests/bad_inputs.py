"""What a user can get wrong: campaign files, overrides, data, run directories, places and plug-ins, a case for each."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evosparse.engine.campaign import Campaign
from evosparse.engine.spec import read

GOOD = """
name: good
kind: masks
data: wine
network: {name: mlp, hidden: [8]}
search: {method: kstarts, k: 2, judged_by: accuracy, train_during: masked}
evaluation: {workers: 0}
examination: {epochs: 1, seeds: 1, members: 0, baselines: []}
"""
ACTIVATIONS = """
name: functions
kind: activations
data: wine
network: {name: mlp, hidden: [8, 8, 8]}
functions: {constants: [0.5]}
search: {method: coevolution, n: 2}
fitness: {epochs: 1}
evaluation: {workers: 0}
examination: {epochs: 2, seeds: 2, baselines: [relu(x)]}
"""
FITNESS = "from evosparse import fitness\n\n\n@fitness(maximize='x')\ndef f(mask, share=0.5):\n    return share\n"
CLASS = """from evosparse import Fitness


class F(Fitness):
    objectives = {'x': 'max'}

    def evaluate(self, genomes, seeds):
        return [{'x': 1.0} for _ in genomes]

"""


@dataclass(frozen=True)
class Case:
    """One thing that a user can get wrong.

    Args:
        name: what it is.
        words: the command, with its arguments; ``good.yaml`` is a valid campaign file and ``run`` a finished campaign.
        told: what the error must tell: where, what was expected or came, and how to mend it.
        prepare: makes the bad thing in the current folder.
    """

    name: str
    words: tuple[str, ...]
    told: tuple[str, ...]
    prepare: Callable[[], object] = lambda: None


def file(name: str, content: str | bytes) -> Callable[[], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda: Path(name).write_bytes(data)


def campaign(name: str, content: str | bytes, *told: str) -> Case:
    """A whole campaign file that is wrong."""
    return Case(name, ("run", "bad.yaml"), ("bad.yaml", *told), file("bad.yaml", content))


def override(name: str, text: str, *told: str) -> Case:
    """An override that is wrong, on a campaign file that is right."""
    return Case(name, ("run", "good.yaml", "--set", text), told)


def changed(name: str, old: str, new: str, *told: str) -> Case:
    """A campaign file with one thing wrong."""
    assert old in GOOD
    return campaign(name, GOOD.replace(old, new), *told)


def functions(name: str, text: str, *told: str) -> Case:
    """An override that is wrong, on a campaign file about activation functions that is right."""
    words = ("run", "functions.yaml", "--set", text)
    return Case(name, words, told, file("functions.yaml", ACTIVATIONS))


def own_function(name: str, stem: str, source: str, *told: str, more: str = "") -> Case:
    """A user's function that is no primitive, or cannot be used as one."""
    words = ("run", "functions.yaml", "--set", f"functions={{primitives: [max, '{stem}.py:f']{more}}}")

    def prepare() -> None:
        Path("functions.yaml").write_text(ACTIVATIONS)
        Path(f"{stem}.py").write_text(source)

    return Case(name, words, told, prepare)


def data(name: str, path: str, *told: str, prepare: Callable[[], object] = lambda: None, more: str = "") -> Case:
    """A data file that is wrong."""
    return Case(name, ("run", "good.yaml", "--set", f"data={{name: {path}{more}}}"), told, prepare)


def arrays(name: str, **values: object) -> Callable[[], object]:
    return lambda: np.savez(name, **values)


def plugin(name: str, reference: str, *told: str, prepare: Callable[[], object] = lambda: None, more: str = "") -> Case:
    """A fitness that is wrong."""
    options = ("--set", f"fitness={{function: '{reference}'{more}}}")
    return Case(name, ("run", "good.yaml", *options), told, prepare)


def network(name: str, stem: str, source: str, *told: str, reference: str = "make") -> Case:
    """A user's network that is wrong."""
    words = ("run", "good.yaml", "--set", f"network={{module: '{stem}.py:{reference}'}}")
    return Case(name, words, (stem, *told), file(f"{stem}.py", source))


def run(name: str, command: str, prepare: Callable[[], object], *told: str, folder: str = "run") -> Case:
    """A run directory that is wrong."""
    return Case(name, (*command.split(), folder), told, prepare)


def sql(statement: str) -> Callable[[], object]:
    def change() -> None:
        with closing(sqlite3.connect("run/campaign.sqlite")) as connection, connection:
            connection.execute(statement)

    return change


def truncated() -> None:
    path = Path("run/campaign.sqlite")
    os.truncate(path, path.stat().st_size // 2)


def of_something_else() -> None:
    Path("run/campaign.sqlite").unlink()
    with closing(sqlite3.connect("run/campaign.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


def unborn() -> None:
    Campaign.from_spec(read(Path("good.yaml")), Path("unborn"), Path.cwd()).close()


def on_other_data() -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        np.savez("own.npz", x=rng.random((60, 4), dtype=np.float32), y=np.arange(60) % 3)
        if not number:
            Campaign.from_spec(read(Path("good.yaml"), ["data=own.npz"]), Path("other"), Path.cwd()).close()


def plugin_gone() -> None:
    Path("gone_fitness.py").write_text(FITNESS)
    spec = read(Path("good.yaml"), ["fitness=gone_fitness.py:f"])
    Campaign.from_spec(spec, Path("gone"), Path.cwd()).close()
    Path("gone_fitness.py").unlink()
    del sys.modules["gone_fitness"]


BOMB = "a: &a [0,0,0,0,0,0,0,0,0,0]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcde", "bcdef")
)
CAMPAIGNS = [
    Case("no such file", ("run", "nowhere.yaml"), ("nowhere.yaml", "where nothing is", "check the path")),
    Case("a folder for a file", ("run", "run"), ("run: expected a campaign file", "got a directory")),
    campaign("empty file", "", "got an empty file", "begin with"),
    campaign("only a comment", "# nothing\n", "got an empty file"),
    campaign("a list", "- name: x\n", "expected lines 'key: value'", "begin with"),
    campaign("not UTF-8", b"name: caf\xe9\n", "expected UTF-8 text", "0xe9", "save the file as UTF-8"),
    campaign("an image", b"\x89PNG\r\n\x1a\n\0\0\0", "expected UTF-8 text"),
    campaign("an open bracket", "name: x\nsearch: {k: 3\n", "expected valid YAML", "line", "brackets"),
    campaign("a tab for indentation", "name: x\nsearch:\n\tk: 3\n", "line 3", "expected valid YAML", "indentation"),
    campaign("a repeated key", GOOD + "name: again\n", "expected each key once", "'name'", "remove one"),
    campaign("a Python object", "name: !!python/object/apply:os.system [ls]\n", "expected plain values", "remove it"),
    campaign("exploding aliases", BOMB, "expected at most 100,000 values", "aliases"),
    campaign("unknown key", GOOD + "serach: {k: 3}\n", "serach: unknown key", "did you mean 'search'?"),
    changed("unknown key of a method", "k: 2", "sparcity: 0.9", "search.sparcity", "did you mean 'sparsity'?"),
    changed("unknown kind", "kind: masks", "kind: mask", "kind: expected", "'mask'", "did you mean 'masks'?"),
    changed("no kind", "kind: masks\n", "", "kind: expected", "got nothing"),
    changed("no name", "name: good\n", "", "name: expected", "got nothing; add it"),
    changed("a name that leads elsewhere", "name: good", "name: ../good", "name: expected a name for a folder"),
    changed("a number in quotes", "k: 2", "k: '2'", "search.k: expected a whole number", "'2'"),
    changed("no masks", "k: 2", "k: 0", "search.k", ">= 1", "got 0"),
    changed("nothing left", "k: 2", "k: 2, sparsity: 1.0", "search.sparsity", "< 1", "got 1.0"),
    changed("not a number", "k: 2", "k: 2, sparsity: .nan", "search.sparsity", "expected a finite number"),
    changed("unknown method", "kstarts", "kstart", "search.method", "'kstart'", "did you mean 'kstarts'?"),
    changed("layers without scores", "k: 2", "k: 2, scope: layer", "scope 'layer'", "set scope to 'global'"),
    changed("a range for one sparsity", "k: 2", "sparsity: [0.8, 0.9]", "search.sparsity: expected a number"),
    changed("widths of a named network", "name: mlp", "name: lenet300", "network", "hidden is for name: mlp"),
    changed("unknown network", "name: mlp, hidden: [8]", "name: resnet", "network.name", "mlp", "'resnet'"),
    changed("no layer width", "hidden: [8]", "hidden: [0]", "network.hidden[0]", ">= 1", "got 0"),
    changed("uneven GPUs", "workers: 0", "gpus_per_worker: 0.7", "gpus_per_worker", "1/n", "round it"),
    changed("no patience", "workers: 0", "timeout: 0", "evaluation.timeout", "> 0", "got 0"),
    changed("unknown baseline", "baselines: []", "baselines: [magic]", "examination.baselines[0]", "'magic'"),
    campaign("negative seed", GOOD + "seed: -1\n", "seed: expected a whole number", ">= 0", "got -1"),
    campaign("no generations", GOOD + "stop: {generations: 0}\n", "stop.generations", ">= 1", "got 0"),
    campaign("unknown optimizer", GOOD + "training: {optimizer: adamw3}\n", "training.optimizer", "'adamw3'", "sgd"),
    campaign("a section that is text", GOOD + "training: fast\n", "training: expected", "'fast'"),
]
OVERRIDES = [
    override("images of a table", "network=lenet5", "network lenet5: expected images", "(13,)", "use an mlp"),
    override("no value", "search.k", "--set search.k", "expected KEY=VALUE", "write for instance"),
    override("no key", "=3", "--set =3", "expected KEY=VALUE"),
    override("a key with a hole", "search..k=3", "--set search..k=3", "expected KEY=VALUE"),
    override("an unknown key", "search.kk=3", "--set search.kk=3", "unknown key", "did you mean 'k'?"),
    override("through a value", "name.first=3", "name: expected a section, got 'good'", "as a whole"),
    override("half a list", "network.hidden=[3", "--set network.hidden=[3", "expected valid YAML"),
    override("text for a number", "search.k=many", "--set search.k=many", "expected a whole number", "'many'"),
    Case("negative workers", ("run", "good.yaml", "--workers", "-1"), ("'--workers'", "greater than or equal to 0")),
    Case("workers in words", ("run", "good.yaml", "--workers", "two"), ("'--workers'", "a valid integer")),
    Case("unknown option", ("run", "good.yaml", "--worker", "2"), ("--worker", "--workers")),
    Case("unknown command", ("rum", "good.yaml"), ("rum", "run")),
    Case("no file", ("run",), ("Missing argument", "FILE")),
    Case("an address without a port", ("run", "good.yaml", "--address", "head-node"), ("head-node", "HOST:PORT")),
    Case("an address of nobody", ("run", "good.yaml", "--address", "127.0.0.1:1"), ("127.0.0.1:1",)),
]
DATA = [
    data("no such data file", "nowhere.npz", "there is no file nowhere.npz", "looked for", "a relative path"),
    data("no such suffix", "./notes.txt", ".npz or .csv", "'.txt'", prepare=file("notes.txt", "x")),
    data("text called .npz", "a.npz", "a.npz", "not a readable .npz", prepare=file("a.npz", "a,b\n1,2\n")),
    data("half a file", "a.npz", "a.npz", "not a readable .npz", prepare=file("a.npz", b"PK\x03\x04" + b"\0" * 50)),
    data("pickled objects", "a.npz", "without objects", prepare=arrays("a.npz", x=np.array([{}] * 9), y=np.zeros(9))),
    data("unknown keys", "a.npz", "x_train", "images", prepare=arrays("a.npz", images=np.zeros(3))),
    data("unequal lengths", "a.npz", "9", "8", prepare=arrays("a.npz", x=np.zeros((9, 2)), y=np.arange(8) % 2)),
    data("one class", "a.npz", "a.npz", "class", prepare=arrays("a.npz", x=np.random.rand(40, 2), y=np.zeros(40, int))),
    data("infinite values", "a.npz", "a.npz", prepare=arrays("a.npz", x=np.full((40, 2), np.inf), y=np.arange(40) % 2)),
    data("empty .csv", "a.csv", "a.csv", "the file is empty", prepare=file("a.csv", "")),
    data("only a header", "a.csv", "a.csv", "no line below the header", prepare=file("a.csv", "a,b,class\n")),
    data("no header", "a.csv", "expected a header line", "only numbers", prepare=file("a.csv", "1,2,0\n3,4,1\n")),
    data("a short line", "a.csv", "a.csv, line 3", "expected 3 cells", prepare=file("a.csv", "a,b,c\n1,2,x\n3,4\n")),
    data("no class", "a.csv", "a.csv, line 2", "class is missing", prepare=file("a.csv", "a,b,c\n1,2,\n3,4,y\n")),
    data(
        "a wrong column", "a.csv", "no column 'clas'", "did you mean 'class'?", more=", target: clas",
        prepare=file("a.csv", "a,class\n1,x\n2,y\n"),
    ),  # fmt: skip
    data("a malformed OpenML name", "'openml:iris@two'", "openml:iris@two", "openml:NAME@VERSION"),
    data("a name that is nowhere", "digit", "no data set 'digit'", "did you mean 'digits'?", "Ways to give one"),
    data("more for validation than there is", "wine", "validation", "5000", more=", validation: 5000"),
    data("no share", "wine", "data.validation", "a fraction between 0 and 1", "1.5", more=", validation: 1.5"),
]
RUNS = [
    run("nothing there", "hof", lambda: None, "nowhere: expected a run directory", "evosparse list", folder="nowhere"),
    run("a file for a run", "show", lambda: None, "expected a run directory, got a file", folder="good.yaml"),
    run("a folder", "digest", lambda: Path("empty").mkdir(), "without campaign.sqlite", folder="empty"),
    run("half a database", "hof", truncated, "campaign.sqlite is damaged", "restore it"),
    run("half a database, resumed", "resume", truncated, "campaign.sqlite is damaged", "restore it"),
    run("no database", "digest", file("run/campaign.sqlite", "text " * 300), "that is no database", "restore it"),
    run("an empty file", "lineage", file("run/campaign.sqlite", ""), "expected the database of a campaign", "empty"),
    run("a database of something else", "hof", of_something_else, "of another program (with bookmarks)"),
    run("of a newer version", "resume", sql("PRAGMA user_version = 99"), "got schema 99", "upgrade evosparse"),
    run("without a table", "hof", sql("DROP TABLE hall_of_fame"), "expected a table 'hall_of_fame'", "damaged"),
    run("damaged measures", "show", sql("UPDATE candidate SET measures = '{'"), "damaged", "restore it"),
    run("damaged genomes", "hof", sql("UPDATE genome SET data = x'00'"), "expected the bytes of a mask", "got 1 bytes"),
    run("genomes exchanged", "verify", sql("UPDATE genome SET key = 'f00' || id"), "expected the genome f00"),
    run("of an unknown kind", "show", sql("UPDATE campaign SET document = replace(document, 'masks', 'graphs')"),
        "'graphs'", "masks"),
    run("a document that is no campaign", "verify", sql("UPDATE campaign SET document = '{\"kind\": \"masks\"}'"),
        "run: name: expected", "got nothing"),
    run("a read-only folder", "resume", lambda: Path("run").chmod(0o555), "run is read-only", "permissions"),
    run("a read-only file", "resume", lambda: Path("run/campaign.sqlite").chmod(0o444), "is read-only", "permissions"),
    run("resumed as another search", "resume --set search.sparsity=0.5", lambda: None,
        "not with another search", "search.sparsity: 0.9 -> 0.5", "undo these changes"),
    run("resumed with another seed", "resume --set seed=7", lambda: None, "seed: 0 -> 7", "run a new campaign"),
    run("resumed with an unknown key", "resume --set stop.generation=7", lambda: None, "did you mean 'generations'?"),
    run("resumed for no generations", "resume --generations 0", lambda: None, "'--generations'", "than or equal to 1"),
    run("resumed on other data", "resume", on_other_data, "expected the data that the campaign began with",
        "restore the data", folder="other"),
    run("resumed without its plug-in", "resume", plugin_gone, "'gone_fitness.py' not found", "mend", folder="gone"),
    run("an empty Hall of Fame", "show", unborn, "the Hall of Fame is empty", "uid", folder="unborn"),
    run("a uid before any generation", "show unborn", unborn, "'0.0'", "no generation was committed", folder="0.0"),
    run("a list of nothing", "list", lambda: None, "expected a folder of run directories", folder="nowhere"),
    run("a list of a file", "list", lambda: None, "got a file", folder="good.yaml"),
    Case("an unknown uid", ("show", "run", "9.9"), ("run: expected the uid of a candidate, got '9.9'", "0.0 to 0.1")),
    Case("a uid in words", ("lineage", "run", "first"), ("got 'first'", "name one from")),
    Case("an uid to verify", ("verify", "run", "0.2"), ("got '0.2'", "name one from")),
    Case("no place in the Hall of Fame", ("hof", "run", "--top", "0"), ("'--top'", "greater than or equal to 1")),
]  # fmt: skip
PLACES = [
    Case("a place with a campaign", ("run", "good.yaml", "--out", "run"), ("run: holds a campaign already", "resume")),
    Case("a place with something", ("run", "good.yaml", "--out", "."), ("expected an empty folder", "another place")),
    Case("a place that is a file", ("run", "good.yaml", "--out", "good.yaml"), ("expected a place", "got a file")),
    Case("a place below a file", ("run", "good.yaml", "--out", "good.yaml/x"), ("good.yaml/x",)),
    Case("a place that is read-only", ("run", "good.yaml", "--out", "locked/x/y"), ("locked is read-only",),
         lambda: Path("locked").mkdir(0o555)),
    Case("an export of nobody", ("export", "run", "7.7"), ("got '7.7'", "name one from")),
    Case("an export to nowhere", ("export", "run", "-o", "no/x.safetensors"), ("no is none", "make it first")),
    Case("an export to a folder", ("export", "run", "-o", "run"), ("got a folder", ".safetensors")),
    Case("an export over the database", ("export", "run", "-o", "run/campaign.sqlite"), ("ends in .safetensors",)),
    Case("an export in another form", ("export", "run", "-o", "best.onnx"), ("ends in .safetensors", "'best.onnx'")),
    Case("an export to a read-only run", ("export", "run"), ("run is read-only", "use -o"),
         lambda: Path("run").chmod(0o555)),
]  # fmt: skip
PLUGINS = [
    plugin("no such plug-in file", "nowhere.py:f", "'nowhere.py' not found", "looked for", "mend the path"),
    plugin("no such module", "nowhere.to.be.found:f", "no module named 'nowhere'", "install it or mend the name"),
    plugin("no such name", "fine_fitness.py:g", "has no 'g'", "f)", prepare=file("fine_fitness.py", FITNESS)),
    plugin("no colon", "calm.py", "expected 'module:name' or 'path/to/file.py:name'", "got 'calm.py'"),
    plugin("nothing behind the colon", "calm.py:", "expected 'module:name'", "got 'calm.py:'"),
    plugin("a path without .py", "plugins/calm:f", "the place 'plugins/calm'", "ends in .py"),
    plugin("no fitness", "plain_function.py:f", "plain_function:f is no fitness", "@evosparse.fitness",
           prepare=file("plain_function.py", "def f(mask):\n    return 1.0\n")),
    plugin("a number", "plain_number.py:f", "is no fitness", prepare=file("plain_number.py", "f = 3\n")),
    plugin("an unknown parameter", "spare_fitness.py:f", "takes no parameter 'shar'", "did you mean 'share'?",
           prepare=file("spare_fitness.py", FITNESS), more=", parameters: {shar: 1}"),
    plugin("a parameter that is missing", "needy_fitness.py:f", "does not accept", "'share'",
           prepare=file("needy_fitness.py", FITNESS.replace("=0.5", ""))),
    plugin("a function of nothing", "empty_fitness.py:f", "does not accept", "one genome",
           prepare=file("empty_fitness.py", FITNESS.replace("mask, share=0.5", ""))),
    plugin("a syntax error", "wrong_syntax.py:f", "fails on import: SyntaxError", "line 1", "mend it",
           prepare=file("wrong_syntax.py", "def f(:\n")),
    plugin("an error at import", "raising_import.py:f", "fails on import: ZeroDivisionError",
           prepare=file("raising_import.py", "1 / 0\n")),
    plugin("an exit at import", "leaving_import.py:f", "fails on import: SystemExit: 0",
           prepare=file("leaving_import.py", "import sys\nsys.exit(0)\n")),
    plugin("a library that is missing", "wanting_import.py:f", "no module named 'tensorfloh'", "install it",
           prepare=file("wanting_import.py", "import tensorfloh\n")),
    plugin("the name of a library", "json.py:f", "json.py has the name of another module", "rename the file",
           prepare=file("json.py", FITNESS)),
    plugin("the name of a built-in module", "sys.py:f", "sys.py has the name of another module", "rename the file",
           prepare=file("sys.py", FITNESS)),
    plugin("a name that Python cannot import", "my-fitness.py:f", "'my-fitness.py' cannot be imported", "rename it",
           prepare=file("my-fitness.py", FITNESS)),
    plugin("no objective", "aimless.py:f", "fails on import: PluginError", "at least one objective",
           prepare=file("aimless.py", FITNESS.replace("maximize='x'", ""))),
    plugin("half a class", "half_class.py:F", "half_class:F is no whole fitness", "define evaluate",
           prepare=file("half_class.py", CLASS.partition("    def evaluate")[0])),
    plugin("a class that cannot be made", "angry_class.py:F", "cannot be made", "ValueError: no share",
           prepare=file("angry_class.py", CLASS + "    def __init__(self):\n        raise ValueError('no share')\n")),
    plugin("a class without objectives", "vague_class.py:F", "objectives = {'accuracy': 'max'}", "got None",
           prepare=file("vague_class.py", CLASS.replace("objectives", "aims"))),
    plugin("an objective of no direction", "upward_class.py:F", "direction", "got {'x': 'up'}",
           prepare=file("upward_class.py", CLASS.replace("'max'", "'up'"))),
    Case("layers with a fitness of one's own", ("run", "good.yaml", "--set", "fitness=own_layers.py:f", "--set",
         "search={method: kstarts, scope: layer}"), ("search.scope", "set 'global'"), file("own_layers.py", FITNESS)),
    network("no such factory", "net_name", "make_it = 1\n", "has no 'make'", "did you mean 'make_it'?"),
    network("a factory that is a number", "net_number", "make = 3\n", "expected a callable factory", "int"),
    network("a factory that fails", "net_fails", "def make(shape):\n    return None\n", "fails when called",
            "factory(input_shape, classes, **parameters)"),
    network("no module", "net_none", "def make(shape, classes):\n    return 3\n", "returns a torch.nn.Module, got int"),
    network("the wrong outputs", "net_outputs", "from torch import nn\n\n\ndef make(shape, classes):\n"
            "    return nn.Sequential(nn.Linear(13, 7))\n", "expected logits", "(2, 7)", "of 3 outputs"),
]  # fmt: skip
FUNCTIONS = [
    functions("no method over functions", "search.method=coevolve", "search.method", "did you mean 'coevolution'?"),
    functions("no generations of functions", "search.n=0", "search.n: expected a whole number >= 1", "got 0"),
    functions("a key of another method", "search.trials=2", "search.trials: unknown key", "'coevolution'", "schedule"),
    functions("an unknown encoding", "search.encoding={name: grid}", "search.encoding.name", "'grid'", "cgp, tree"),
    functions("a key of another encoding", "search.encoding={name: cgp, height: 3}", "height: unknown key", "columns"),
    functions("depths the wrong way round", "search.encoding={name: tree, depth: [3, 1]}", "search.encoding: expected",
              "least <= greatest", "got [3, 1]"),
    functions("undecided about duplicates", "search.duplicates=maybe", "'structure' or 'behaviour'", "got 'maybe'"),
    functions("an unknown direction", "search.direction=minimise", "'legacy_minimise'", "did you mean 'maximise'?"),
    functions("half a formula", "search.baseline='relu(x'", "expected a formula of x", "'relu(x'", "write one such as"),
    functions("a formula of y", "examination.baselines=[relu(y)]", "'relu(y)': expected x", "got 'y': mend it"),
    functions("a formula that divides", "examination.baselines=[1 / x]", "'1 / x'", "+, -, * or a primitive"),
    functions("a formula of the unknown", "search={method: standard, functions: [rellu(x)]}", "'rellu(x)'",
              "unknown primitive 'rellu'", "did you mean 'relu'?"),
    functions("one argument of two", "search={method: standard, functions: [max(x)]}", "'max(x)'",
              "expected 2 arguments of max, got 1"),
    functions("no standard function", "search={method: standard, functions: []}", "search.functions", "at least 1"),
    functions("an unknown primitive", "functions.primitives=[max, tanj]", "functions.primitives: unknown primitive",
              "'tanj'", "did you mean 'tanh'?", "path/to/file.py:function"),
    functions("no primitive", "functions.primitives=[]", "functions.primitives", "got none"),
    functions("none but the excluded", "functions={primitives: [rrelu], rrelu: exclude}", "primitives", "got none"),
    functions("a primitive twice", "functions.primitives=[max, tanh, max]", "different names", "'max' twice"),
    functions("a constant twice", "functions.constants=[1, 1.0]", "functions.constants", "different numbers", "1.0"),
    functions("a constant beyond single precision", "functions.constants=[1e39]", "single precision", "1e+39"),
    functions("no layer for a function", "network.hidden=[]", "expected places for activation functions", "mlp hidden"),
    functions("a kernel of one function", "training.kernel=packed", "training.kernel: packed", "use dense or auto"),
    functions("parameters of no function", "fitness.parameters={share: 1}", "fitness: parameters", "none is named"),
    functions("epochs of another's fitness", "fitness={function: 'some.py:f', epochs: 2}", "fitness: epochs",
              "hand it over as a parameter"),
    functions("pixels of a table", "data={name: wine, resize: 8}", "data.resize", "images", "(178, 13)", "remove"),
    own_function("no such function", "own_missing", "g = 1\n", "own_missing.py has no 'f'", "(valid: g)"),
    own_function("a constant for a function", "own_number", "f = 3\n", "own_number.py:f", "a function", "got int"),
    own_function("three arguments", "own_three", "def f(x, y, z):\n    return x\n", "own_three.py:f",
                 "expected a function of one or two tensors", "(x, y, z)", "mend"),
    own_function("another shape", "own_shape", "def f(x):\n    return x.flatten()\n", "own_shape.py:f",
                 "the arguments' shape (2, 32), got (64,)", "mend"),
    own_function("numbers that look at others", "own_softmax", "def f(x):\n    return x.softmax(-1)\n",
                 "own_softmax.py:f", "in its own place", "mend"),
    own_function("a function that fails", "own_fails", "def f(x):\n    return x.swish()\n", "own_fails.py:f: fails",
                 "AttributeError", "mend"),
    own_function("compiled functions of one's own", "own_fine", "def f(x):\n    return x.sin()\n",
                 "functions.computation", "primitives of your own", "tensors or auto", more=", computation: compiled"),
]  # fmt: skip
CASES = [*CAMPAIGNS, *OVERRIDES, *DATA, *RUNS, *PLACES, *PLUGINS, *FUNCTIONS]
