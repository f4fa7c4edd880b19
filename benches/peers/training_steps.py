"""Ten steps of training in PyTorch, from given weights and batches: what dermflow must agree with.

Two models: a perceptron whose weights and points are made here, and a small EfficientNetV2 whose
weights and pictures dermflow makes. The losses before each of ten steps go into JSON files that
dermflow's own tests read, so that they need no PyTorch.

    python3 benches/peers/training_steps.py perceptron
    cargo build --release -p dermflow-nn --example ten_steps
    python3 benches/peers/training_steps.py network target/release/examples/ten_steps

Needs torch, timm and safetensors.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from timm.models.efficientnet import _gen_efficientnetv2_base
from timm.optim import RMSpropTF

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[1] / "crates/dermflow-nn/tests/data"
STEPS = 10
WEIGHT_DECAY = 0.01
RULES = {
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr),
    "rmsprop": lambda groups, lr: RMSpropTF(groups, lr=lr, alpha=0.9, momentum=0.9, eps=1e-3),
}
PERCEPTRON_RATES = {"sgd": 0.05, "adamw": 0.005, "rmsprop": 0.005}
NETWORK_RATES = {"sgd": 0.002, "adamw": 0.001, "rmsprop": 0.001}


def groups_of(model):
    """Weights decay; norms and biases (one dimension) don't."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def losses_of(model, rule, rate, batches):
    """The loss of each batch before the step that it causes."""
    optimiser = RULES[rule](groups_of(model), rate)
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
        "losses": {rule: losses_of(model(), rule, PERCEPTRON_RATES[rule], batches) for rule in RULES},
    }
    write("perceptron_steps.json", found)


def network(program):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "export", folder], check=True)
        start = load_file(f"{folder}/start.safetensors")
        batches = load_file(f"{folder}/batches.safetensors")
    batches = list(zip(batches["pixels"].permute(0, 1, 4, 2, 3).contiguous(), batches["labels"]))
    found = {"made by": f"benches/peers/training_steps.py, PyTorch {torch.__version__}", "losses": {}, "outputs": {}}
    for rule in RULES:
        model = _gen_efficientnetv2_base(
            "efficientnetv2_small_data", channel_multiplier=0.25, depth_multiplier=0.34,
            num_classes=3, drop_rate=0.0, drop_path_rate=0.0, bn_eps=1e-3, pad_type="same",
        )
        model.load_state_dict(start)
        model.train()
        found["losses"][rule] = losses_of(model, rule, NETWORK_RATES[rule], batches)
        model.eval()
        with torch.no_grad():
            found["outputs"][rule] = model(batches[0][0]).flatten().tolist()
    write("network_steps.json", found)
    ours = json.loads(subprocess.run([program, "losses"], check=True, capture_output=True).stdout)
    for rule, theirs in found["losses"].items():
        errors = [abs(a - b) / b for a, b in zip(ours["losses"][rule], theirs)]
        scale = max(map(abs, found["outputs"][rule]))
        apart = max(abs(a - b) / scale for a, b in zip(ours["outputs"][rule], found["outputs"][rule]))
        print(f"{rule:8} largest relative error of a loss {max(errors):.1e}, of an output {apart:.1e}")


def write(name, found):
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / name).write_text(json.dumps(found, separators=(",", ":")).replace("],", "],\n") + "\n")
    for rule, losses in found["losses"].items():
        print(f"{rule:8} {losses[0]:.5f} -> {losses[-1]:.5f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["perceptron"]:
            perceptron()
        case ["network", program]:
            network(program)
        case _:
            sys.exit(__doc__)
