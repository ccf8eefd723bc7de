"""One scene: arrange models before the camera, dress the stage, light it, render picture and index."""

import bpy
import numpy as np
from materials import Tree, material, odd_look, shade
from mathutils import Matrix
from models import MODELS
from shapes import rotation

SIZE, GRID = 192, 44  # pixels a side; cells a side of the quick visibility estimate
FLOORS = ["wood", "wood", "tiles", "chequer", "plain", "cloth", "cloth", "marble", "striped", "rough"]
FLOOR_COLOURS = [
    "wood",
    "light wood",
    "dark wood",
    "white",
    "cream",
    "grey",
    "slate",
    "blue",
    "dark blue",
    "green",
    "dark green",
    "red",
    "brick",
    "yellow",
    "pink",
    "purple",
    "black",
    "steel",
]

ENLARGED = {"carrot": 1.3, "fir tree": 1.2, "candle": 1.12, "pear": 1.12}  # else too small to teach with


class Camera:
    """Where the camera stands and looks, and the projection of points to the picture."""

    def __init__(self, rng, distance=3.0):
        self.height = np.radians(rng.uniform(12, 42))
        self.azimuth = rng.uniform(0, 360)
        self.focal = rng.uniform(38, 80)
        self.aim, self.distance = np.zeros(3), distance

    def frame(self):
        """Position, and the right, up and backward axes."""
        a, h = np.radians(self.azimuth), self.height
        back = np.array([np.cos(a) * np.cos(h), np.sin(a) * np.cos(h), np.sin(h)])
        right = np.array([-np.sin(a), np.cos(a), 0])
        return self.aim + self.distance * back, right, np.cross(back, right), back

    def project(self, points):
        """Picture coordinates (-1..1 inside the frame) and depth."""
        place, right, up, back = self.frame()
        away = points - place
        depth = np.maximum(-away @ back, 1e-3)
        return np.stack([away @ right, away @ up], 1) / depth[:, None] * self.focal / 18, depth


def visible(camera, clouds):
    """For each cloud of points: the share of the picture it covers, and of itself that is seen.

    An estimate on a coarse grid of twice the width of the picture, with the nearest point on top.
    """
    nearest = np.full((2 * GRID, 2 * GRID), np.inf)
    owner = np.full((2 * GRID, 2 * GRID), -1)
    whole = []
    for k, cloud in enumerate(clouds):
        flat, depth = camera.project(cloud)
        cells = np.floor((flat + 2) * GRID / 2).astype(int)
        inside = ((cells >= 0) & (cells < 2 * GRID)).all(1)
        x, y = cells[inside].T
        mine = np.full_like(nearest, np.inf)
        np.minimum.at(mine, (y, x), depth[inside])
        whole.append(max(np.isfinite(mine).sum(), 1))
        owner[mine < nearest] = k
        nearest = np.minimum(nearest, mine)
    half = slice(GRID // 2, GRID // 2 + GRID)
    seen = np.array([(owner[half, half] == k).sum() for k in range(len(clouds))])
    return seen / GRID**2, seen / np.array(whole)


def arrange(rng, models):
    """Place models on the floor and aim the camera; every model shall be seen well enough."""
    clouds = [model.surface(rng) for model in models]
    best = (-1.0, None)
    for _ in range(60):
        camera = Camera(rng)
        places, shown = scatter(rng, camera, models, clouds)
        target = rng.uniform(*[(0.16, 0.34), (0.27, 0.45), (0.32, 0.50), (0.36, 0.54)][len(models) - 1])
        points = np.vstack(shown)
        camera.aim = (points.min(0) + points.max(0)) / 2
        shift = rng.normal(0, 0.16, 2)
        for _ in range(3):
            share, _ = visible(camera, shown)
            camera.distance *= np.clip(np.sqrt(share.sum() / target), 0.5, 2)
        _, right, up, _ = camera.frame()
        camera.aim = camera.aim + (right * shift[0] + up * shift[1]) * camera.distance * 18 / camera.focal
        share, part = visible(camera, shown)
        # at least 5 % of the picture each, and 72 % of itself in sight (40 % now and then)
        score = min(share.min() / 0.05, part.min() / (0.4 if rng.random() < 0.3 else 0.72), 1)
        score -= 0.3 * (camera.distance < 2.6) + 0.3 * (share.max() > 0.42)
        if score > best[0]:
            best = (score, (camera, places))
        if score >= 1:
            break
    return best[1]


def scatter(rng, camera, models, clouds):
    """Random spots and headings, with no two models inside each other."""
    spots, places, shown = [], [], []
    for model, cloud in zip(models, clouds):
        radius = np.linalg.norm(model.points[:, :2], axis=1).max()
        spread = 0.25 + 0.32 * len(models)
        for _ in range(40):
            spot = rng.uniform(-spread, spread, 2)
            if all(np.hypot(*(spot - s)) > 0.92 * (radius + r) for s, r in spots):
                break
            spread *= 1.06
        spots.append((spot, radius))
        toward = camera.azimuth + 90 + rng.uniform(-50, 50)  # models face -y
        yaw = toward if rng.random() < 0.88 else rng.uniform(0, 360)
        places.append((spot, yaw))
        shown.append(cloud @ rotation("z", yaw).T + [*spot, 0])
    return places, shown


def build(rng, things):
    """Models for (class index, odd) pairs, mirrored and scaled a little at random."""
    models = []
    for index, _ in things:
        model = MODELS[index - 1][1](rng).settle()
        model.points *= rng.uniform(0.85, 1.15) * ENLARGED.get(MODELS[index - 1][0], 1)
        if rng.random() < 0.5:
            model.points[:, 0] *= -1
        models.append(model)
    return models


def put(rng, model, place, odd, index):
    """Turn a model into a Blender object with its materials and its pass index."""
    mesh = bpy.data.meshes.new("thing")
    mesh.from_pydata(model.points.tolist(), [], model.faces)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=0.7)
    roles = list(model.looks)
    for role in roles:
        look = odd_look(rng, model.looks[role]) if odd else model.looks[role]
        mesh.materials.append(material(rng, look, rng.uniform(1, 2) if look[0] != "wood" else 1.5))
    mesh.polygons.foreach_set("material_index", [roles.index(role) for role in model.roles])
    thing = bpy.data.objects.new("thing", mesh)
    (x, y), yaw = place
    thing.location, thing.rotation_euler = (x, y, 0.001), (0, 0, np.radians(yaw))
    thing.pass_index = index
    bpy.context.collection.objects.link(thing)


