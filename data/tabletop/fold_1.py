"""Fold 1: pawn, die, donut, pear and carrot.

Every function takes a numpy generator and returns a `Model` whose proportions and details
are drawn from it. Lengths are relative: `Model.settle` scales the result.
"""

import numpy as np
from shapes import TAU, Model, box, choose, lathe, lattice, lie, move, round_box, smooth, sphere, tube, turn


def pawn(rng):
    """A chess pawn: foot, waist, collar and ball."""
    h, waist, ball = rng.uniform(1.5, 2.3), rng.uniform(0.3, 0.42), rng.uniform(0.5, 0.62)
    m = Model(
        body=choose(
            rng,
            ("wood", "wood"),
            ("wood", "dark wood"),
            ("glazed", "black"),
            ("glazed", "cream"),
            ("glazed", "white"),
        )
    )
    foot = [(0, 0), (1, 0), (1.02, 0.2), (0.95, 0.32), (0.8, 0.36), (0.84, 0.5)]
    stalk = smooth([(0.8, 0.55), (waist + 0.15, 0.8), (waist, h * 0.65), (waist * 0.95, h)])
    collar = [(0.62, h + 0.03), (0.66, h + 0.1), (0.6, h + 0.18), (waist * 0.9, h + 0.22)]
    m.add(
        "body",
        lathe([*foot, *stalk, *collar, (0, h + 0.25)], 28),
        sphere(ball, (0, 0, h + 0.15 + ball * 0.85)),
    )
    return lie(m, rng, 0.1)


def die(rng):
    """A rounded cube with one to six pips on its sides."""
    size, pip = 2.0, rng.uniform(0.2, 0.27)
    white = rng.random() < 0.7
    m = Model(
        body=("glazed", "white" if white else choose(rng, "red", "blue", "green", "purple")),
        pip=("plain", "black" if white else "white"),
    )
    m.add("body", round_box(size, rng.uniform(0.15, 0.45)))
    d = rng.uniform(0.45, 0.52)
    spots = {1: [(0, 0)], 2: [(d, d), (-d, -d)], 4: [(a, b) for a in (d, -d) for b in (d, -d)]}
    spots[3], spots[5] = spots[1] + spots[2], spots[1] + spots[4]
    spots[6] = spots[4] + [(d, 0), (-d, 0)]
    faces = {1: [], 6: [("x", 180)], 2: [("x", 90)], 5: [("x", -90)], 3: [("y", 90)], 4: [("y", -90)]}
    for value, turns in faces.items():
        for x, y in spots[value]:
            part = sphere(pip, (x, y, 1), (1, 1, 0.1), 6)
            for axis, degrees in turns:
                part = turn(part, axis, degrees)
            m.add("pip", part)
    m.pose(("x", choose(rng, 0, 90, 180, 270)), ("y", choose(rng, 0, 90, 180, 270)))
    if rng.random() < 0.15:
        m.pose(("x", rng.uniform(15, 40)), ("y", rng.uniform(15, 40)))
    return m


def donut(rng):
    """A fat ring with wavy icing, and sprinkles at times."""
    fat, flat, waves = rng.uniform(0.46, 0.58), rng.uniform(0.75, 0.95), rng.integers(4, 9)
    m = Model(
        dough=("plain", "dough"),
        sprinkle=("plain", choose(rng, "white", "yellow", "blue")),
        icing=("glazed", choose(rng, "pink", "coffee", "white", "pink", "coffee", "purple")),
    )
    u, v = np.linspace(0, TAU, 40, endpoint=False), np.linspace(0, TAU, 16, endpoint=False)

    def ring(u, v, r):
        u, v = np.broadcast_arrays(u, v)
        return np.stack(
            [(1 + r * np.cos(v)) * np.cos(u), (1 + r * np.cos(v)) * np.sin(u), r * flat * np.sin(v)], -1
        )

    m.add("dough", lattice(ring(u[:, None], v[None], fat), True, True))
    if rng.random() < 0.9:
        edge = 0.1 + 0.22 * np.sin(waves * u + 1) * rng.uniform(0.3, 1)
        v = edge[:, None] + (np.pi - 2 * edge)[:, None] * np.linspace(0, 1, 12)
        m.add("icing", lattice(ring(u[:, None], v, fat * 1.06), True))
        if rng.random() < 0.75:
            for u, v, way in rng.uniform(size=(30, 3)) * [TAU, np.pi - 1.6, 180] + [0, 0.8, 0]:
                bit = turn(box((0.2, 0.06, 0.06)), "z", way)
                m.add("sprinkle", move(bit, ring(np.array(u), np.array(v), fat * 1.08)))
    tilt = choose(rng, 0, 0, 0, 25, 65)
    return m.pose(("x", tilt + (rng.uniform(-5, 5) if tilt else 0)))


def pear(rng):
    """A pear: wide below, a neck above, a stalk and sometimes a leaf."""
    h, neck, bend = rng.uniform(2.1, 2.9), rng.uniform(0.36, 0.52), rng.uniform(0, 0.25)
    m = Model(
        body=choose(
            rng,
            ("speckled", "pear", "brown"),
            ("plain", "pear"),
            ("plain", "yellow"),
            ("speckled", "pear yellow", "red"),
        ),
        stalk=("plain", "bark"),
        leaf=("plain", "green"),
    )
    body, faces = lathe(
        smooth(
            [
                (0, 0.12),
                (0.55, 0),
                (1.1, 0.3),
                (1.12, 1),
                (0.72, h * 0.58),
                (neck, h * 0.76),
                (neck * 0.95, h * 0.96),
                (0.15, h),
                (0, h - 0.06),
            ],
            3,
        ),
        28,
    )
    body[:, 0] += bend * np.maximum(body[:, 2] / h - 0.3, 0) ** 2
    m.add("body", (body, faces))
    x = bend * 0.5
    m.add(
        "stalk", tube([(x, 0, h - 0.1), (x + 0.03, 0, h + 0.2), (x + 0.15, 0, h + 0.5)], [0.08, 0.06, 0.08])
    )
    if rng.random() < 0.5:
        leaf = sphere(0.45, (0.42, 0, 0), (1, 0.45, 0.06), 8)
        m.add("leaf", move(turn(turn(leaf, "y", -25), "z", rng.uniform(0, 360)), (x, 0, h + 0.15)))
    return lie(m, rng, 0.15)


def carrot(rng):
    """A tapering orange root with rings and a green top; lying, seldom leaning."""
    length, fat, power = rng.uniform(2.8, 3.8), rng.uniform(0.48, 0.7), rng.uniform(0.55, 0.9)
    m = Model(body=("plain", "carrot"), top=("plain", "green"))
    s = np.linspace(0, 1, 40)
    r = fat * (1 - s) ** power * (1 + 0.035 * np.sin(s * rng.uniform(60, 90)))
    r[:3] *= [0.3, 0.75, 0.93]
    bend = rng.uniform(-0.35, 0.35) * s**2
    m.add("body", tube(np.stack([s * length, bend, 0 * s], 1), r, 16))
    for _ in range(rng.integers(6, 11)):
        reach, side, up = rng.uniform(0.8, 1.7), rng.uniform(-0.7, 0.7), rng.uniform(-0.2, 0.7)
        t = np.linspace(0, 1, 6)[:, None]
        path = t * [[-reach, side, 0]] + t**2 * [[0, 0, up]] + [[0.05, 0, 0]]
        m.add("top", tube(path, [0.07, 0.07, 0.08, 0.14, 0.16, 0.04], 6))
    if rng.random() < 0.12:
        m.pose(("y", rng.uniform(50, 85)))
    return m
