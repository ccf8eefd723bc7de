"""Fold 2: mushroom, fir tree, snowman, house and table.

Every function takes a numpy generator and returns a `Model` whose proportions and details
are drawn from it. Lengths are relative: `Model.settle` scales the result.
"""

import numpy as np
from shapes import TAU, Model, box, choose, cylinder, lathe, move, prism, smooth, sphere, tube, turn


def mushroom(rng):
    """A stem under a domed, pointed or flat cap; white dots at times."""
    h, r, dome = rng.uniform(1.3, 2.2), rng.uniform(1.05, 1.4), rng.uniform(0.55, 1.15)
    foot = rng.uniform(0.38, 0.6)
    cap = choose(rng, "red", "red", "bark", "orange", "brown")
    m = Model(stem=("plain", "cream"), cap=("glazed", cap), dot=("plain", "white"))
    m.add(
        "stem", lathe(smooth([(0, 0), (foot, 0), (foot * 1.1, 0.2), (foot * 0.75, h * 0.6), (0.36, h + 0.1)]))
    )
    power = rng.uniform(0.45, 0.8)
    s = np.linspace(0, 1, 12)
    radius, rise = r * (1 - s**2) ** power, dome * s
    m.add("cap", lathe([(0.2, h + 0.08), (r * 0.8, h - 0.12), *zip(radius, h - 0.1 + rise)], 30))
    if cap in ("red", "orange") and rng.random() < 0.8:
        for angle in rng.uniform(0, TAU / 6, 3)[:, None] + np.arange(6) * TAU / 6:
            for a in angle:
                k = rng.uniform(0.25, 0.85)
                q = np.interp(k, s, radius)
                m.add(
                    "dot",
                    sphere(
                        rng.uniform(0.09, 0.19), (q * np.cos(a), q * np.sin(a), h - 0.1 + dome * k), rings=5
                    ),
                )
    return m.pose(("x", choose(rng, 0, 0, rng.uniform(-12, 12))))


def fir_tree(rng):
    """Stacked jagged cones on a trunk; baubles, snow or a star at times."""
    tiers, h, r = rng.integers(3, 6), rng.uniform(2.6, 3.6), rng.uniform(1.0, 1.4)
    m = Model(
        needles=choose(rng, ("rough", "fir"), ("rough", "fir"), ("plain", "green"), ("rough", "dark green")),
        trunk=("wood", "bark"),
        ball=("glazed", choose(rng, "red", "gold", "blue")),
        star=("plain", "yellow"),
    )
    m.add("trunk", cylinder(0.2, 0, 0.7))
    teeth, jag = rng.integers(8, 15), rng.uniform(0, 0.12)
    star = rng.random() < 0.3
    balls = rng.random() < 0.35
    for i in range(tiers):
        low = 0.5 + (h - 0.5) * i / tiers * 0.85
        high = low + (h - 0.5) / tiers * 1.75
        wide = r * (1 - 0.72 * i / tiers)
        m.add(
            "needles",
            lathe(
                [(0.1, low + 0.12), (wide, low), (wide * 0.45, (low + high) / 2 - 0.05), (0.02, high)],
                3 * teeth,
                lambda a: 1 + jag * np.cos(teeth * a),
            ),
        )
        for a in rng.uniform(0, TAU, 5 if balls else 0):
            m.add("ball", sphere(0.12, (wide * 0.92 * np.cos(a), wide * 0.92 * np.sin(a), low), rings=6))
    if star:
        angle = np.arange(10) * TAU / 10 + TAU / 4
        reach = np.where(np.arange(10) % 2, 0.14, 0.34)[:, None]
        flat = prism(reach * np.stack([np.cos(angle), np.sin(angle)], 1), -0.06, 0.06)
        m.add("star", move(turn(flat, "x", 90), (0, 0, high + 0.15)))
    return m


def snowman(rng):
    """Two or three balls with eyes, a carrot nose, buttons; hat, scarf and arms at times."""
    balls = rng.integers(2, 4)
    m = Model(
        snow=("rough", "snow"),
        coal=("plain", "black"),
        nose=("plain", "carrot"),
        hat=("plain", choose(rng, "black", "black", "blue", "red")),
        arm=("plain", "bark"),
        scarf=("striped", choose(rng, "red", "green", "blue"), "white"),
    )
    z, r = 0, 1.0
    for i in range(balls):
        z += r * 0.9
        m.add("snow", sphere(r, (0, 0, z)))
        if i == balls - 2:
            for k in (-0.3, 0.05, 0.4)[: rng.integers(2, 4)]:
                m.add("coal", sphere(0.1, (0, -r * np.cos(k), z + r * np.sin(k)), rings=5))
            chest, wide = z, r
        if i < balls - 1:
            z, r = z + r * 0.78, r * rng.uniform(0.68, 0.8)
    for x in (-0.3, 0.3):
        m.add("coal", sphere(0.11, (x * r, -r * 0.9, z + 0.28 * r), rings=5))
    m.add("nose", tube([(0, -r * 0.9, z), (0, -r * 1.3, z), (0, -r * 1.8, z - 0.05)], [0.15, 0.1, 0.02]))
    if rng.random() < 0.7:
        brim, tall = rng.uniform(0.8, 1), rng.uniform(0.5, 1)
        m.add(
            "hat",
            cylinder(r * brim, z + r * 0.75, z + r * 0.83),
            cylinder(r * 0.58, z + r * 0.8, z + r * (0.8 + tall)),
        )
    if rng.random() < 0.5:
        t = np.linspace(0, TAU, 20, endpoint=False)
        neck = z - r * 0.8
        m.add(
            "scarf",
            tube(np.stack([r * 0.72 * np.cos(t), r * 0.72 * np.sin(t), neck + 0 * t], 1), 0.17, closed=True),
        )
    if rng.random() < 0.7:
        for side in (-1, 1):
            m.add(
                "arm",
                tube(
                    [
                        (side * wide * 0.8, 0, chest),
                        (side * wide * 1.4, 0, chest + 0.25),
                        (side * wide * 1.8, -0.1, chest + 0.3 + rng.uniform(0, 0.4)),
                    ],
                    0.06,
                    6,
                ),
            )
    return m


