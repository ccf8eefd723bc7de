"""The twenty classes in order of index (1..20): name and the function that makes a model."""

import fold_0
import fold_1
import fold_2
import fold_3

MODELS = [
    ("mug", fold_0.mug),
    ("bottle", fold_0.bottle),
    ("bowl", fold_0.bowl),
    ("wine glass", fold_0.wine_glass),
    ("candle", fold_0.candle),
    ("chess pawn", fold_1.pawn),
    ("die", fold_1.die),
    ("donut", fold_1.donut),
    ("pear", fold_1.pear),
    ("carrot", fold_1.carrot),
    ("mushroom", fold_2.mushroom),
    ("fir tree", fold_2.fir_tree),
    ("snowman", fold_2.snowman),
    ("house", fold_2.house),
    ("table", fold_2.table),
    ("chair", fold_3.chair),
    ("lamp", fold_3.lamp),
    ("gear", fold_3.gear),
    ("screw", fold_3.screw),
    ("book", fold_3.book),
]
NAMES = [name for name, _ in MODELS]
