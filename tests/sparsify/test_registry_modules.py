"""Every registered method on modules of a user's own: sparse as asked for, or refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from console import Evosparse
from sparsify_registry import EVERY_METHOD, quick
from torch import nn

import evosparse
from evosparse.data import DataSpec, SearchData, Train, Validation, load
from evosparse.errors import SpecError
from evosparse.nets import TrainingSpec

# A new method may refuse either module; of these it is known which they do with.
ANY_MODULE = {"dense", "magnitude", "lottery", "imp", "bimp", "snip", "gmp", "set", "rigl", "scl", "lsg"}
WHOLE_UNITS = {"i_spasp", "bernoulli_units"}
CHAINS = {"nn_relief", *WHOLE_UNITS}
LINEAR_CHAINS = {"ncg", "ctre_sim", "ctre_seq", "rigl_restarted"}
TAKEN = {"convolutional": ANY_MODULE | CHAINS, "residual": ANY_MODULE}
REFUSED = {"convolutional": LINEAR_CHAINS, "residual": CHAINS | LINEAR_CHAINS}


class Residual(nn.Module):
    """No chain: what the last layer reads comes from two others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 20), nn.Linear(20, 20), nn.Linear(20, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.flatten(1)).relu()
        return self.last(x + self.second(x).relu())


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 20), nn.ReLU(), nn.Dropout(0.1), nn.Linear(20, 10)
    )


@pytest.fixture(scope="module")
def images() -> SearchData:
    digits = load(DataSpec(name="digits")).search
    parts = ((digits.train, Train, 300), (digits.validation, Validation, 100))
    made = [kind(np.ascontiguousarray(part.x[:count].reshape(-1, 1, 8, 8)), part.y[:count].copy()) for part, kind, count in parts]
    return SearchData(*made, 10, (1, 8, 8))


@EVERY_METHOD
@pytest.mark.parametrize("form", ["convolutional", "residual"])
def test_a_user_s_module_is_made_sparse_or_refused(name: str, form: str, images: SearchData) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the values that the module gives itself
        module, training = {"convolutional": convolutional, "residual": Residual}[form](), TrainingSpec(batch=50)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    try:
        [made] = evosparse.sparsify(module, images, quick(name), 0.7, epochs=2, training=training)
    except SpecError as error:
        assert "expected" in str(error) and name not in TAKEN[form]
        return
    assert name not in REFUSED[form]
    size = sum(own.size for own in made.masks.values())
    kept, wanted = sum(int(own.sum()) for own in made.masks.values()), round(0.3 * size)
    assert kept == (size if quick(name).dense else wanted) or (name in WHOLE_UNITS and 0 < kept < wanted)
    own = made.module()
    assert type(own) is type(module)
    for layer, mask in made.masks.items():
        assert not own.get_parameter(f"{layer}.weight").detach().numpy()[~mask].any()
    answers = own(torch.from_numpy(images.validation.x)).argmax(dim=1).numpy()
    assert made.measures["validation_accuracy"] == pytest.approx((answers == images.validation.y).mean(), abs=0.011)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", sorted(CHAINS | {"ncg"}))
@pytest.mark.parametrize(
    "between", [(nn.Unflatten(1, (4, 10)), nn.AvgPool1d(2), nn.Flatten()), (nn.Unflatten(1, (20, 2)), nn.MaxPool1d(2), nn.Flatten())]
)
def test_methods_of_units_refuse_what_mixes_them(name: str, between: tuple[nn.Module, ...], images: SearchData) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), *between, nn.Linear(20, 10))
    with pytest.raises(SpecError, match="whole units of the one before, got 6 with 20 inputs behind 1 with 40 units"):
        evosparse.sparsify(module, images, name, 0.5, epochs=1)


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_methods_of_units_refuse_convolutions_in_groups(name: str, images: SearchData) -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    with pytest.raises(SpecError, match="whole units of the one before, got 2 with 1 inputs behind 0 with 8 units"):
        evosparse.sparsify(module, images, name, 0.5, epochs=1)
    [pruned] = evosparse.sparsify(module, images, "random", 0.5, epochs=1)
    with pytest.raises(SpecError, match="compact: expected layers that read whole units"):
        pruned.compact()


@pytest.mark.parametrize("name", sorted(CHAINS | {"ncg"}))
def test_a_search_does_not_begin_with_masks_of_a_method_that_cannot_do_with_the_network(
    name: str, tmp_path: Path, evosparse: Evosparse
) -> None:
    source = Path(__file__).read_text()
    body = source[source.index("class Residual") : source.index("def convolutional")]
    module = f"import torch\nfrom torch import nn\n\n\n{body}\n\ndef build(shape, classes):\n    return Residual()\n"
    (tmp_path / f"residual_{name}.py").write_text(module)
    file = tmp_path / "started.yaml"
    file.write_text(
        f"name: started\nkind: masks\ndata: digits\nnetwork: {{module: residual_{name}.py:build}}\n"
        f"search: {{method: genetic, sparsity: 0.7, start: [{name}]}}\n"
    )
    said = evosparse("run", file, "--out", tmp_path / "run")
    assert said.code == 2 and f"search.start: {name}: " in said.err and "expected a chain of layers" in said.err
    assert not (tmp_path / "run").exists()