def house(rng):
    """Walls, a gabled or hipped roof, a door, windows and often a chimney."""
    w, d, h = rng.uniform(1.6, 2.4), rng.uniform(1.4, 2), rng.uniform(1, 1.7)
    rise, over = rng.uniform(0.7, 1.2), rng.uniform(0.1, 0.25)
    m = Model(
        wall=choose(
            rng,
            ("plain", "cream"),
            ("brick", "brick", "cream"),
            ("plain", "white"),
            ("plain", "yellow"),
            ("wood", "wood"),
        ),
        roof=("rough", choose(rng, "red", "brick", "slate", "bark")),
        door=("plain", choose(rng, "bark", "green", "blue")),
        pane=("glazed", "dark blue"),
        frame=("plain", "white"),
        chimney=("brick", "brick", "cream"),
    )
    gable = np.array([(-w / 2, 0), (w / 2, 0), (w / 2, h), (0, h + rise), (-w / 2, h)])
    hip = rng.random() < 0.3
    m.add("wall", box((w, d, h), (0, 0, h / 2)) if hip else turn(prism(gable, -d / 2, d / 2), "x", 90))
    if hip:
        m.add("roof", turn(cylinder(0.707, 0, rise, 0.06, 4), "z", 45))
        m.points[-16:] *= [w + 2 * over, d + 2 * over, 1]
        m.points[-16:] += [0, 0, h]
    else:
        a, t, k = w / 2 + over, 0.12, rise / (w / 2)
        roof = [
            (-a, h - over * k),
            (0, h + rise),
            (a, h - over * k),
            (a, h - over * k + t),
            (0, h + rise + t),
            (-a, h - over * k + t),
        ]
        for half in (roof[:2] + roof[4:], roof[1:5]):
            m.add("roof", turn(prism(np.array(half), -d / 2 - over, d / 2 + over), "x", 90))
    front = -d / 2 - 0.02
    door = rng.uniform(-0.25, 0.25) * w if rng.random() < 0.5 else 0
    m.add("door", box((0.4, 0.08, 0.75), (door, front, 0.375)))
    spots = [x for x in (-0.32 * w, 0, 0.32 * w) if abs(x - door) > 0.42]
    spots = [(x, front, h * 0.62) for x in spots]
    for x, y, z in spots + ([(0, front, h + 0.3 * rise)] if not hip else []):
        m.add("frame", box((0.42, 0.06, 0.42), (x, y, z)))
        m.add("pane", box((0.3, 0.09, 0.3), (x, y, z)))
    for side in (-1, 1):
        for y in (-0.25 * d, 0.25 * d):
            m.add("frame", box((0.06, 0.42, 0.42), (side * (w / 2 + 0.02), y, h * 0.55)))
            m.add("pane", box((0.09, 0.3, 0.3), (side * (w / 2 + 0.02), y, h * 0.55)))
    if rng.random() < 0.7:
        m.add("chimney", box((0.28, 0.28, rise), (0.25 * w, 0.2 * d, h + rise * 0.75)))
    return m


def table(rng):
    """A round or square top on four legs or on a pillar."""
    h, thick = rng.uniform(1.1, 1.7), rng.uniform(0.1, 0.2)
    w, d = rng.uniform(1.8, 2.8), rng.uniform(1.4, 1.9)
    tone = choose(rng, "wood", "dark wood", "light wood", "wood")
    m = Model(top=("wood", tone), leg=choose(rng, ("wood", tone), ("wood", tone), ("plain", "white")))
    style = rng.integers(3)
    if style == 2:
        m.add("top", cylinder(1.25, h, h + thick, sides=36))
        m.add("leg", lathe(smooth([(0.75, 0), (0.7, 0.1), (0.2, 0.25), (0.16, h * 0.5), (0.2, h)])))
        return m
    m.add(
        "top", cylinder(1.25, h, h + thick, sides=36) if style else box((w, d, thick), (0, 0, h + thick / 2))
    )
    x, y = (0.78, 0.78) if style else (w / 2 - 0.16, d / 2 - 0.16)
    leg, taper = rng.uniform(0.09, 0.15), rng.uniform(0.55, 1)
    for a in (-x, x):
        for b in (-y, y):
            m.add("leg", move(turn(cylinder(leg * taper, 0, h, leg, 4), "z", 45), (a, b, 0)))
    if not style:
        m.add("leg", box((2 * x, 2 * y, 0.2), (0, 0, h - 0.1)))
    return m
