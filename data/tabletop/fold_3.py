"""Fold 3: chair, lamp, gear, screw and book.

Every function takes a numpy generator and returns a `Model` whose proportions and details
are drawn from it. Lengths are relative: `Model.settle` scales the result.
"""

import numpy as np
from shapes import (
    TAU,
    Model,
    box,
    choose,
    cylinder,
    lathe,
    lattice,
    move,
    prism,
    ring_prism,
    smooth,
    sphere,
    tube,
    turn,
)


def cylinder_at(place, radius, low, high, top=None):
    """An eight-sided leg standing at a place on the floor."""
    return move(cylinder(radius, low, high, top, 8), (*place, 0))


def chair(rng):
    """A seat on four legs and a back of slats, bars or a panel; arms at times."""
    h, back, w = rng.uniform(1.0, 1.3), rng.uniform(1.1, 1.6), rng.uniform(1.1, 1.4)
    tone = choose(rng, "wood", "dark wood", "light wood", "wood")
    m = Model(
        frame=("wood", tone),
        seat=choose(rng, ("wood", tone), ("plain", "red"), ("plain", "blue"), ("plain", "cream")),
    )
    x, thick = w / 2 - 0.1, rng.uniform(0.08, 0.12)
    m.add("seat", box((w, w, 0.15), (0, 0, h)))
    lean = rng.uniform(0, 0.3)
    for side in (-x, x):
        m.add(
            "frame",
            cylinder_at((side, -x), thick * 0.7, 0, h, thick),
            cylinder_at((side, x), thick * 0.7, 0, h, thick),
            tube([(side, x, h), (side, x + lean / 2, h + back / 2), (side, x + lean, h + back)], thick, 6),
        )
    style = rng.integers(3)
    top = (0, x + lean * 0.95, h + back - 0.12)
    if style == 0:
        m.add("frame", box((w - 0.1, 0.1, 0.25), top))
        for k in np.linspace(-0.6, 0.6, rng.integers(3, 5)) * x:
            m.add("frame", tube([(k, x, h), (k, x + lean, h + back - 0.2)], 0.05, 6))
    elif style == 1:
        for k in np.linspace(0.35, 0.92, 3):
            m.add("frame", box((w - 0.1, 0.08, 0.2), (0, x + lean * k, h + back * k)))
    else:
        panel = turn(box((w - 0.05, 0.1, back * 0.75)), "x", -np.degrees(np.arctan(lean / back)))
        m.add("seat", move(panel, (0, x + lean * 0.6, h + back * 0.6)))
    if rng.random() < 0.25:
        for side in (-x, x):
            m.add(
                "frame",
                box((0.14, w - 0.05, 0.1), (side, 0, h + 0.55)),
                cylinder_at((side, -x), 0.07, h, h + 0.55),
            )
    return m


def lamp(rng):
    """A table or standing lamp with a cone, drum or dome shade, or a bent desk lamp."""
    style, pole = rng.integers(4), rng.uniform(1.2, 2.4)
    m = Model(
        base=choose(rng, ("metal", "gold"), ("metal", "steel"), ("plain", "black"), ("glazed", "blue")),
        shade=("shade", choose(rng, "cream", "lampshade", "white", "orange", "green")),
        bulb=("glow", "lamplight"),
    )
    m.add("base", lathe([(0, 0), (0.75, 0), (0.75, 0.1), (0.15, 0.22), (0, 0.22)]))
    wide, tall = rng.uniform(0.95, 1.25), rng.uniform(0.8, 1.1)
    drop = smooth([(wide, 0), (wide * 0.95, 0.3 * tall), (wide * 0.5, tall)], 2 if style == 2 else 0)
    if style == 1:
        drop = np.array([(wide * 0.95, 0), (wide * 0.8, tall)])
    shade = lathe([*drop, (0, tall), *(drop[::-1] * [0.93, 0.97])], 32)
    bulb = sphere(0.3, (0, 0, 0.12))
    if style == 3:
        joint, end = (-0.75, 0, pole * 0.75), (0.2, 0, pole * 1.35)
        m.add("base", tube([(0, 0, 0.1), joint], 0.08), tube([joint, end], 0.08), sphere(0.14, joint))
        tilt = rng.uniform(-50, -15)
        small = [
            move(turn(move((p[0] * 0.8, p[1]), (0, 0, -0.8 * tall)), "y", tilt), end) for p in (shade, bulb)
        ]
        m.add("shade", small[0]).add("bulb", small[1])
        return m
    if pole < 1.7:
        body = smooth([(0.3, 0.2), (rng.uniform(0.4, 0.7), 0.6), (0.5, 0.9), (0.12, pole)])
        m.add("base", lathe(body, 24))
    m.add("base", cylinder(0.08, 0.1, pole + 0.3, sides=10))
    m.add("shade", move(shade, (0, 0, pole))).add("bulb", move(bulb, (0, 0, pole)))
    return m


