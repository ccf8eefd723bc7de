"""Meshes from numbers: each helper returns a part, `(vertices, faces)`, in numpy alone.

The z axis points up. Parts are combined by `Model`, which also remembers which role
(body, lid, stem...) every face plays, so that materials can be chosen later.
"""

import numpy as np

TAU = 2 * np.pi


def lattice(points, wrap_rows=False, wrap_columns=False):
    """Join an (a, b, 3) lattice of points by quads."""
    a, b = points.shape[:2]
    index = np.arange(a * b).reshape(a, b)
    if wrap_rows:
        index = np.vstack([index, index[:1]])
    if wrap_columns:
        index = np.hstack([index, index[:, :1]])
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1)
    return points.reshape(-1, 3), quads.reshape(-1, 4).tolist()


def smooth(points, rounds=2):
    """Round a polyline by Chaikin's corner cutting; the end points stay."""
    points = np.asarray(points, float)
    for _ in range(rounds):
        cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], 1)
        points = np.vstack([points[:1], cut.reshape(-1, points.shape[1]), points[-1:]])
    return points


def lathe(profile, sides=28, wave=None):
    """Turn a profile of (radius, height) pairs; `wave(angle)` scales the radius."""
    profile = np.asarray(profile, float)
    angle = np.arange(sides) * TAU / sides
    factor = np.ones(sides) if wave is None else wave(angle)
    radius = np.maximum(profile[:, :1], 1e-4) * factor
    height = np.broadcast_to(profile[:, 1:], radius.shape)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)
    return lattice(points, wrap_columns=True)


def cylinder(radius, low, high, top=None, sides=20):
    """A closed cylinder, or a cone frustum when `top` is another radius."""
    top = radius if top is None else top
    return lathe([(0, low), (radius, low), (top, high), (0, high)], sides)


def sphere(radius=1.0, centre=(0, 0, 0), stretch=(1, 1, 1), rings=12):
    """A ball, stretched along the axes if asked."""
    t = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    points, faces = lathe(np.stack([np.cos(t), np.sin(t)], 1), 2 * rings)
    return points * radius * np.asarray(stretch) + centre, faces


def box(size, centre=(0, 0, 0)):
    """A box with the given edge lengths."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    faces = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return corners * np.asarray(size, float) + centre, faces


def round_box(size, radius, steps=7):
    """A cube with rounded edges: a sphere of grid points pushed out from an inner cube."""
    s = np.linspace(-1, 1, 2 * steps)
    s = np.sign(s) * np.abs(s) ** 0.6
    u, v = np.meshgrid(s, s, indexing="ij")
    one = np.ones_like(u)
    parts = []
    for axis in range(3):
        for side in (-1, 1):
            cube = np.roll(np.stack([side * one, u, v], -1), axis, -1) * size / 2
            core = np.clip(cube, -size / 2 + radius, size / 2 - radius)
            away = cube - core
            away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
            parts.append(lattice(core + radius * away))
    return join(parts)


def tube(path, radius, sides=10, closed=False):
    """A tube along a path; `radius` is a number or one number for each point."""
    path = np.asarray(path, float)
    radius = np.broadcast_to(radius, len(path))
    if closed:
        along = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    else:
        along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    normal = np.cross(along[0], [0.3, 0.5, 0.81])
    angle = np.arange(sides) * TAU / sides
    rows = []
    for point, way, r in zip(path, along, radius):
        normal = normal - way * normal.dot(way)
        normal /= np.linalg.norm(normal)
        side = np.cross(way, normal)
        rows.append(point + r * (np.cos(angle)[:, None] * normal + np.sin(angle)[:, None] * side))
    if not closed:
        rows = [np.repeat(path[:1], sides, 0)] + rows + [np.repeat(path[-1:], sides, 0)]
    return lattice(np.array(rows), wrap_rows=closed, wrap_columns=True)


def ring_prism(outer, inner, low, high):
    """A flat ring between two (n, 2) outlines of as many points, from `low` to `high`."""

    def lift(flat, z):
        return np.column_stack([flat, np.full(len(flat), z)])

    rows = [lift(outer, low), lift(outer, high), lift(inner, high), lift(inner, low)]
    return lattice(np.array(rows), wrap_rows=True, wrap_columns=True)


def prism(outline, low, high):
    """A filled (n, 2) outline pulled up from `low` to `high`."""
    n = len(outline)
    points = np.vstack([np.column_stack([outline, np.full(n, z)]) for z in (low, high)])
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return points, sides + [list(range(n))[::-1], list(range(n, 2 * n))]


def join(parts):
    """Several parts as one."""
    points, faces, base = [], [], 0
    for vertices, quads in parts:
        points.append(vertices)
        faces += [[base + i for i in quad] for quad in quads]
        base += len(vertices)
    return np.vstack(points), faces


def turn(part, axis, degrees):
    """Rotate a part about a coordinate axis ("x", "y" or "z") through the origin."""
    return part[0] @ rotation(axis, degrees).T, part[1]


def rotation(axis, degrees):
    """Rotation matrix about a coordinate axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def move(part, offset):
    """Shift a part."""
    return part[0] + np.asarray(offset, float), part[1]


def choose(rng, *options):
    """One of the options, each as likely."""
    return options[rng.integers(len(options))]


def lie(model, rng, chance):
    """Lay a model on its side, with the given chance."""
    if rng.random() < chance:
        model.pose(("x", 90), ("z", rng.uniform(0, 360)))
    return model


class Model:
    """An object: vertices, faces, the role of every face and the typical look of a role.

    A look is `(kind, colour)` or `(kind, colour, second colour)`; see materials.py.
    """

    def __init__(self, **looks):
        self.looks = looks
        self.points, self.faces, self.roles = np.zeros((0, 3)), [], []

    def add(self, role, *parts):
        """Add parts that play a role."""
        points, faces = join(parts)
        self.faces += [[len(self.points) + i for i in face] for face in faces]
        self.points = np.vstack([self.points, points])
        self.roles += [role] * len(faces)
        return self

    def pose(self, *turns):
        """Rotate by (axis, degrees) pairs, one after another."""
        for axis, degrees in turns:
            self.points = self.points @ rotation(axis, degrees).T
        return self

    def settle(self):
        """Centre on the z axis, stand on z = 0 and scale to about unit apparent size."""
        low, high = self.points.min(0), self.points.max(0)
        self.points -= [*(low + high)[:2] / 2, low[2]]
        width, height = (high - low)[:2].mean(), (high - low)[2]
        tall = height + 0.35 * width
        self.points /= max(np.sqrt(width * tall), 0.66 * max(width, tall))
        return self

    def surface(self, rng, count=4000):
        """Random points on the surface, for a quick estimate of what the camera sees."""
        quads = np.array([(f[0], f[1], f[2], f[3 % len(f)]) for f in self.faces])
        corners = self.points[quads]
        areas = (
            np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
            + 1e-12
        )
        pick = corners[rng.choice(len(quads), count, p=areas / areas.sum())]
        u, v = rng.random((2, count, 1))
        return (1 - u) * ((1 - v) * pick[:, 0] + v * pick[:, 3]) + u * ((1 - v) * pick[:, 1] + v * pick[:, 2])
