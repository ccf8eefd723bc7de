"""Training: pre-train the backbone, then Algorithm 1 over episodes (paper Alg. 1, Sec. 4.1; chapter 6)."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from .backbones import VGG16
from .datasets import SegmentationDataset, write_atomically
from .episodes import EpisodeSampler, episode_labels
from .matching import match, segmentation_loss
from .model import PANet


@dataclass(frozen=True)
class Recipe:
    """How to train on episodes; the defaults are the paper's (Sec. 4.1)."""

    iterations: int = 30_000
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    milestones: tuple[int, ...] = (10_000, 20_000, 30_000)  # the rate falls to a tenth at each
    lambda_par: float = 1.0  # "different values give little improvement"
    ways: int = 1
    shots: int = 1
    episodes_per_step: int = 1  # the paper's batch size; more is another, smoother optimisation
    seed: int = 0


PAPER = Recipe()
# The narrow twin is trained from scratch on a laptop: fewer and smoother steps, a larger rate.
LAPTOP = Recipe(iterations=1_500, learning_rate=3e-3, milestones=(1_000,), episodes_per_step=4)


@dataclass(frozen=True)
class PretrainRecipe:
    """Dense classification of the base classes from random weights: the stand-in for ILSVRC."""

    iterations: int = 1_600
    learning_rate: float = 2e-3  # of AdamW, one cycle
    weight_decay: float = 1e-2
    batch: int = 16
    scale: tuple[float, float] = (0.4, 1.0)  # share of the image that a random crop shows
    jitter: float = 0.3  # brightness, contrast, saturation
    seed: int = 0


def base_classes(dataset: SegmentationDataset, fold: int) -> list[int]:
    """The labels of the other three folds, on which a model for `fold` is trained (Sec. 4.1)."""
    test = dataset.fold(fold)
    return [c for f in dataset.folds for c in f if c not in test]


def stop_if_not_finite(losses: Tensor, where: str) -> None:
    """Raise a ValueError that says where training went wrong; nothing is saved after it."""
    if not losses.isfinite().all():
        raise ValueError(f"The loss is not finite {where}: lower the learning rate or look at those images.")


def reduced_precision(device: torch.device) -> torch.autocast:
    """bfloat16 for the backbone where the chip multiplies it faster; the head stays in float32.

    Measured: half the time for the narrow twin on a CPU with avx512_bf16. Elsewhere it does nothing.
    """
    chip = getattr(torch.cpu, "get_capabilities", dict)()
    gains = device.type == "cuda" or any(chip.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=gains)


def augmentation(recipe: PretrainRecipe, size: tuple[int, int]) -> v2.Transform:
    """Random crop, mirror and colour, the same crop and mirror for image and label map."""
    return v2.Compose([
        v2.RandomResizedCrop(size, scale=recipe.scale, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(recipe.jitter, recipe.jitter, recipe.jitter, 0.02),
    ])  # fmt: skip


def training_batches(
    dataset: SegmentationDataset, fold: int, recipe: PretrainRecipe
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches (N, 3, H, W) uint8 and (N, H, W) of images that show no test class."""
    base, test = base_classes(dataset, fold), list(dataset.fold(fold))
    clean = (dataset.coverage[:, test].sum(1) == 0) & (dataset.coverage[:, base].sum(1) > 0)
    indices = torch.from_numpy(clean.nonzero()[0])
    if len(indices) < recipe.batch:
        raise ValueError(
            f"Only {len(indices)} images of {dataset!r} show no class of fold {fold}: "
            f"a batch wants {recipe.batch}."
        )
    pictures = {int(i): (dataset.image(i), episode_labels(dataset.label_map(i), base)) for i in indices}
    transform = augmentation(recipe, next(iter(pictures.values()))[1].shape)
    while True:
        for chosen in indices[torch.randperm(len(indices))].split(recipe.batch):
            if len(chosen) < recipe.batch:
                continue
            pairs = [transform(Image(pictures[i][0]), Mask(pictures[i][1])) for i in chosen.tolist()]
            yield torch.stack([image for image, _ in pairs]), torch.stack([labels for _, labels in pairs])


def pretrain(
    backbone: VGG16,
    dataset: SegmentationDataset,
    fold: int,
    recipe: PretrainRecipe,
    log: Callable[[dict], None],
) -> None:
    """Train the backbone to name every pixel's base class, by cosine to one learned prototype a class.

    The head is Eq. 3 with free vectors for prototypes, so features learn the metric they will be used
    with. No image that shows a class of `fold` is ever looked at.
    """
    torch.manual_seed(recipe.seed)
    device = next(backbone.parameters()).device
    labels = len(base_classes(dataset, fold)) + 1
    prototypes = nn.Parameter(torch.randn(1, labels, backbone.channels, device=device))
    parameters = [*backbone.parameters(), prototypes]
    optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.iterations
    )
    batches, losses, started = training_batches(dataset, fold, recipe), [], time.perf_counter()
    backbone.train().to(memory_format=torch.channels_last)
    for step in range(1, recipe.iterations + 1):
        images, target = (x.to(device) for x in next(batches))
        with reduced_precision(device):
            features = backbone(backbone.preprocess(images.float() / 255))
        loss = segmentation_loss(match(features[None], prototypes), target[None])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % 50 == 0 or step == recipe.iterations:
            recent = torch.stack(losses)
            stop_if_not_finite(recent, f"in pre-training before step {step}")
            seconds = round(time.perf_counter() - started, 1)
            loss = round(recent.mean().item(), 4)
            log({"phase": "pretrain", "step": step, "loss": loss, "seconds": seconds})
            losses = []


def train(model: PANet, sampler: EpisodeSampler, recipe: Recipe, log: Callable[[dict], None]) -> None:
    """Algorithm 1, first loop: one SGD step for each (S_i, Q_i) on L_seg + lambda L_PAR."""
    device = next(model.parameters()).device
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, recipe.milestones, gamma=0.1)
    losses, started, batch = [], time.perf_counter(), recipe.episodes_per_step
    model.train().to(memory_format=torch.channels_last)
    for step in range(1, recipe.iterations + 1):
        episode = sampler.batch(range((step - 1) * batch, step * batch)).to(device)
        with reduced_precision(device):
            segmentation, alignment = model(episode).losses(episode)
        optimizer.zero_grad(set_to_none=True)
        (segmentation + recipe.lambda_par * alignment).backward()
        optimizer.step()
        schedule.step()
        losses.append(torch.stack([segmentation, alignment]).detach())
        if step % 50 == 0 or step == recipe.iterations:
            recent = torch.stack(losses)
            first, last = (step - len(losses)) * batch, step * batch - 1
            stop_if_not_finite(recent, f"in episodes {first} to {last} of seed {sampler.seed}")
            seg, par = recent.mean(0).tolist()
            seconds = round(time.perf_counter() - started, 1)
            entry = {"phase": "episodes", "step": step, "seg": round(seg, 4), "par": round(par, 4)}
            log({**entry, "seconds": seconds})
            losses = []


def save_checkpoint(path: str | Path, backbone: VGG16, about: dict) -> None:
    """Write the weights as float16 safetensors, atomically; `about` travels in the file's header."""
    state = {name: value.detach().half().cpu().contiguous() for name, value in backbone.state_dict().items()}
    header = {key: json.dumps(value) for key, value in {"width": backbone.width, **about}.items()}
    write_atomically(path, lambda temporary: temporary.write_bytes(save(state, metadata=header)))