def gear(rng):
    """A toothed wheel with a hole, flat or on edge; holes between spokes at times."""
    teeth, depth = rng.integers(8, 17), rng.uniform(0.16, 0.28)
    m = Model(
        body=("metal", choose(rng, "steel", "steel", "steel", "gold", "dark steel")),
        hub=("metal", choose(rng, "steel", "gold")),
    )
    k = np.arange(teeth * 8)
    angle = k * TAU / len(k)
    up = np.array([0, 0, 0.15, 1, 1, 1, 0.85, 0])[k % 8]
    outer = 1 - depth + depth * up
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    half = rng.uniform(0.14, 0.3)
    spokes = rng.random() < 0.45
    hole = rng.uniform(0.22, 0.42) if not spokes else 1 - depth - 0.2
    m.add("body", ring_prism(outer[:, None] * ring, hole * ring, -half, half))
    if spokes:
        m.add("body", ring_prism(0.36 * ring, 0.16 * ring, -half * 1.2, half * 1.2))
        for a in np.arange(n := rng.integers(3, 7)) * 360 / n:
            m.add("body", turn(box((hole - 0.25, 0.2, half), (0.28 + (hole - 0.25) / 2, 0, 0)), "z", a))
    elif rng.random() < 0.5:
        m.add("hub", ring_prism((hole + 0.15) * ring, hole * ring, -half * 1.4, half * 1.4))
    pose = choose(rng, 0, 0, 90, 90, rng.uniform(50, 75))
    return m.pose(("z", rng.uniform(0, 360)), ("x", pose))


def screw(rng):
    """A threaded shaft with a hexagonal, round or countersunk head."""
    length, r, turns = rng.uniform(1.8, 3), rng.uniform(0.33, 0.45), rng.integers(6, 11)
    m = Model(body=("metal", choose(rng, "steel", "steel", "dark steel", "gold")), slot=("plain", "black"))
    angle, z = np.arange(24) * TAU / 24, np.linspace(0, 1, turns * 6 + 1)
    phase = (z[:, None] * turns - angle / TAU) % 1
    point = np.clip(z / choose(rng, 0.04, 0.22), 0.05, 1)[:, None]
    radius = point * (r * 0.78 + r * 0.42 * (1 - np.abs(2 * phase - 1)))
    m.add(
        "body",
        lattice(
            np.stack([radius * np.cos(angle), radius * np.sin(angle), z[:, None] * length + 0 * angle], -1),
            wrap_columns=True,
        ),
    )
    style, wide, thick = rng.integers(3), r * rng.uniform(2.2, 2.8), rng.uniform(0.35, 0.55)
    head = [
        cylinder(wide, length, length + thick, sides=6),
        lathe(
            [
                (r, length - 0.02),
                (wide, length),
                *smooth([(wide, length + 0.1), (wide * 0.8, length + thick), (0, length + thick)]),
            ]
        ),
        cylinder(r, length - thick, length + thick * 0.6, wide),
    ][style]
    m.add("body", head)
    if style:
        top = head[0][:, 2].max()
        bars = [box((wide * 1.3, 0.16, 0.06), (0, 0, top)), box((0.16, wide * 1.3, 0.06), (0, 0, top))]
        m.add("slot", *bars[: rng.integers(1, 3)])
    pose = choose(rng, 98, 98, 98, 180, 0)
    if pose == 98:
        lean = np.degrees(np.arctan((wide - r) / length))
        return m.pose(("x", 90 + lean), ("z", rng.uniform(0, 360)))
    return m.pose(("x", pose))


def book(rng):
    """Two boards and a spine around white pages: closed, standing or open."""
    w, h, t = rng.uniform(1.3, 1.7), rng.uniform(1.9, 2.3), rng.uniform(0.3, 0.65)
    cover = choose(rng, "red", "blue", "green", "bark", "purple", "dark blue")
    m = Model(
        cover=("plain", cover),
        page=("pages", "white"),
        line=("plain", "grey"),
        title=("plain", choose(rng, "gold", "white", "yellow")),
    )
    style, b = rng.integers(4), 0.07
    if style == 3:
        s = np.linspace(0, 1, 12)
        bulge = t * (np.sin(np.pi * np.sqrt(s)) * 0.6 + 0.35 * (1 - s)) * 0.8
        for side in (-1, 1):
            page = np.column_stack([side * s * w, 0.1 + np.maximum(bulge, 0.06)])
            outline = np.vstack([page, [[side * w, 0.07], [0, 0.07]]])
            m.add("page", turn(prism(outline, -h / 2, h / 2), "x", 90))
            m.add("cover", box((w + 0.08, h + 0.14, b), (side * (w + 0.08) / 2, 0, b / 2)))
            for y in np.linspace(-0.7, 0.7, 6) * h / 2 if rng.random() < 0.8 else ():
                line = page[3:-2:2]
                m.add("line", tube(np.stack([line[:, 0], 0 * line[:, 0] + y, line[:, 1]], 1), 0.02, 5))
        return m
    m.add(
        "cover",
        box((w, h, b), (0, 0, b / 2)),
        box((w, h, b), (0, 0, t + b / 2)),
        box((b, h, t + b), (-w / 2, 0, (t + b) / 2)),
    )
    m.add("page", box((w - 0.12, h - 0.14, t - 0.02), (0, 0, b / 2 + t / 2)))
    for y, k in ((0.55, 0.7), (0.25, 0.45))[: rng.integers(1, 3)]:
        m.add("title", box((w * k, 0.16, 0.02), (0.04, y * h / 2, t + b)))
    m.add("title", box((0.02, 0.3, t * 0.6), (-w / 2 - b / 2, h * 0.2, t / 2)))
    if style == 2:
        return m.pose(("x", 90), ("z", rng.uniform(-25, 25)))
    return m
