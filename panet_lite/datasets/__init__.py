"""Data sets: images and label maps that lie in files (paper Sec. 4.1; chapters 1 and 11).

`voc` reads what lies as PASCAL VOC does, such as Tabletop-5i, `pascal` PASCAL-5i; `coco` reads COCO-20i, `folders` your own
pictures. `pictures` and `masks` open a single file, `banks` keep what was decoded, `downloads` fetches what can be had.
A data set knows its images, classes and folds; it knows nothing of episodes.
"""

from .banks import AnyDataset, DiskBank, ImageBank
from .coco import Coco
from .folders import Folder
from .masks import VOID
from .pascal import PASCAL_CLASSES, Pascal
from .voc import DATA, TABLETOP_CLASSES, SegmentationDataset, Tabletop

__all__ = [
    "DATA", "PASCAL_CLASSES", "TABLETOP_CLASSES", "VOID", "AnyDataset", "Coco", "DiskBank", "Folder",
    "ImageBank", "Pascal", "SegmentationDataset", "Tabletop",
]  # fmt: skip
