"""Pictures that stay decoded from run to run: a data set's files as uint8 in a folder (chapter 11)."""

import contextlib
import hashlib
import warnings
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .datasets import SegmentationDataset
from .files import stamp_of, write_atomically


class DiskBank:
    """A data set whose files are decoded once for all runs; otherwise it is that data set.

    What has been decoded and squashed lies in `folder`, a file for each picture, and is made again when the
    picture it came from changes. Any number of processes may share the folder. At 417 px an image takes
    0.5 MB and a label map 0.2 MB; where the disk is full, a note says so, and the rest is decoded each time.
    """

    def __init__(self, dataset: SegmentationDataset, folder: str | Path):
        self.dataset, self.folder, self.full = dataset, Path(folder).expanduser(), False

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
        """What the data set's method `kind` gives for an image, decoded now or in an earlier run."""
        source = self.dataset.source(kind, index)
        if not source.is_file():
            return getattr(self.dataset, kind)(index)
        about = (
            f"{source.resolve()} {self.dataset.ids[index]} {kind} {self.dataset.size} {self.dataset.classes}"
        )
        name = hashlib.sha256(about.encode()).hexdigest()[:32]
        path, stamp = self.folder / name[:2] / f"{name}.safetensors", stamp_of([source])
        with contextlib.suppress(Exception), safe_open(path, "pt") as file:  # not there, or spoilt
            if file.metadata()["stamp"] == stamp:
                return file.get_tensor("pixels")
        value = getattr(self.dataset, kind)(index)
        if value is not None and not self.full:
            try:
                content = to_bytes({"pixels": value.contiguous()}, {"stamp": stamp})
                write_atomically(path, lambda file: file.write_bytes(content))
            except OSError as error:
                self.full = True
                warnings.warn(f"{error} From here on, pictures are decoded each time.", stacklevel=2)
        return value
