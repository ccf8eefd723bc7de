"""Feature bank: each image passes the backbone once, for all episodes (paper Sec. 3.3; chapter 7).

Late fusion masks features, not images: features do not depend on the annotation, so all episodes,
shots, ways and kinds of annotation share them. So do the means under the masks, from which Eq. 1-2 make
prototypes: an image and the classes of an episode decide them.
"""

import tempfile
from collections.abc import Iterable, Sequence
from io import BufferedRandom
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..datasets import VOID, AnyDataset, ImageBank
from ..datasets.banks import free_memory
from ..episodes import Draw, EpisodeSampler
from ..machine import layout, reduced_precision
from ..model import PANet
from ..prototypes import support_prototypes


class Rows:
    """A table of tensors of one shape (N, ...), on the device, or in a temporary file in `folder`.

    The file is memory-mapped, so that the system keeps in memory what fits, and vanishes with the
    process, however that ends.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, folder: str | Path | None = None):
        self.device, self.dtype, self.folder = device, dtype, folder
        self.table, self.file = torch.empty(0, dtype=dtype), None
        if folder is not None:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
                self.file = tempfile.TemporaryFile(dir=folder)
            except OSError as error:
                raise self.no_space(error) from error

    def no_space(self, error: OSError) -> OSError:
        """What to do where the file cannot be made or grow."""
        return OSError(
            f"Features cannot be kept in {self.folder} ({error.strerror or error}): free some space or give "
            "`spill` another folder. What is there already stays usable."
        )

    def put(self, start: int, rows: Tensor, room: int = 0) -> None:
        """Write rows (n, ...) at `start`; `room` rows are expected in the end."""
        rows = rows.to(self.dtype).contiguous()
        if self.file is not None:
            return self.put_in_file(self.file, start, rows.cpu())
        size = max(room, start + len(rows))
        if size > len(self.table):
            needed, free = size * rows[0].nbytes, free_memory(self.device)
            if needed > free:
                raise ValueError(
                    f"The features of {size} images take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: "
                    "use a FeatureBank with dtype=torch.float16 (half of it) or spill='FOLDER' (on disk)."
                )
            grown = torch.empty(size, *rows.shape[1:], dtype=self.dtype, device=self.device)
            if start:
                grown[:start] = self.table[:start]
            self.table = grown
        self.table[start : start + len(rows)] = rows

    def put_in_file(self, file: BufferedRandom, start: int, rows: Tensor) -> None:
        """`put` for the file: written, not assigned through the map, so that a full disk is an error."""
        try:
            file.seek(start * rows[0].nbytes)
            file.write(rows.view(torch.uint8).numpy().data)
            file.flush()
        except OSError as error:
            raise self.no_space(error) from error
        table = torch.from_numpy(np.memmap(file, np.uint8, "c"))
        self.table = table[: (start + len(rows)) * rows[0].nbytes].view(self.dtype).view(-1, *rows.shape[1:])

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The rows of an index tensor of any shape (...), on the device."""
        index = rows.flatten().to(self.table.device, non_blocking=True)
        found: Tensor = self.table.index_select(0, index).to(self.device).unflatten(0, rows.shape)
        return found


