"""Ten steps of training in PyTorch, from given weights and batches: what dermflow must agree with.

Two models: a perceptron whose weights and points are made here, and a small EfficientNetV2 whose
weights and pictures dermflow makes. The losses before each of ten steps go into JSON files that
dermflow's own tests read, so that they need no PyTorch.

    python3 benches/peers/training_steps.py perceptron
    cargo run --release -p dermflow-nn --example ten_steps -- export FOLDER
    python3 benches/peers/training_steps.py network FOLDER
    cargo run --release -p dermflow-nn --example ten_steps -- compare FOLDER

Needs torch, timm and safetensors.
"""

import json
import pathlib
import sys

import torch
from timm.optim import RMSpropTF

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[1] / "crates/dermflow-nn/tests/data"
STEPS = 10
WEIGHT_DECAY = 0.01
RULES = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.005),
    "rmsprop": lambda groups: RMSpropTF(groups, lr=0.005, alpha=0.9, momentum=0.9, eps=1e-3),
}


def groups_of(model):
    """Weights decay; norms and biases (one dimension) don't."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def losses_of(model, rule, batches):
    """The loss of each batch before the step that it causes."""
    optimiser = RULES[rule](groups_of(model))
    losses = []
    for inputs, labels in batches:
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def perceptron():
    torch.manual_seed(20)
    first, last = torch.randn(2, 16) * 0.5, torch.randn(16, 3) * 0.5
    points, labels = torch.randn(STEPS, 20, 2), torch.randint(0, 3, (STEPS, 20))
    points = points + torch.nn.functional.one_hot(labels, 3)[..., :2] * 2.0

    def model():
        layers = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
        with torch.no_grad():
            layers[0].weight.copy_(first.T)
            layers[2].weight.copy_(last.T)
            layers[0].bias.zero_()
            layers[2].bias.zero_()
        return layers

    batches = list(zip(points, labels))
    numbers = lambda tensor: [float(f"{value:.9g}") for value in tensor.flatten().tolist()]
    found = {
        "made by": f"benches/peers/training_steps.py, PyTorch {torch.__version__}",
        "weights": numbers(first) + numbers(last),
        "points": [numbers(batch) for batch in points],
        "labels": labels.tolist(),
        "losses": {rule: losses_of(model(), rule, batches) for rule in RULES},
    }
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / "perceptron_steps.json"
    path.write_text(json.dumps(found, separators=(",", ":")).replace("],", "],\n") + "\n")
    for rule, losses in found["losses"].items():
        print(f"{rule:8} {losses[0]:.5f} -> {losses[-1]:.5f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["perceptron"]:
            perceptron()
        case _:
            sys.exit(__doc__)
