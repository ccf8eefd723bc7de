"""Images that stay decoded: a data set in memory, or on the device that trains on it (chapter 6)."""

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import psutil
import torch
from torch import Tensor

from .datasets import SegmentationDataset


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still use on the device; processes of one machine share its memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


class Bank:
    """A data set whose files are fetched in a way of its own, `fetch`; otherwise it is that data set."""

    def __init__(self, dataset: SegmentationDataset):
        self.dataset = dataset

    def __getattr__(self, name: str):
        if name == "dataset":  # a copy or a pickle asks before there is one
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return repr(self.dataset)

    def image(self, index: int) -> Tensor:
        """RGB, uint8 (3, H, W)."""
        return self.fetch("image", int(index))

    def label_map(self, index: int) -> Tensor:
        """uint8 (H, W): 0 background, 1.. the data set's classes, 255 void."""
        return self.fetch("label_map", int(index))

    def instances(self, index: int) -> Tensor | None:
        """uint8 (H, W): 1.. the objects of the image; None where no file says so."""
        return self.fetch("instances", int(index))

    def fetch(self, kind: str, index: int) -> Tensor | None:
        """What the data set's method `kind` gives for an image."""
        raise NotImplementedError


class ImageBank(Bank):
    """A data set whose files are decoded once and kept as uint8 on `device`; otherwise it is that data set.

    A sampler on a bank makes its episodes on the device: scaled to 0..1, mirrored and relabelled there.
    What no longer fits is streamed: decoded each time it is asked for. Kept tensors are shared, so do
    not write into them.

    limit: bytes to keep at most, by default half of what is free (a container may allow less than that).
    """

    def __init__(
        self, dataset: SegmentationDataset, device: str | torch.device = "cpu", limit: int | None = None
    ):
        super().__init__(dataset)
        self.device = torch.device(device)
        self.room = free_memory(self.device) // 2 if limit is None else limit  # bytes still to be filled
        self.kept: dict[tuple[str, int], Tensor | None] = {}
        self.coming: dict[tuple[str, int], Future] = {}
        self.threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "coming": {}, "threads": None}  # threads stay in their process

    def ahead(self, images: Iterable[int]) -> None:
        """Have images that are soon asked for decoded by other threads, while this one goes on.

        What is wrong with one of them is said when it is asked for.
        """
        for key in ((kind, int(image)) for image in images for kind in ("image", "label_map")):
            if key not in self.kept and key not in self.coming:
                self.threads = self.threads or ThreadPoolExecutor(min(16, os.cpu_count() or 1))
                self.coming[key] = self.threads.submit(getattr(self.dataset, key[0]), key[1])

    def fetch(self, kind: str, index: int) -> Tensor | None:
        """What the data set's method `kind` gives for an image, decoded now or earlier."""
        if (kind, index) in self.kept:
            return self.kept[kind, index]
        coming = self.coming.pop((kind, index), None)
        value = coming.result() if coming else getattr(self.dataset, kind)(index)
        if value is not None and self.device.type == "cuda":
            # From pinned memory the copy only joins the queue; the host does not wait for the device.
            value = value.pin_memory().to(self.device, non_blocking=True)
        elif value is not None:
            value = value.to(self.device)
        size = 0 if value is None else value.nbytes
        if size <= self.room:
            self.room -= size
            self.kept[kind, index] = value
        return value
