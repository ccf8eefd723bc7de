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
from .image_bank import Bank


class DiskBank(Bank):
    """A data set whose files are decoded once for all runs; otherwise it is that data set.

    What has been decoded and squashed lies in `folder`, a file for each picture, and is made again when the
    picture it came from changes. Any number of processes may share the folder. At 417 px an image takes
    0.5 MB and a label map 0.2 MB; where the disk is full, a note says so, and the rest is decoded each time.
    """

    def __init__(self, dataset: SegmentationDataset, folder: str | Path):
        super().__init__(dataset)
        self.folder, self.full = Path(folder).expanduser(), False

    def fetch(self, kind: str, index: int) -> Tensor | None:
        """What the data set's method `kind` gives for an image, decoded now or in an earlier run."""
        data, source = self.dataset, self.dataset.source(kind, index)
        if not source.is_file():
            return getattr(data, kind)(index)
        about = f"{source.resolve()} {data.ids[index]} {kind} {data.size} {data.classes}"
        name = hashlib.sha256(about.encode()).hexdigest()[:32]
        path, stamp = self.folder / name[:2] / f"{name}.safetensors", stamp_of([source])
        with contextlib.suppress(Exception), safe_open(path, "pt") as file:  # not there, or spoilt
            if file.metadata()["stamp"] == stamp:
                return file.get_tensor("pixels")
        value = getattr(data, kind)(index)
        if value is not None and not self.full:
            try:
                content = to_bytes({"pixels": value.contiguous()}, {"stamp": stamp})
                write_atomically(path, lambda file: file.write_bytes(content))
            except OSError as error:
                self.full = True
                warnings.warn(f"{error} From here on, pictures are decoded each time.", stacklevel=2)
        return value
