"""PASCAL-5i: PASCAL VOC 2012 with the masks of SBD (paper Sec. 4.1; chapter 11)."""

import os
import warnings
from pathlib import Path

from ..files import first_there, lines_of
from .voc import SegmentationDataset

PASCAL_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class Pascal(SegmentationDataset):
    """PASCAL-5i (Sec. 4.1): PASCAL VOC 2012 with the masks of SBD.

    root: the folder that holds VOC2012/ and, for "trainaug", SBD/ or VOC2012/SegmentationClassAug/; by
    default what PANET_VOC_ROOT names. An image has its mask from SegmentationClassAug/, else VOC's own, which
    is finer, else SBD's. "trainaug": VOC train and SBD train + val without VOC val, 10,582 images, or what a trainaug.txt
    lists; it falls back to "train" where there is nothing to add, and says so.
    """

    def __init__(
        self, split: str = "val", size: int | None = 417, root: str | Path | None = None,
        skip_broken: bool = False,
    ):  # fmt: skip
        root = root or os.environ.get("PANET_VOC_ROOT")
        if root is None:
            raise FileNotFoundError(
                "PASCAL VOC does not come with the book: set PANET_VOC_ROOT to the folder of VOC2012/, or get "
                "it by `python -m panet_lite download voc --root FOLDER`."
            )
        root = Path(os.path.expanduser(root))
        self.sbd = first_there(root / "benchmark_RELEASE" / "dataset", root / "SBD")
        home = first_there(root / "VOCdevkit" / "VOC2012", root / "VOC2012")
        super().__init__(home, split, PASCAL_CLASSES, size, skip_broken)

    def listed(self) -> list[str]:
        """The names of the split's images; `trainaug` is put together where no file lists it."""
        if self.split != "trainaug" or (self.root / "ImageSets" / "Segmentation" / "trainaug.txt").is_file():
            return super().listed()
        train = self.read_list("train")
        more = {path.stem for path in self.root.glob("SegmentationClassAug/[!.]*.png")}
        for listing in (self.sbd / "train.txt", self.sbd / "val.txt"):
            more |= set(lines_of(listing)) if listing.is_file() else set()
        if more:
            return sorted({*train, *more} - {*self.read_list("val")})
        warnings.warn(
            f"{self.root} has no trainaug.txt: using train.txt instead, as there is neither SBD nor a folder "
            "SegmentationClassAug.",
            stacklevel=3,
        )
        self.split = "train"
        return train

    def mask_path(self, name: str) -> Path:
        """Where its label map lies: as in every data set, or a .mat of SBD."""
        path = super().mask_path(name)
        return path if os.path.isfile(path) or not self.sbd.is_dir() else self.sbd / "cls" / f"{name}.mat"

    def object_path(self, name: str) -> Path:
        """Where its instance map lies, if there is one, beside the label map or in SBD."""
        return first_there(super().object_path(name), self.sbd / "inst" / f"{name}.mat")
