"""Fold 2: mushroom, fir tree, snowman, house and table.

Every function takes a numpy generator and returns a `Model` whose proportions and details
are drawn from it. Lengths are relative: `Model.settle` scales the result.
"""

import numpy as np
from shapes import TAU, Model, box, choose, cylinder, lathe, move, prism, smooth, sphere, tube, turn


def mushroom(rng):
    """A stem under a domed, pointed or flat cap; white dots at times."""
    h, r, dome = rng.uniform(1.3, 2.2), rng.uniform(1.05, 1.4), rng.uniform(.55, 1.15)
    foot = rng.uniform(.38, .6)
    cap = choose(rng, "red", "red", "bark", "orange", "brown")
    m = Model(stem=("plain", "cream"), cap=("glazed", cap), dot=("plain", "white"))
    m.add("stem", lathe(smooth([(0, 0), (foot, 0), (foot * 1.1, .2), (foot * .75, h * .6), (.36, h + .1)])))
    power = rng.uniform(.45, .8)
    s = np.linspace(0, 1, 12)
    radius, rise = r * (1 - s ** 2) ** power, dome * s
    m.add("cap", lathe([(.2, h + .08), (r * .8, h - .12), *zip(radius, h - .1 + rise)], 30))
    if cap in ("red", "orange") and rng.random() < .8:
        for angle in rng.uniform(0, TAU / 6, 3)[:, None] + np.arange(6) * TAU / 6:
            for a in angle:
                k = rng.uniform(.25, .85)
                q = np.interp(k, s, radius)
                m.add("dot", sphere(rng.uniform(.09, .19),
                                    (q * np.cos(a), q * np.sin(a), h - .1 + dome * k), rings=5))
    return m.pose(("x", choose(rng, 0, 0, rng.uniform(-12, 12))))


def fir_tree(rng):
    """Stacked jagged cones on a trunk; baubles, snow or a star at times."""
    tiers, h, r = rng.integers(3, 6), rng.uniform(2.6, 3.6), rng.uniform(1.0, 1.4)
    m = Model(needles=choose(rng, ("rough", "fir"), ("rough", "fir"), ("plain", "green"),
                             ("rough", "dark green")),
              trunk=("wood", "bark"), ball=("glazed", choose(rng, "red", "gold", "blue")),
              star=("plain", "yellow"))
    m.add("trunk", cylinder(.2, 0, .7))
    teeth, jag = rng.integers(8, 15), rng.uniform(0, .12)
    star = rng.random() < .3
    balls = rng.random() < .35
    for i in range(tiers):
        low = .5 + (h - .5) * i / tiers * .85
        high = low + (h - .5) / tiers * 1.75
        wide = r * (1 - .72 * i / tiers)
        m.add("needles", lathe([(.1, low + .12), (wide, low), (wide * .45, (low + high) / 2 - .05),
                                (.02, high)], 3 * teeth, lambda a: 1 + jag * np.cos(teeth * a)))
        for a in rng.uniform(0, TAU, 5 if balls else 0):
            m.add("ball", sphere(.12, (wide * .92 * np.cos(a), wide * .92 * np.sin(a), low), rings=6))
    if star:
        angle = np.arange(10) * TAU / 10 + TAU / 4
        reach = np.where(np.arange(10) % 2, .14, .34)[:, None]
        flat = prism(reach * np.stack([np.cos(angle), np.sin(angle)], 1), -.06, .06)
        m.add("star", move(turn(flat, "x", 90), (0, 0, high + .15)))
    return m


def snowman(rng):
    """Two or three balls with eyes, a carrot nose, buttons; hat, scarf and arms at times."""
    balls = rng.integers(2, 4)
    m = Model(snow=("rough", "snow"), coal=("plain", "black"), nose=("plain", "carrot"),
              hat=("plain", choose(rng, "black", "black", "blue", "red")), arm=("plain", "bark"),
              scarf=("striped", choose(rng, "red", "green", "blue"), "white"))
    z, r = 0, 1.0
    for i in range(balls):
        z += r * .9
        m.add("snow", sphere(r, (0, 0, z)))
        if i == balls - 2:
            for k in (-.3, .05, .4)[:rng.integers(2, 4)]:
                m.add("coal", sphere(.1, (0, -r * np.cos(k), z + r * np.sin(k)), rings=5))
            chest, wide = z, r
        if i < balls - 1:
            z, r = z + r * .78, r * rng.uniform(.68, .8)
    for x in (-.3, .3):
        m.add("coal", sphere(.11, (x * r, -r * .9, z + .28 * r), rings=5))
    m.add("nose", tube([(0, -r * .9, z), (0, -r * 1.3, z), (0, -r * 1.8, z - .05)], [.15, .1, .02]))
    if rng.random() < .7:
        brim, tall = rng.uniform(.8, 1), rng.uniform(.5, 1)
        m.add("hat", cylinder(r * brim, z + r * .75, z + r * .83),
              cylinder(r * .58, z + r * .8, z + r * (.8 + tall)))
    if rng.random() < .5:
        t = np.linspace(0, TAU, 20, endpoint=False)
        neck = z - r * .8
        m.add("scarf", tube(np.stack([r * .72 * np.cos(t), r * .72 * np.sin(t), neck + 0 * t], 1),
                            .17, closed=True))
    if rng.random() < .7:
        for side in (-1, 1):
            m.add("arm", tube([(side * wide * .8, 0, chest), (side * wide * 1.4, 0, chest + .25),
                               (side * wide * 1.8, -.1, chest + .3 + rng.uniform(0, .4))], .06, 6))
    return m


