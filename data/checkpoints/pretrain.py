"""Make a fold's beginning, PANet-init: python data/checkpoints/pretrain.py --fold 0 [--out FILE].

The paper begins with ImageNet's weights. The narrow twin begins with random ones, and first learns to name
every pixel's class among the fifteen of the other three folds: our stand-in for ILSVRC. No class of the
fold, and no image that shows one, is ever looked at. `make study` begins with what this leaves.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from panet_lite.backbones import VGG16
from panet_lite.datasets import SegmentationDataset, Tabletop
from panet_lite.episodes import episode_labels
from panet_lite.files import write_atomically
from panet_lite.machine import circumstances, reduced_precision
from panet_lite.matching import match, segmentation_loss
from panet_lite.training import save_checkpoint
from panet_lite.training.loop import base_classes

HERE = Path(__file__).parent


@dataclass(frozen=True)
class PretrainRecipe:
    """Dense classification of the base classes from random weights."""

    iterations: int = 1_600
    learning_rate: float = 2e-3  # of AdamW, one cycle
    weight_decay: float = 1e-2
    batch: int = 16
    scale: tuple[float, float] = (0.4, 1.0)  # share of the image that a random crop shows
    jitter: float = 0.3  # brightness, contrast, saturation
    width: float = 0.25
    seed: int = 0


def batches(
    dataset: SegmentationDataset, fold: int, recipe: PretrainRecipe
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches (N, 3, H, W) uint8 and (N, H, W) of images that show no class of the fold; each pair
    is cropped, mirrored and coloured at random, the same crop and mirror for image and label map."""
    base, test = base_classes(dataset, fold), list(dataset.fold(fold))
    clean = (dataset.coverage[:, test].sum(1) == 0) & (dataset.coverage[:, base].sum(1) > 0)
    indices = torch.from_numpy(clean.nonzero()[0])
    if len(indices) < recipe.batch:
        raise ValueError(
            f"Only {len(indices)} images of {dataset!r} show no class of fold {fold}: "
            f"a batch wants {recipe.batch}."
        )
    pictures = {int(i): (dataset.image(i), episode_labels(dataset.label_map(i), base)) for i in indices}
    transform = v2.Compose([
        v2.RandomResizedCrop(next(iter(pictures.values()))[1].shape, scale=recipe.scale, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(recipe.jitter, recipe.jitter, recipe.jitter, 0.02),
    ])  # fmt: skip
    while True:
        for chosen in indices[torch.randperm(len(indices))].split(recipe.batch):
            if len(chosen) == recipe.batch:
                pairs = [transform(Image(pictures[i][0]), Mask(pictures[i][1])) for i in chosen.tolist()]
                yield torch.stack([image for image, _ in pairs]), torch.stack([m for _, m in pairs])


def pretrain(
    dataset: SegmentationDataset,
    fold: int,
    recipe: PretrainRecipe,
    log: Callable[[dict], None],
    device: torch.device,
) -> VGG16:
    """Train a backbone to name every pixel's base class, by cosine to one learned prototype a class.

    The head is Eq. 3 with free vectors for prototypes, so features learn the metric they will be used
    with. Returns the backbone, its BatchNorm folded away. Errors: ValueError where the loss is not finite.
    """
    torch.manual_seed(recipe.seed)
    backbone = VGG16(recipe.width, batch_norm=True).to(device)
    torch.manual_seed(recipe.seed)
    prototypes = nn.Parameter(
        torch.randn(1, len(base_classes(dataset, fold)) + 1, backbone.channels, device=device)
    )
    parameters = [*backbone.parameters(), prototypes]
    optimizer = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.iterations
    )
    losses, started = [], time.perf_counter()
    backbone.train().to(memory_format=torch.channels_last)
    for step, batch in zip(range(1, recipe.iterations + 1), batches(dataset, fold, recipe)):
        images, target = (x.to(device) for x in batch)
        with reduced_precision(device):
            features = backbone(backbone.preprocess(images.float() / 255))
        loss = segmentation_loss(match(features[None], prototypes), target[None])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % 50 == 0 or step == recipe.iterations:
            recent, losses = torch.stack(losses), []
            if not recent.isfinite().all():
                raise ValueError(f"The loss is not finite before step {step}: lower the learning rate.")
            seconds = round(time.perf_counter() - started, 1)
            log({"step": step, "loss": round(recent.mean().item(), 4), "seconds": seconds})
    return backbone.folded()


def main() -> None:
    """Train, and write the weights with their log beside them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--out", type=Path, help="default: twin-fold<N>-init.safetensors beside this file")
    parser.add_argument("--iterations", type=int, default=PretrainRecipe.iterations)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    out = options.out or HERE / f"twin-fold{options.fold}-init.safetensors"
    recipe, device = replace(PretrainRecipe(), iterations=options.iterations), torch.device(options.device)
    dataset = Tabletop("train")
    about = {
        "command": f"pretrain.py --fold {options.fold}",
        "fold": options.fold,
        "trained_on": [dataset.classes[c - 1] for c in base_classes(dataset, options.fold)],
        "pretrain": asdict(recipe),
        **circumstances(device),
    }
    log: list[dict] = []

    def note(entry: dict) -> None:
        log.append(entry)
        print(json.dumps(entry), flush=True)

    save_checkpoint(out, pretrain(dataset, options.fold, recipe, note, device), about)
    text = json.dumps({**about, "log": log}, indent=1)
    write_atomically(out.with_suffix(".json"), lambda path: path.write_text(text + "\n"))


if __name__ == "__main__":
    main()
