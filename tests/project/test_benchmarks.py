"""The benchmarks: what they compare is the same thing, and they notice where it is not."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from panet_lite import EpisodeSampler, PANet
from panet_lite.alignment import alignment_loss
from panet_lite.backbones import VGG16
from panet_lite.matching import match, segmentation_loss
from panet_lite.prototypes import support_prototypes

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("evaluation", "growth", "literal", "measuring", "official", "segment", "versus_literal")


@pytest.fixture
def bench(monkeypatch):
    """`bench("literal")` imports a module of benchmarks/, for this test only."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def model():
    torch.manual_seed(3)
    return PANet(VGG16(1 / 16)).eval()


# --- the paper taken literally -----------------------------------------------------------------------


@pytest.mark.parametrize("ways, shots, queries", [(1, 1, 1), (1, 3, 2), (2, 2, 1), (3, 1, 2)])
def test_the_literal_head_is_the_packages(bench, head, ways, shots, queries):
    """Values and gradients, in float64."""
    literal, found = bench("literal"), []
    e = head(ways=ways, shots=shots, queries=queries, seed=ways + shots)
    for plain in (True, False):
        support, query = e.support.clone().requires_grad_(), e.query.clone().requires_grad_()
        if plain:
            losses = literal.head_losses(support[0], query[0], e.labels[0], e.truth[0])
        else:
            logits = match(query, support_prototypes(support, e.labels))
            losses = segmentation_loss(logits, e.truth), alignment_loss(query, logits, support, e.labels)
        sum(losses).backward()
        found.append((*(loss.detach() for loss in losses), support.grad, query.grad))
    assert found[0][1] > 0
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_the_literal_head_skips_a_way_that_is_nowhere_predicted(bench, head):
    literal, e = bench("literal"), head(ways=2)
    logits = match(e.query, support_prototypes(e.support, e.labels))
    logits[:, :, 2] = -99
    expected = alignment_loss(e.query, logits, e.support, e.labels)
    assert literal.alignment(e.query[0], logits[0], e.support[0], e.labels[0]) == pytest.approx(
        expected.item()
    )


# --- the evaluation ----------------------------------------------------------------------------------


def test_the_evaluation_compares_what_it_times(bench, tiny, model, capsys):
    evaluation = bench("evaluation")
    wrong, found = evaluation.measure(model, tiny("train"), 1, runs=2, episodes=4, sample=2)
    assert wrong == 0 and "times less" in capsys.readouterr().out
    assert [(row["shots"], row["implementation"]) for row in found["rows"]] == [
        (shots, name) for shots in (1, 5) for name in ("literal", "panet_lite")
    ]
    assert all(row["cpu_seconds"] > 0 for row in found["rows"]) and json.dumps(found)
    model.alpha = -20.0  # another model than the loop's: its predictions must be called wrong
    assert evaluation.measure(model, tiny("train"), 1, runs=1, episodes=2, sample=2)[0] > 0


# --- head and step -----------------------------------------------------------------------------------


def options(bench, *more):
    return bench("versus_literal").arguments().parse_args(["--size", "33", "--device", "cpu", *more])


@pytest.mark.parametrize("part, ways, shots", [("pooling", 2, 1), ("head", 1, 1), ("head", 2, 2)])
def test_pooling_and_head_agree(bench, part, ways, shots):
    rows = bench("versus_literal").measure(options(bench), part, ways, shots)
    assert [row["implementation"] for row in rows] == ["literal", "panet_lite"]
    assert all(row["agrees"] and row["seconds"] > 0 for row in rows) and rows[0]["ratio"] == 1


@pytest.mark.slow
def test_steps_agree(bench):
    rows = bench("versus_literal").measure(options(bench), "step", 1, 1)
    assert [row["implementation"] for row in rows] == ["literal", "panet_lite", "panet_lite bfloat16"]
    assert all(row["agrees"] for row in rows) and 0 < rows[1]["difference"] < rows[2]["difference"]


def test_what_does_not_agree_fails(bench, monkeypatch, capsys):
    versus = bench("versus_literal")
    monkeypatch.setattr(sys, "argv", ["versus_literal.py", "--size", "33", "--device", "cpu", "--shapes", "1x1", "--parts", "head"])  # fmt: skip
    assert versus.main() == 0 and "CUDA: not measured: no GPU at hand." in capsys.readouterr().out
    real = versus.our_head
    monkeypatch.setattr(versus, "our_head", lambda *args: tuple(1.01 * loss for loss in real(*args)))
    assert versus.main() == 1


