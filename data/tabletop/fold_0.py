"""Fold 0: mug, bottle, bowl, wine glass and candle.

Every function takes a numpy generator and returns a `Model` whose proportions and details
are drawn from it. Lengths are relative: `Model.settle` scales the result.
"""

import numpy as np
from shapes import TAU, Model, choose, cylinder, lathe, lie, smooth, tube


def mug(rng):
    """A cylinder, barrel or cone with a handle, sometimes with a drink in it."""
    h, base, belly = rng.uniform(1.8, 2.7), rng.uniform(0.72, 1), rng.uniform(-0.08, 0.18)
    top, wall = 1.0, 0.1
    glaze = choose(rng, "white", "cream", "blue", "red", "green", "yellow")
    kind = choose(rng, "glazed", "glazed", "glazed", "striped", "speckled")
    m = Model(
        body=(kind, glaze, choose(rng, "white", "blue", "brown", "grey")),
        handle=("glazed", glaze),
        drink=("glazed", choose(rng, "coffee", "cream")),
    )
    z = np.linspace(0, 1, 9)
    out = base + (top - base) * z + belly * np.sin(np.pi * z)
    profile = [(0, 0), *zip(out, z * h), *zip(out[:0:-1] - wall, z[:0:-1] * h), (0, 0.12)]
    m.add("body", lathe(profile, 32))
    t = np.linspace(-1, 1, 17)
    square = choose(rng, 1, 1, 0.45)
    reach, tall = rng.uniform(0.5, 0.8), h * rng.uniform(0.26, 0.36)
    x = 0.93 + belly * 0.8 + reach * np.cos(t * np.pi / 2) ** square
    y = h * rng.uniform(0.47, 0.56) + tall * np.sign(t) * np.abs(np.sin(t * np.pi / 2)) ** square
    m.add("handle", tube(np.stack([x, 0 * x, y], 1), rng.uniform(0.1, 0.16)))
    if rng.random() < 0.5:
        m.add("drink", cylinder(top - 0.06, h * 0.84, h * 0.86))
    return m


def bottle(rng):
    """Wine, soda and squat flasks: body, shoulder, neck, lip; cap and label at times."""
    body, neck, width = rng.uniform(1.5, 3.2), rng.uniform(0.7, 1.5), rng.uniform(0.27, 0.4)
    shoulder = rng.uniform(0.35, 1.1)
    a, b, top = body, body + shoulder, body + shoulder + neck
    colour = choose(rng, "bottle green", "bottle green", "amber", "clear", "blue")
    m = Model(
        body=("glass", colour),
        label=("striped", "cream", choose(rng, "red", "blue", "black")),
        cap=choose(rng, ("plain", "cork"), ("metal", "gold"), ("plain", "red")),
    )
    curve = smooth(
        [
            (0.9, 0),
            (1, 0.12),
            (1, a * 0.6),
            (1, a),
            (0.85, a + 0.35 * shoulder),
            (width * 1.15, b - 0.1 * shoulder),
            (width, b + 0.1),
            (width, top - 0.25),
        ]
    )
    lip = [(width * 1.25, top - 0.22), (width * 1.25, top - 0.02), (width, top)]
    m.add("body", lathe([(0, 0), *curve, *lip, (0, top)], 28))
    if rng.random() < 0.65:
        low, high = a * rng.uniform(0.15, 0.3), a * rng.uniform(0.7, 0.9)
        m.add("label", lathe([(1.0, low), (1.02, low), (1.02, high), (1.0, high)], 28))
    if rng.random() < 0.6:
        m.add("cap", cylinder(width * 1.32, top - 0.3, top + rng.uniform(0.1, 0.3)))
    return lie(m, rng, 0.1)