def stage(rng, camera):
    """The floor and two walls behind, each of its own material; returns the unwalled direction."""

    def plane(name, kind, colour, matrix, size):
        mesh = bpy.data.meshes.new(name)
        corners = np.array([[-9, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0]], float)
        mesh.from_pydata(corners.tolist(), [], [[0, 1, 2, 3]])
        calm = rng.random() < (0.8 if kind in ("cloth", "rough", "marble") else 0.4)
        look = (kind, colour) if calm else (kind, colour, FLOOR_COLOURS[rng.integers(18)])
        mesh.materials.append(material(rng, look, size))
        thing = bpy.data.objects.new(name, mesh)
        thing.location, thing.rotation_euler = matrix
        bpy.context.collection.objects.link(thing)

    pick = FLOOR_COLOURS[rng.integers(len(FLOOR_COLOURS))]
    kind = FLOORS[rng.integers(len(FLOORS))]
    plane("floor", kind, pick, ((0, 0, 0), (0, 0, rng.uniform(0, 6))), rng.uniform(0.25, 0.7))
    side, swing = (-1 if rng.random() < 0.5 else 1), rng.uniform(-20, 20)
    for k in range(2):
        a = np.radians(camera.azimuth + 180 + swing + 75 * k * side)
        gap = rng.uniform(1.8, 4)
        where = ((gap * np.cos(a), gap * np.sin(a), 0), (np.pi / 2, 0, a + np.pi / 2))
        plane(
            "wall",
            ["plain", "cloth", "marble", "striped", "plain", "wood"][rng.integers(6)],
            FLOOR_COLOURS[rng.integers(len(FLOOR_COLOURS))],
            where,
            rng.uniform(0.2, 0.6),
        )
    return camera.azimuth + swing + 38 * side


def light(rng, open_side):
    """A key light (sun or lamp) from the side without walls, a world with a bright and a dark side."""
    warm = rng.uniform(-1, 1)
    tint = (1 + 0.15 * warm, 1, 1 - 0.15 * warm)
    a = np.radians(open_side + rng.uniform(-45, 45))
    h = np.radians(rng.uniform(35, 72))
    away = np.array([np.cos(a) * np.cos(h), np.sin(a) * np.cos(h), np.sin(h)])
    sun = rng.random() < 0.5
    lamp = bpy.data.lights.new("key", "SUN" if sun else "AREA")
    lamp.color = tint
    if sun:
        lamp.energy, lamp.angle = rng.uniform(1.6, 2.4), rng.uniform(0.02, 0.25)
    else:
        lamp.energy, lamp.size = rng.uniform(150, 220), rng.uniform(0.6, 2)
    thing = bpy.data.objects.new("key", lamp)
    thing.location = away * 3.6
    thing.rotation_euler = (np.pi / 2 - h, 0, a + np.pi / 2)
    bpy.context.collection.objects.link(thing)
    world = bpy.data.worlds.new("world")
    tree = Tree(world)
    normal = tree.add("ShaderNodeTexCoord").outputs["Generated"]
    facing = tree.add("ShaderNodeVectorMath", {0: normal, 1: tuple(away)}, operation="DOT_PRODUCT")
    low, high = [shade(rng, "grey", 2), shade(rng, "white", 2)]
    colour = tree.blend(tree.step(facing.outputs["Value"], -0.6, 0.9), low, high)
    glow = tree.add("ShaderNodeBackground", {0: colour, 1: rng.uniform(0.5, 0.75)}).outputs[0]
    tree.links.new(glow, tree.add("ShaderNodeOutputWorld").inputs[0])
    world.cycles.sampling_method = "NONE"
    bpy.context.scene.world = world


def aim(camera):
    """The Blender camera for a `Camera`."""
    place, right, up, back = camera.frame()
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width = camera.focal, 36
    thing = bpy.data.objects.new("camera", data)
    bpy.context.collection.objects.link(thing)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = right, up, back, place
    thing.matrix_world = Matrix(matrix.tolist())
    bpy.context.scene.camera = thing


def clear():
    """Forget the last frame."""
    for store in (
        bpy.data.objects,
        bpy.data.meshes,
        bpy.data.materials,
        bpy.data.lights,
        bpy.data.cameras,
        bpy.data.worlds,
        bpy.data.images,
    ):
        for item in list(store):
            store.remove(item)


def compose(rng, things):
    """Make the whole scene for a list of (class index, odd) pairs."""
    clear()
    models = build(rng, things)
    camera, places = arrange(rng, models)
    for number, (model, place, (index, odd)) in enumerate(zip(models, places, things), 1):
        put(rng, model, place, odd, 10 * index + number)
    light(rng, stage(rng, camera))
    aim(camera)
