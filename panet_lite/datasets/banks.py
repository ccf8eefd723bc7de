"""Pictures that stay decoded: in memory, on the device that trains on them (chapter 6), or on disk (chapter 11)."""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ..files import sealed, stamp_of, write_atomically
from .voc import SegmentationDataset

PIXEL = 64  # bytes at the least: it in integers and floats, normalised, and the first features


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still use on the device; processes of one machine share its memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def must_fit(what: str, needed: int, device: torch.device) -> None:
    """A ValueError where what takes so many bytes at the least cannot be had on the device."""
    if needed > (free := free_memory(device)):
        sizes = f"{needed / 1e9:,.1f} GB or more, and {free / 1e9:.1f} GB are free"
        raise ValueError(f"{what} takes {sizes}: ask for less.")


class Bank:
    """A data set whose files are fetched in a way of its own, `fetch`; otherwise it is that data set."""

    def __init__(self, dataset: "AnyDataset"):
        self.dataset = dataset

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # a copy or a pickle asks before there is one
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return repr(self.dataset)

    def image(self, index: int) -> Tensor:
        """RGB, uint8 (3, H, W)."""
        return self.fetch("image", int(index))  # type: ignore[return-value]  # no image is None

    def label_map(self, index: int) -> Tensor:
        """uint8 (H, W): 0 background, 1.. the data set's classes, 255 void."""
        return self.fetch("label_map", int(index))  # type: ignore[return-value]  # nor is a label map

    def instances(self, index: int) -> Tensor | None:
        """uint8 (H, W): 1.. the objects of the image; None where no file says so."""
        return self.fetch("instances", int(index))

    def fetch(self, kind: str, index: int) -> Tensor | None:
        """What the data set's method `kind` gives for an image."""
        raise NotImplementedError


AnyDataset = SegmentationDataset | Bank  # what episodes are drawn from


class ImageBank(Bank):
    """A data set whose files are decoded once and kept as uint8 on `device`; otherwise it is that data set.

    A sampler on a bank makes its episodes on the device: scaled to 0..1, mirrored and relabelled there.
    What no longer fits is streamed: decoded each time it is asked for. Kept tensors are shared, so do
    not write into them.

    limit: bytes to keep at most, by default half of what is free (a container may allow less than that).
    """

    def __init__(self, dataset: AnyDataset, device: str | torch.device = "cpu", limit: int | None = None):
        super().__init__(dataset)
        self.device = torch.device(device)
        self.room = free_memory(self.device) // 2 if limit is None else limit  # bytes still to be filled
        self.kept: dict[tuple[str, int], Tensor | None] = {}
        self.coming: dict[tuple[str, int], Future[Tensor | None]] = {}
        self.threads: ThreadPoolExecutor | None = None
        self.process = os.getpid()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "coming": {}, "threads": None}  # threads stay in their process

    def forget_parent(self) -> None:
        """In a process forked from the bank's, forget what threads were doing: they are not in here."""
        if self.process != os.getpid():
            self.coming, self.threads, self.process = {}, None, os.getpid()

    def ahead(self, images: Iterable[int]) -> None:
        """Have images that are soon asked for decoded by other threads, while this one goes on.

        What is wrong with one of them is said when it is asked for.
        """
        self.forget_parent()
        for key in ((kind, int(image)) for image in images for kind in ("image", "label_map")):
            if key not in self.kept and key not in self.coming:
                self.threads = self.threads or ThreadPoolExecutor(min(16, os.cpu_count() or 1))
                self.coming[key] = self.threads.submit(getattr(self.dataset, key[0]), key[1])

    def fetch(self, kind: str, index: int) -> Tensor | None:
        """What the data set's method `kind` gives for an image, decoded now or earlier."""
        if (kind, index) in self.kept:
            return self.kept[kind, index]
        self.forget_parent()
        coming = self.coming.pop((kind, index), None)
        value: Tensor | None = coming.result() if coming else getattr(self.dataset, kind)(index)
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


class DiskBank(Bank):
    """A data set whose files are decoded once for all runs; otherwise it is that data set.

    What has been decoded and squashed lies in `folder`, a file for each picture, and is made again when the
    picture it came from changes. Any number of processes may share the folder. At 417 px an image takes
    0.5 MB and a label map 0.2 MB; where the disk is full, a note says so, and the rest is decoded each time.
    """

    def __init__(self, dataset: AnyDataset, folder: str | Path):
        super().__init__(dataset)
        self.folder, self.full = Path(os.path.expanduser(folder)), False

    def fetch(self, kind: str, index: int) -> Tensor | None:
        """What the data set's method `kind` gives for an image, decoded now or in an earlier run."""
        data, source = self.dataset, self.dataset.source(kind, index)
        decode: Callable[[int], Tensor | None] = getattr(data, kind)
        if not source.is_file():
            return decode(index)
        about = f"{source.resolve()} {data.ids[index]} {kind} {data.size} {data.classes}"
        name = hashlib.sha256(os.fsencode(about)).hexdigest()[:32]
        path, stamp = self.folder / name[:2] / f"{name}.safetensors", stamp_of([source])
        with contextlib.suppress(Exception), safe_open(path, "pt") as file:  # not there, or spoilt
            pixels: Tensor = file.get_tensor("pixels")
            if file.metadata()["stamp"] == sealed(stamp, {"pixels": pixels.numpy()}):
                return pixels
        value = decode(index)
        if value is not None and not self.full:
            try:
                seal = sealed(stamp, {"pixels": value.numpy()})
                content = to_bytes({"pixels": value.contiguous()}, {"stamp": seal})
                write_atomically(path, lambda file: file.write_bytes(content))
            except OSError as error:
                self.full = True
                warnings.warn(f"{error} From here on, pictures are decoded each time.", stacklevel=2)
        return value
