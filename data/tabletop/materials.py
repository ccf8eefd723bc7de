"""Colours and materials: small Blender shader trees, made from a look such as ("wood", "bark")."""

import colorsys

import bpy

COLOURS = {  # sRGB, jittered at use
    "white": "f2f0ea",
    "snow": "f4f6fa",
    "cream": "efe0bd",
    "wax": "f1e3c0",
    "black": "1b1a1c",
    "grey": "8d8d90",
    "slate": "565c68",
    "red": "c22822",
    "orange": "e8821e",
    "yellow": "efc62f",
    "green": "3f9a35",
    "dark green": "1c5a2c",
    "fir": "24693a",
    "blue": "2a66c0",
    "dark blue": "1d2f63",
    "purple": "77409b",
    "pink": "f08db0",
    "brown": "7c4a26",
    "bark": "5f3d26",
    "wood": "b57a42",
    "light wood": "dbb27a",
    "dark wood": "6b3f22",
    "brick": "a5482f",
    "dough": "c98a45",
    "coffee": "4a2813",
    "cork": "c49a6c",
    "carrot": "ee7415",
    "pear": "a9bf3a",
    "pear yellow": "d9c440",
    "gold": "d9ab4a",
    "copper": "c9754b",
    "steel": "c3c7cc",
    "dark steel": "777b82",
    "bottle green": "2f7d3c",
    "amber": "9a5318",
    "clear": "d5e6ea",
    "wine": "7d0f2b",
    "white wine": "e3cf66",
    "rose": "e5798c",
    "flame": "ffb43c",
    "lamplight": "ffe2a0",
    "lampshade": "e9c98f",
}
KINDS = ["plain", "plain", "glazed", "glazed", "metal", "wood", "striped", "chequer", "speckled", "rough"]


