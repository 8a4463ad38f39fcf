"""What experiments/cluster/README.md says can be done: its commands exist, and its manifests hold together."""

from __future__ import annotations

import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
import typer
import yaml
from ray.scripts.scripts import cli as ray

from evosparse.cli import app
from evosparse.engine.spec import CampaignSpec, read

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "experiments" / "cluster"
PAGE = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", "").splitlines()]
MANIFEST = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())["spec"]
CLUSTER = MANIFEST["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
PODS = [group["template"]["spec"] for group in GROUPS]
RAY = [line for line in LINES if line.startswith("ray ")]
EVOSPARSE = [last for line in LINES if (last := line.rpartition(" -- ")[2]).startswith("evosparse ")]
IN_TEXT = [span for span in re.findall(r"`([^`\n]+)`", PAGE) if span.startswith("evosparse resume")]
ALL = [*EVOSPARSE, *IN_TEXT, MANIFEST["entrypoint"]]


def test_the_page_shows_every_way() -> None:
    starts = [" ".join(line.split()[:2]) for line in RAY]
    assert {"ray start", "ray status", "ray stop", "ray job", "ray get-auth-token"} == set(starts)
    assert {command.split()[1] for command in ALL} == {"run", "resume"}
    assert any("gpus_per_worker=0.5" in command for command in EVOSPARSE)


@pytest.mark.parametrize("command", ALL)
def test_every_evosparse_command_is_valid(command: str) -> None:
    values = parsed(typer.main.get_command(app), command)
    if command.split()[1] == "run":
        # In a job the folder is the working directory, on Kubernetes that of the ConfigMap.
        file = next(PROJECT.glob(f"experiments/{values['file'].name}"))
        assert isinstance(read(file, values["overrides"]), CampaignSpec)
    assert values["address"] in ("auto", "10.0.0.1:6379")


@pytest.mark.parametrize("command", RAY)
def test_every_ray_command_is_valid(command: str) -> None:
    assert parsed(ray, command.partition(" > ")[0]) is not None


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        parsed(ray, "ray start --heads")
    with pytest.raises(Exception, match="--adress"):
        parsed(typer.main.get_command(app), "evosparse run campaign.yaml --adress auto")


def test_every_file_that_the_page_names_exists() -> None:
    named = [PROJECT / name for name in re.findall(r"experiments/[\w./-]+", PAGE)]
    linked = [FOLDER / name for name in re.findall(r"\]\(([\w.-]+)\)", PAGE)]
    assert named and linked
    assert [path for path in named + linked if not path.exists()] == []


def test_all_pods_have_the_image_that_the_page_builds() -> None:
    (built,) = re.findall(r"docker build .* -t (\S+) \.", PAGE)
    assert {container["image"] for pod in PODS for container in pod["containers"]} == {built}
    project = ConfigParser()
    project.read(PROJECT / "setup.cfg")
    assert built.endswith(":" + project["metadata"]["version"])
    assert f"FROM rayproject/ray:{CLUSTER['rayVersion']}-py3" in (FOLDER / "Dockerfile").read_text()


def test_the_head_finds_the_campaign_and_keeps_the_results() -> None:
    head = PODS[0]
    sources = {volume["name"]: volume for volume in head["volumes"]}
    mounts = {mount["mountPath"]: sources[mount["name"]] for mount in head["containers"][0]["volumeMounts"]}
    words = shlex.split(MANIFEST["entrypoint"])
    claim = yaml.safe_load((FOLDER / "runs-volume.yaml").read_text())
    results = mounts[str(Path(words[words.index("--out") + 1]).parent)]
    assert results["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    configuration = mounts[str(Path(words[2]).parent)]["configMap"]["name"]
    assert f"kubectl create configmap {configuration} --from-file=experiments/{Path(words[2]).name}" in PAGE


def test_workers_have_whole_cpus_and_gpus_and_fixed_numbers() -> None:
    kinds = set()
    for group in CLUSTER["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]  # workers are counted once
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]
        assert int(resources["limits"]["cpu"]) >= 1
        kinds.add(int(resources["limits"].get("nvidia.com/gpu", 0)))
    assert kinds == {0, 1}


def parsed(command: click.Command, line: str) -> dict[str, object]:
    """Parse a command line down to its last subcommand, and run nothing."""
    name, *words = shlex.split(line)
    while hasattr(command, "get_command"):
        name = words.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"no command {name!r} in {line!r}"
    return command.make_context(name, words).params