class FeatureBank:
    """Features, label maps and masked means of a data set's images, made when first asked for.

    dtype: what features are kept in; float16 takes half the memory and moves about ten pixels in a million.
    spill: a folder; features then lie in a temporary, memory-mapped file there. precision: of the
    backbone's arithmetic, see `machine.reduced_precision`.
    """

    def __init__(
        self, model: PANet, dataset: AnyDataset, dtype: torch.dtype = torch.float32,
        spill: str | Path | None = None, precision: str = "float32",
    ):  # fmt: skip
        self.model, self.dataset, self.precision = model, dataset, precision
        self.images = dataset if isinstance(dataset, ImageBank) else ImageBank(dataset, limit=0)
        device = next(model.parameters(), torch.empty(0)).device
        self.features = Rows(device, dtype, spill)  # (N, C, h, w)
        self.lengths = Rows(device, torch.promote_types(dtype, torch.float32))  # of features, (N, 1, h, w)
        self.labels = Rows(device, torch.uint8, spill)  # (N, H, W), the data set's labels
        self.means = Rows(device, torch.promote_types(dtype, torch.float32))  # (M, 2, C)
        self.position: dict[int, int] = {}  # image -> row of features and labels
        self.pooled: dict[tuple[object, ...], int] = {}  # what was annotated in which image -> row of means
        self.versions = versions(model)

    def check(self, model: PANet, dataset: AnyDataset) -> None:
        """A ValueError where the bank is not of this model, as it is now, and this data set."""
        if self.model is not model or self.dataset is not dataset or self.versions != versions(model):
            raise ValueError(
                "The bank holds features of another model or data set, or of this model before its weights "
                "changed: make a new FeatureBank(model, dataset)."
            )

    def add(self, images: Iterable[int], batch: int = 8) -> None:
        """Embed those images that are not there yet; an interruption loses only the current batch.

        Errors: ValueError where images differ in size, or memory would not do; OSError for a full disk.
        """
        new = [i for i in dict.fromkeys(int(i) for i in images) if i not in self.position]
        room = len(self.position) + len(new)
        self.model.eval()
        chunks = np.array_split(new, max(1, -(-len(new) // batch)))  # even: none is left with one image
        for number, chunk in enumerate(tqdm(chunks if new else (), "features", leave=False, disable=None), 1):
            self.images.ahead(i for some in chunks[number - 1 : number + 1] for i in some)
            chunk, end = chunk.tolist(), len(self.position)
            pictures = [self.images.image(i) for i in chunk]
            sizes = {p.shape[1:] for p in pictures} | ({self.labels.table.shape[1:]} if end else set())
            if len(sizes) > 1:
                raise ValueError(f"Images of different sizes in {self.dataset!r}: give it one, size=417.")
            if len(pictures) == 1:  # PyTorch may convolve a batch of one differently, and round differently
                pictures *= 2
            device = self.features.device
            with torch.inference_mode(), reduced_precision(device, self.precision):
                images = torch.stack(pictures).to(device).float() / 255
                if device.type == "cuda":  # on a CPU it would gain nothing and round differently
                    images = images.to(memory_format=layout(device))
                features = self.model.embed(images)[: len(chunk)].to(self.features.dtype)
                self.features.put(end, features, room)
                self.lengths.put(end, features.to(self.lengths.dtype).norm(dim=1, keepdim=True), room)
                self.labels.put(end, torch.stack([self.images.label_map(i) for i in chunk]), room)
            self.position.update(zip(chunk, range(end, room)))

    def rows(self, images: np.ndarray | Sequence[int]) -> Tensor:
        """Where images (...) lie in `features` and `labels`: (...), on the host."""
        images = np.asarray(images)
        return torch.tensor([self.position[i] for i in images.ravel().tolist()]).view(images.shape)

    def __getitem__(self, images: np.ndarray | Sequence[int]) -> Tensor:
        """Features of image indices (...): (..., C, h, w), in float32 at least."""
        self.add(np.ravel(images))
        return self.features[self.rows(images)].to(self.means.dtype)

    def pool(self, sampler: EpisodeSampler, draws: Sequence[Draw], batch: int = 8) -> Tensor:
        """Where the supports of `draws` lie in `means`: (B, W, K), on the host.

        A row of `means` is (2, C), the mean feature of the background and that of its way's class in one
        image (Eq. 1-2, inner fractions). What is new is made by `support_prototypes`, as everywhere.
        """
        kind = (sampler.annotation, repr(sampler.preset))
        order = sorted if sampler.annotation == "dense" else list  # in dense maps it changes nothing else
        keys = [
            (kind, classes, label, image)
            for draw in draws
            for classes in [tuple(order(draw.classes.tolist()))]
            for label, images in zip(draw.classes.tolist(), draw.supports.tolist())
            for image in images
        ]
        new = [key for key in dict.fromkeys(keys) if key not in self.pooled]
        room = len(self.pooled) + len(new)
        for start in tqdm(range(0, len(new), batch), desc="annotations", leave=False, disable=None):
            chunk, end = new[start : start + batch], len(self.pooled)
            with torch.inference_mode():
                maps = torch.stack([sampler.support_map(image, classes) for _, classes, _, image in chunk])
                ways = torch.tensor([classes.index(label) + 1 for _, classes, label, _ in chunk])
                own = maps == ways[:, None, None].to(maps.device)
                maps = torch.where(own, 1, torch.where(maps == 0, 0, VOID)).to(self.means.device)
                features = self[[image for *_, image in chunk]]
                means = support_prototypes(features[:, None, None], maps[:, None, None])
                self.means.put(end, means, room)
            self.pooled.update(zip(chunk, range(end, room)))
        return torch.tensor([self.pooled[key] for key in keys]).view(len(draws), sampler.ways, sampler.shots)


def versions(model: PANet) -> list[int]:
    """How often each weight was written to: another list means that features made before are stale."""
    weights = [*model.parameters(), *model.buffers()]
    return [0 if weight.is_inference() else weight._version for weight in weights]