def linear(value):
    """One sRGB channel to linear light."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def shade(rng, name, amount=1.0):
    """A named colour with some jitter, or a random one for None, as linear RGBA."""
    if name is None:
        hsv = [rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.25, 0.95)]
    else:
        rgb = [int(COLOURS[name][k : k + 2], 16) / 255 for k in (0, 2, 4)]
        hsv = list(colorsys.rgb_to_hsv(*rgb))
        hsv[0] = (hsv[0] + amount * rng.normal(0, 0.012)) % 1
        hsv[1] = min(1, max(0, hsv[1] * (1 + amount * rng.normal(0, 0.12))))
        hsv[2] = min(1, max(0.03, hsv[2] * (1 + amount * rng.normal(0, 0.08))))
    return (*[linear(c) for c in colorsys.hsv_to_rgb(*hsv)], 1)


class Tree:
    """A node tree with a short way to add a node and set or link its inputs."""

    def __init__(self, owner):
        owner.use_nodes = True
        self.nodes, self.links = owner.node_tree.nodes, owner.node_tree.links
        self.nodes.clear()

    def add(self, kind, inputs=None, **settings):
        """Add a node; `inputs` maps a socket's name or number to a value or another socket."""
        node = self.nodes.new(kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.links.new(value, node.inputs[key])
            else:
                node.inputs[key].default_value = value
        return node

    def blend(self, factor, first, second):
        """The mix of two colours by a factor socket."""
        node = self.add("ShaderNodeMixRGB", {0: factor, 1: first, 2: second})
        return node.outputs[0]

    def step(self, value, low, high):
        """Map a value from low..high to 0..1, clamped."""
        return self.add("ShaderNodeMapRange", {0: value, 1: low, 2: high}).outputs[0]


def pattern(tree, rng, kind, one, two, size):
    """A colour socket (or plain colour) for a kind of surface, at a scale."""
    place = tree.add("ShaderNodeTexCoord").outputs["Object"]
    turned = tree.add(
        "ShaderNodeMapping",
        {
            "Vector": place,
            "Rotation": tuple(rng.uniform(0, 6, 3)) if kind in ("marble", "cloth") else (0, 0, 0),
            "Location": tuple(rng.uniform(0, 9, 3) + 0.013),
        },
    ).outputs[0]
    if kind == "wood":
        stretched = tree.add("ShaderNodeMapping", {"Vector": turned, "Scale": (1, 0.12, 1)}).outputs[0]
        wave = tree.add(
            "ShaderNodeTexNoise", {"Vector": stretched, "Scale": 9 * size, "Detail": 3.0, "Distortion": 0.6}
        )
        return tree.blend(tree.step(wave.outputs[0], 0.35, 0.65), one, [c * 0.55 for c in one[:3]] + [1])
    if kind == "striped":
        wave = tree.add(
            "ShaderNodeTexWave",
            {"Vector": turned, "Scale": rng.uniform(0.9, 1.8) * size},
            bands_direction="Z" if rng.random() < 0.7 else "DIAGONAL",
        )
        return tree.blend(tree.step(wave.outputs[1], 0.45, 0.55), one, two)
    if kind == "chequer":
        node = tree.add("ShaderNodeTexChecker", {0: turned, 1: one, 2: two, 3: rng.uniform(5, 9) * size})
        return node.outputs[0]
    if kind in ("brick", "tiles"):
        upright = tree.add("ShaderNodeMapping", {"Vector": turned, "Rotation": (1.57, 0, 0)}).outputs[0]
        node = tree.add(
            "ShaderNodeTexBrick",
            {0: upright if kind == "brick" else turned, 1: one, 2: one, 3: two, "Scale": 7 * size},
            offset=0.5 * (kind == "brick"),
        )
        return node.outputs[0]
    if kind in ("speckled", "marble", "cloth", "rough"):
        scale = {"speckled": 22, "marble": 2.5, "cloth": 60, "rough": 14}[kind] * size
        noise = tree.add(
            "ShaderNodeTexNoise",
            {"Vector": turned, "Scale": scale, "Detail": 3.0, "Distortion": 2.0 if kind == "marble" else 0.0},
        )
        low, high = {
            "speckled": (0.6, 0.66),
            "marble": (0.4, 0.62),
            "cloth": (0.3, 0.7),
            "rough": (0.3, 0.7),
        }[kind]
        return tree.blend(tree.step(noise.outputs[0], low, high), one, two)
    return one


def glass(tree, colour, tint):
    """Cheap glass: a tinted see-through surface with bright reflections at grazing angles."""
    facing = tree.add("ShaderNodeLayerWeight", {0: 0.35}).outputs["Facing"]
    through = tree.add("ShaderNodeBsdfTransparent", {0: colour}).outputs[0]
    coat = tree.add("ShaderNodeBsdfDiffuse", {0: colour}).outputs[0]
    gloss = tree.add("ShaderNodeBsdfGlossy", {"Color": (1, 1, 1, 1), "Roughness": 0.08}).outputs[0]
    body = tree.add("ShaderNodeMixShader", {0: tint, 1: through, 2: coat}).outputs[0]
    edge = tree.add("ShaderNodeMapRange", {0: facing, 1: 0.0, 2: 1.0, 3: 0.12, 4: 0.85}).outputs[0]
    return tree.add("ShaderNodeMixShader", {0: edge, 1: body, 2: gloss}).outputs[0]


def material(rng, look, size=1.0):
    """A Blender material for a look `(kind, colour[, second colour])`."""
    kind, one, two = (*look, None)[:3]
    one = shade(rng, one)
    two = shade(rng, two) if len(look) > 2 else [c * 0.7 for c in one[:3]] + [1]
    result = bpy.data.materials.new(kind)
    tree = Tree(result)
    out = tree.add("ShaderNodeOutputMaterial")
    if kind == "glass":
        shader = glass(tree, one, rng.uniform(0.2, 0.45))
    elif kind == "glow":
        shader = tree.add("ShaderNodeEmission", {0: one, 1: 1.3}).outputs[0]
    else:
        colour = pattern(tree, rng, kind, one, two, size)
        rough = {"glazed": (0.08, 0.3), "metal": (0.22, 0.45), "wood": (0.35, 0.6)}.get(kind, (0.5, 0.9))
        inputs = {
            "Base Color": colour,
            "Roughness": rng.uniform(*rough),
            "Metallic": 1.0 if kind == "metal" else 0.0,
        }
        if kind in ("wax", "shade"):
            inputs |= {"Emission Color": one, "Emission Strength": rng.uniform(0.1, 0.3)}
        shader = tree.add("ShaderNodeBsdfPrincipled", inputs).outputs[0]
    tree.links.new(shader, out.inputs[0])
    return result


def odd_look(rng, look):
    """Any material at all, for the objects that do not look as their class usually does."""
    if look[0] == "glow":
        return look
    return (KINDS[rng.integers(len(KINDS))], None, None)