@pytest.mark.slow
def test_peak_memory_is_that_of_a_process_of_its_own(bench):
    versus = bench("versus_literal")
    small, large = (
        versus.alone(options(bench, "--size", str(n)), "pooling", "literal", 1, 1) for n in (33, 417)
    )
    assert 0.05 < small < large - 0.3 < 8  # a map of 512 x 417 x 417 takes 0.36 GB


def test_rows_of_another_run_stay_in_the_file(bench, tmp_path):
    versus, out = bench("versus_literal"), tmp_path / "rows.json"
    row = {"part": "head", "ways": 1, "shots": 1, "size": 33, "device": "cpu", "implementation": "literal"}
    versus.keep(out, {"date": "one"}, [{**row, "seconds": 1.0}, {**row, "device": "cuda", "seconds": 2.0}])
    versus.keep(out, {"date": "two"}, [{**row, "seconds": 3.0}])
    rows = json.loads(out.read_text())["rows"]
    assert [(r["device"], r["seconds"], r["date"]) for r in rows] == [
        ("cpu", 3.0, "two"),
        ("cuda", 2.0, "one"),
    ]


@pytest.mark.slow
def test_growth_writes_every_row(bench, tiny, tmp_path, monkeypatch):
    growth, out = bench("growth"), tmp_path / "growth.json"
    small = {"EPISODES": {"panet_lite": (1, 3), "literal": (1,)}, "SHOTS": (1, 2), "WAYS": (2,), "SIDES": (33,),
             "BASE": {"shots": 1, "ways": 1, "side": 33}, "Tabletop": tiny}  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(growth, name, value)
    command = ["growth.py", "--device", "cpu", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    growth.main()
    found = json.loads(out.read_text())
    assert {"hardware", "date", "command", "threads"} <= found.keys()
    cases = {(r["part"], r["varies"], r["value"], r["implementation"]) for r in found["rows"]}
    assert len(cases) == len(found["rows"]) == 3 + 2 * 2 * 4
    assert all(r["seconds"] > 0 for r in found["rows"])


def test_segment_times_the_command_beside_the_least(bench, tmp_path, monkeypatch, capsys):
    segment, out = bench("segment"), tmp_path / "segment.json"
    options = ["--megapixels", "0.01", "--further", "1", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["segment.py", *options])
    segment.main()
    assert "times the least" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert {"hardware", "date", "load"} <= found.keys() and found["megapixels"] == 0.01
    assert [row["what"].partition(":")[0] for row in found["rows"]] == ["segment"] * 2 + ["Pillow"] * 2
    assert all(found["rows"][k][name] > 0 for k in (0, 2) for name in ("seconds", "cpu_seconds"))


# --- the authors' code -------------------------------------------------------------------------------

STAND_IN = '''
"""Our own writing, in the place and with the signature of the authors' model."""
import literal, torch
from torch import nn

class FewShotSeg(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        assert cfg == {"align": True}
        self.encoder = nn.Sequential(nn.Conv2d(3, 2, 1))

    def forward(self, images, foreground, background, queries):
        ways, shots = len(images), len(images[0])
        assert all(i.shape == (1, 3, *m.shape[1:]) for a, b in zip(images, foreground) for i, m in zip(a, b))
        labels = torch.full((ways, shots, *foreground[0][0].shape[1:]), 255)
        for way in range(ways):
            for shot in range(shots):
                labels[way, shot][background[way][shot][0] == 1] = 0
                labels[way, shot][foreground[way][shot][0] == 1] = way + 1
        features = self.encoder(torch.cat([*(i for way in images for i in way), *queries]))
        support, query = features[:ways * shots].unflatten(0, (ways, shots)), features[ways * shots:]
        logits = literal.scores(query, literal.prototypes(support, labels))
        loss = literal.alignment(query, logits, support, labels) if self.training else 0
        return literal.enlarge(logits, labels.shape[-2:]), loss
'''
METRIC = """
class Metric:
    def __init__(self, max_label):
        self.recorded = []

    def record(self, predicted, target, labels, n_run):
        assert predicted.shape == target.shape
        self.recorded.append((labels, n_run))
"""


@pytest.fixture
def authors(tmp_path):
    """A folder in the shape of their repository, with a model and a metric of ours."""
    for name, text in (("models/fewshot.py", STAND_IN), ("util/metric.py", METRIC)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).parent.joinpath("__init__.py").touch()
        (tmp_path / name).write_text(text)
    yield tmp_path
    for name in ("models", "models.fewshot", "util", "util.metric"):
        sys.modules.pop(name, None)


def test_the_authors_code_is_given_what_it_takes(bench, authors, head, model, tiny):
    """Head, whole model and score; their encoder is back in its place afterwards."""
    official, literal = bench("official").Official(authors, model.backbone), bench("literal")
    e = head(ways=2, shots=2, dtype=torch.float32)
    task = e.support[0], e.query[0], e.labels[0], e.truth[0]
    torch.testing.assert_close(official.head_losses(*task), literal.head_losses(*task))
    assert official.model.encoder is model.backbone

    dataset = tiny("train")
    episode = EpisodeSampler(dataset, dataset.fold(0), 2, 1).episode(0)
    preprocess = model.backbone.preprocess
    images = preprocess(episode.support_images[0]), preprocess(episode.query_images[0])
    with torch.no_grad():
        found = official.losses(images[0], episode.support_labels[0], images[1], episode.query_labels[0])
        torch.testing.assert_close(found, literal.losses(model, episode))
    metric = official.metric(max_label=20)
    predicted = official.score(episode, preprocess, metric)
    assert metric.recorded == [(episode.classes[0].tolist(), 0)]
    assert (predicted == model.eval()(episode).labels()[0, 0].numpy()).mean() > 0.999


def test_the_authors_weights_are_ours(bench, authors):
    """A VGG16 of full width gives its weights to their encoder, in their order; another number is an error."""

    class Full(nn.Conv2d):
        name, width, mean = "vgg16", 1, torch.zeros(3, 1, 1)

    backbone = Full(3, 2, 1)
    encoder = bench("official").Official(authors, backbone).model.encoder
    assert encoder is not backbone and torch.equal(encoder[0].weight, backbone.weight)
    with pytest.raises(ValueError, match="zip"):
        bench("official").Official(authors, Full(3, 2, 1, bias=False))


def test_no_copy_of_the_authors_repository_is_one_sentence(bench, tmp_path, model):
    with pytest.raises(ValueError, match="no copy of the authors' repository: it has no models/fewshot.py"):
        bench("official").Official(tmp_path, model.backbone)


@pytest.mark.slow
def test_the_program_for_a_gpu_runs_on_a_cpu(bench, tmp_path, monkeypatch, capsys):
    """With tiny sizes: four parts go well, the graph says in a sentence that a CPU has none."""
    gpu = bench("gpu")
    tiny = ["--device", "cpu", "--size", "33", "--width", "0.0625", "--shapes", "1x1", "--iterations", "100",
            "--runs", "1", "--episodes", "2", "--out", str(tmp_path / "out")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["gpu.py", *tiny])
    whole = gpu.commands
    monkeypatch.setattr(gpu, "commands", lambda args: {k: v for k, v in whole(args).items() if k != "tests"})
    assert gpu.main() == 1
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    status = {name: part["status"] for name, part in found["parts"].items()}
    assert status == {"literal": 0, "training": 0, "training, graph": 1, "evaluation": 0}
    assert "There are no CUDA graphs on cpu" in found["parts"]["training, graph"]["said"][-1]
    assert found["training, steps a second"] > 0 and found["training-graph, steps a second"] is None
    assert json.loads((tmp_path / "out" / "versus-literal.json").read_text())["rows"]
    assert "mean_iou" in (tmp_path / "out" / "evaluation.json").read_text()


def test_a_part_that_takes_too_long_or_fails_is_told(bench, tmp_path):
    run = bench("gpu").run
    late = run(["-u", "-c", "import time; print('begun'); time.sleep(60)"], {}, 2)
    assert late["status"] is None and late["said"] == ["begun"] and late["seconds"] < 60
    failed = run(["-c", "raise SystemExit('why')"], {}, 60)
    assert failed["status"] == 1 and failed["said"] == ["why"]


def test_no_gpu_is_one_sentence(bench, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert bench("gpu").main() == 1 and capsys.readouterr().err.startswith("There is no CUDA device here: ")
