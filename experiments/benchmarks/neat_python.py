"""What neat-python needs to be compared with: the same settings, the same networks, and the loops of its examples.

Everything is as its users do it, where that is not slower than need be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from math import exp
from pathlib import Path

try:
    import gymnasium
    import neat
except ImportError as error:
    raise SystemExit(f"{error}: this comparison needs pip install neat-python 'evosparse[gym]'") from None

from evosparse.topologies.genome import Interface, Topology
from evosparse.topologies.tasks.driving.cars import Cars
from evosparse.topologies.tasks.driving.environment import DrivingEnv
from evosparse.topologies.tasks.driving.task import Driving
from evosparse.topologies.tasks.gymnasium import Gymnasium

Network = neat.nn.FeedForwardNetwork
Episode = Callable[[Network, int], tuple[float, int]]  # of a network and a seed: fitness and steps

# The defaults of evosparse's NEAT in the words of neat-python: weights are drawn from -2.5 to 2.5; of 0.8 of them, nine
# of ten are perturbed by as much, and the others drawn again.
CONFIG = """
[NEAT]
fitness_criterion = max
fitness_threshold = 0
no_fitness_termination = True
pop_size = {population}
reset_on_extinction = False
[DefaultGenome]
num_inputs = {inputs}
num_hidden = 0
num_outputs = {outputs}
feed_forward = {feed_forward}
initial_connection = full_direct
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.4
conn_add_prob = 0.05
conn_delete_prob = 0
node_add_prob = 0.03
node_delete_prob = 0
activation_default = steep_sigmoid
activation_options = steep_sigmoid
activation_mutate_rate = 0
aggregation_default = sum
aggregation_options = sum
aggregation_mutate_rate = 0
enabled_default = True
enabled_mutate_rate = 0
response_init_mean = 1
response_init_stdev = 0
response_mutate_rate = 0
response_mutate_power = 0
response_replace_rate = 0
response_max_value = 30
response_min_value = -30
{weights}
[DefaultSpeciesSet]
compatibility_threshold = 3.0
[DefaultStagnation]
species_fitness_func = max
max_stagnation = 15
species_elitism = 2
[DefaultReproduction]
elitism = 1
survival_threshold = 0.2
min_species_size = 1
"""
WEIGHTS = {
    "init_mean": 0, "init_stdev": 1.25, "init_type": "uniform", "mutate_rate": 0.72, "mutate_power": 2.5 / 3**0.5,
    "replace_rate": 0.08, "max_value": 1000, "min_value": -1000,
}  # fmt: skip


def steep_sigmoid(z: float) -> float:
    """Return what neat-python's own sigmoid does, with NEAT's slope and no earlier bound than `exp` needs."""
    return 1.0 / (1.0 + exp(-max(-700.0, min(700.0, 4.9 * z))))


def config_of(face: Interface, population: int) -> neat.Config:
    """Return neat-python's configuration for networks of an interface; without a bias, nodes' own stay 0."""
    still = {} if face.bias else {"init_stdev": 0, "mutate_rate": 0, "replace_rate": 0}
    lines = [f"weight_{name} = {value}" for name, value in WEIGHTS.items()]
    lines += [f"bias_{name} = {value}" for name, value in (WEIGHTS | still).items()]
    sizes = {"population": population, "inputs": len(face.inputs), "outputs": len(face.outputs)}
    kinds = (neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet, neat.DefaultStagnation)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "neat.cfg"
        file.write_text(CONFIG.format(**sizes, feed_forward=not face.recurrent, weights="\n".join(lines)))
        config = neat.Config(*kinds, str(file))
    config.genome_config.add_activation("steep_sigmoid", steep_sigmoid)
    return config


def translated(topology: Topology, key: int, config: neat.Config) -> neat.DefaultGenome:
    """Return a genome of neat-python with the same connections; those from the bias become biases of nodes."""
    face, genome, settings = topology.interface, neat.DefaultGenome(key), config.genome_config

    def name(node: int) -> int:
        return -node - 1 if node < face.sources else node - face.sources if node < face.fixed else node

    for node in (*face.output_nodes, *topology.hidden.tolist()):
        genome.nodes[name(node)] = made = genome.create_node(settings, name(node))
        made.bias = 0.0
    columns = (topology.source, topology.target, topology.weight, topology.enabled, topology.innovation)
    for source, target, weight, enabled, innovation in zip(*(column.tolist() for column in columns), strict=True):
        if face.bias and source == face.sources - 1:
            genome.nodes[name(target)].bias = weight if enabled else 0.0
        else:
            genome.add_connection(settings, name(source), name(target), weight, enabled, innovation)
    return genome


def episode_on_cartpole(task: Gymnasium) -> Episode:
    """Return how neat-python's networks balance the pole: the loop of its examples."""
    environment = gymnasium.make(task.id, disable_env_checker=True)  # as evosparse does

    def play(network: Network, seed: int) -> tuple[float, int]:
        seen, _ = environment.reset(seed=seed)
        total, steps, done = 0.0, 0, False
        while not done:
            # Numbers of Python, with which neat-python calculates several times as fast as with those of numpy.
            outputs = network.activate(seen.tolist())
            seen, reward, terminated, truncated, _ = environment.step(outputs.index(max(outputs)))
            total, steps, done = total + float(reward), steps + 1, terminated or truncated
        return total, steps

    return play


def episode_by_environment(task: Driving) -> Episode:
    """Return how neat-python's networks drive on all tracks, each an environment of Gymnasium."""
    environments = [DrivingEnv(track, task.car, task.steps) for track in task.tracks]

    def play(network: Network, seed: int) -> tuple[float, int]:
        total, steps = 0.0, 0
        for environment in environments:
            seen, info = environment.reset(seed=seed)
            done = False
            while not done and info["laps"] < task.laps:
                outputs = network.activate(seen.tolist())
                seen, _, crashed, cut, info = environment.step(outputs.index(max(outputs)))
                steps, done = steps + 1, crashed or cut
            total += min(info["laps"], task.laps)
        return total / len(environments), steps

    return play


def episode_by_cars(task: Driving) -> Episode:
    """Return how neat-python's networks drive on all tracks by way of batches of one car."""
    batches = [Cars([track], task.car, 1) for track in task.tracks]

    def play(network: Network, seed: int) -> tuple[float, int]:
        total, steps = 0.0, 0
        for cars in batches:
            cars.reset([0])
            driven, left = 0.0, task.steps
            while left and driven < task.laps and not cars.crashed[0]:
                outputs = network.activate(cars.observations()[0].tolist())
                cars.step([outputs.index(max(outputs))])
                driven, left = float(cars.laps[0]), left - 1
            total, steps = total + min(driven, task.laps), steps + task.steps - left
        return total / len(batches), steps

    return play