def bowl(rng):
    """An open bowl on a foot, sometimes with soup."""
    depth, power, foot = rng.uniform(0.6, 1.0), rng.uniform(0.38, 0.75), rng.uniform(0.38, 0.55)
    m = Model(
        body=(
            choose(rng, "glazed", "glazed", "striped", "speckled", "wood"),
            choose(rng, "blue", "white", "cream", "green", "wood"),
            choose(rng, "white", "dark blue", "brown"),
        ),
        food=choose(rng, ("rough", "orange"), ("rough", "green"), ("plain", "cream")),
    )
    s = np.linspace(0, 1, 12)
    r = foot + (1.25 - foot) * s**power
    outer = np.stack([r, 0.15 + depth * s**1.15], 1)
    inner = outer[::-1] - [[0.09, -0.015]]
    m.add("body", lathe([(0, 0), (foot, 0), *outer, *inner, (0, 0.2)], 36))
    if rng.random() < 0.4:
        level = rng.uniform(0.6, 0.8)
        m.add(
            "food",
            lathe(
                [
                    (np.interp(level, s, r) - 0.02, 0.15 + depth * level**1.15),
                    (0, 0.19 + depth * level**1.15),
                ],
                28,
            ),
        )
    return m


def wine_glass(rng):
    """Foot, stem and a cup: tulip, balloon, flute or cone; usually with wine."""
    stem, cup = rng.uniform(0.8, 1.4), rng.uniform(1.2, 1.9)
    style = rng.integers(4)
    shape = [
        [(0.1, 0), (0.7, 0.15), (0.95, 0.5), (0.72, 1)],
        [(0.1, 0), (0.95, 0.12), (1.15, 0.5), (0.85, 1)],
        [(0.1, 0), (0.45, 0.15), (0.6, 0.5), (0.55, 1)],
        [(0.1, 0), (0.4, 0.33), (0.75, 0.66), (1.15, 1)],
    ]
    m = Model(body=("glass", "clear"), wine=("glazed", choose(rng, "wine", "wine", "white wine", "rose")))
    curve = smooth(np.array(shape[style]) * [1, cup if style < 3 else 0.75 * cup], 3)
    foot = [(0, 0), (0.8, 0), (0.8, 0.05), (0.16, 0.16), (0.09, 0.4), (0.085, stem - 0.1)]
    wall = curve + [0, stem]
    m.add("body", lathe([*foot, *wall, *(wall[::-1] - [0.03, 0])], 28))
    if rng.random() < 0.85:
        full = int(len(curve) * rng.uniform(0.5, 0.75))
        fill = wall[1:full] * [0.95, 1]
        m.add("wine", lathe([(0, fill[0, 1]), *fill, (0, fill[-1, 1])], 24))
    return lie(m, rng, 0.06)


def candle(rng):
    """A pillar, or a taper on a dish or stick; wax tears; nearly always a flame."""
    r, h = choose(rng, (0.75, rng.uniform(1.5, 2.6)), (0.42, rng.uniform(2, 3)))
    wax = choose(rng, "wax", "wax", "cream", "white", "red", "yellow")
    m = Model(
        wax=("wax", wax),
        wick=("plain", "black"),
        flame=("glow", "flame"),
        holder=("metal", choose(rng, "gold", "steel", "copper")),
    )
    m.add("wax", lathe([(0, 0), (r, 0), (r, h - 0.08), (r * 0.9, h), (r * 0.6, h - 0.1), (0, h - 0.13)]))
    for angle in rng.uniform(0, TAU, rng.integers(0, 6)):
        drop, x, y = rng.uniform(0.3, 0.8), r * np.cos(angle), r * np.sin(angle)
        m.add("wax", tube([(x, y, h - 0.04), (x, y, h - drop / 2), (x, y, h - drop)], [0.07, 0.08, 0.1]))
    m.add("wick", cylinder(0.05, h - 0.15, h + 0.22))
    if rng.random() < 0.9:
        s = rng.uniform(0.85, 1.25)
        flame = smooth([(0, 0), (0.2, 0.12), (0.2, 0.35), (0.06, 0.7), (0, 0.95)]) * s
        m.add("flame", lathe(flame + [0, h + 0.1], 14))
    if r < 0.5:
        m.add(
            "holder",
            lathe([(0, -0.1), (1.15, -0.1), (1.3, 0.15), (1.22, 0.15), (1.1, 0), (0, 0)]),
            lathe([(0.43, 0), (0.55, 0), (0.55, 0.4), (0.43, 0.4)]),
        )
        t = np.linspace(0, TAU, 16, endpoint=False)
        ring = np.stack([1.55 + 0.33 * np.cos(t), 0 * t, 0.1 + 0.33 * np.sin(t)], 1)
        if rng.random() < 0.6:
            m.add("holder", tube(ring, 0.08, 8, closed=True))
    return m
