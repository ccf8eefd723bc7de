"""Training: Algorithm 1 over episodes (paper Alg. 1, Sec. 4.1; chapter 6).

`loop` is the algorithm with its log; `step` is one step of it, also as a CUDA graph; `states` are what it leaves on disk.
"""

from .loop import LAPTOP, PAPER, train, training_episodes
from .states import State, load_state, save_checkpoint, save_state
from .step import Recipe, sgd_step

__all__ = [
    "LAPTOP", "PAPER", "Recipe", "State", "load_state", "save_checkpoint", "save_state", "sgd_step", "train",
    "training_episodes",
]  # fmt: skip