def house(rng):
    """Walls, a gabled or hipped roof, a door, windows and often a chimney."""
    w, d, h = rng.uniform(1.6, 2.4), rng.uniform(1.4, 2), rng.uniform(1, 1.7)
    rise, over = rng.uniform(.7, 1.2), rng.uniform(.1, .25)
    m = Model(wall=choose(rng, ("plain", "cream"), ("brick", "brick", "cream"), ("plain", "white"),
                          ("plain", "yellow"), ("wood", "wood")),
              roof=("rough", choose(rng, "red", "brick", "slate", "bark")),
              door=("plain", choose(rng, "bark", "green", "blue")), pane=("glazed", "dark blue"),
              frame=("plain", "white"), chimney=("brick", "brick", "cream"))
    gable = np.array([(-w / 2, 0), (w / 2, 0), (w / 2, h), (0, h + rise), (-w / 2, h)])
    hip = rng.random() < .3
    m.add("wall", box((w, d, h), (0, 0, h / 2)) if hip else
          turn(prism(gable, -d / 2, d / 2), "x", 90))
    if hip:
        m.add("roof", turn(cylinder(.707, 0, rise, .06, 4), "z", 45))
        m.points[-16:] *= [w + 2 * over, d + 2 * over, 1]
        m.points[-16:] += [0, 0, h]
    else:
        a, t, k = w / 2 + over, .12, rise / (w / 2)
        roof = [(-a, h - over * k), (0, h + rise), (a, h - over * k), (a, h - over * k + t),
                (0, h + rise + t), (-a, h - over * k + t)]
        for half in (roof[:2] + roof[4:], roof[1:5]):
            m.add("roof", turn(prism(np.array(half), -d / 2 - over, d / 2 + over), "x", 90))
    front = -d / 2 - .02
    door = rng.uniform(-.25, .25) * w if rng.random() < .5 else 0
    m.add("door", box((.4, .08, .75), (door, front, .375)))
    spots = [x for x in (-.32 * w, 0, .32 * w) if abs(x - door) > .42]
    spots = [(x, front, h * .62) for x in spots]
    for x, y, z in spots + ([(0, front, h + .3 * rise)] if not hip else []):
        m.add("frame", box((.42, .06, .42), (x, y, z)))
        m.add("pane", box((.3, .09, .3), (x, y, z)))
    for side in (-1, 1):
        for y in (-.25 * d, .25 * d):
            m.add("frame", box((.06, .42, .42), (side * (w / 2 + .02), y, h * .55)))
            m.add("pane", box((.09, .3, .3), (side * (w / 2 + .02), y, h * .55)))
    if rng.random() < .7:
        m.add("chimney", box((.28, .28, rise), (.25 * w, .2 * d, h + rise * .75)))
    return m


def table(rng):
    """A round or square top on four legs or on a pillar."""
    h, thick = rng.uniform(1.1, 1.7), rng.uniform(.1, .2)
    w, d = rng.uniform(1.8, 2.8), rng.uniform(1.4, 1.9)
    tone = choose(rng, "wood", "dark wood", "light wood", "wood")
    m = Model(top=("wood", tone), leg=choose(rng, ("wood", tone), ("wood", tone), ("plain", "white")))
    style = rng.integers(3)
    if style == 2:
        m.add("top", cylinder(1.25, h, h + thick, sides=36))
        m.add("leg", lathe(smooth([(.75, 0), (.7, .1), (.2, .25), (.16, h * .5), (.2, h)])))
        return m
    m.add("top", cylinder(1.25, h, h + thick, sides=36) if style else
          box((w, d, thick), (0, 0, h + thick / 2)))
    x, y = (.78, .78) if style else (w / 2 - .16, d / 2 - .16)
    leg, taper = rng.uniform(.09, .15), rng.uniform(.55, 1)
    for a in (-x, x):
        for b in (-y, y):
            m.add("leg", move(turn(cylinder(leg * taper, 0, h, leg, 4), "z", 45), (a, b, 0)))
    if not style:
        m.add("leg", box((2 * x, 2 * y, .2), (0, 0, h - .1)))
    return m
