"""The report of a run, from real tiny runs: what it gathers is what was measured, and the page shows it to anyone."""

import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import FILLERS, TOPICS, make_encoder, make_rows
from interconnected_ai.branches import InterconnectedAISystem, fit_branch
from interconnected_ai.branches.trunk import Trunk
from interconnected_ai.config import BranchSpec, RunConfig
from interconnected_ai.data import Rows, write_rows
from interconnected_ai.doctor import Diagnosis, Illness, diagnose
from interconnected_ai.errors import ConfigError, IntegrityError, NotAModelError, UnknownNameError
from interconnected_ai.report import RunReport, gather_report, missing_sentences, write_report
from interconnected_ai.report.answers import BranchAnswers, Scope, _branch_answers, reliability
from interconnected_ai.report.canvas import _wrapped
from interconnected_ai.report.contents import sections_of
from interconnected_ai.report.findings import finding_in
from interconnected_ai.report.page import to_html
from interconnected_ai.report.pictures import Picture, as_svg, named, short, shown
from interconnected_ai.report.wording import _WORDS, Words
from interconnected_ai.training import Curve, Origin, RowAnswers, expected_calibration_error, train_run

matplotlib = pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

EVIL = "<script>alert('x')</script>"
DOCS = Path(__file__).resolve().parents[2] / "docs"
PRICES = "costs $5 & $6"


def many_rows(name: str, num_classes: int, count: int) -> Rows:
    """A branch of many classes, each with a topic word of its own."""
    words = [word for topic in TOPICS.values() for word in topic]
    texts = [
        f"{words[row % num_classes]} {FILLERS[row % 7]} {FILLERS[row // num_classes % 13]}" for row in range(count)
    ]
    return Rows.of_branch(name, texts, [f"class {row % num_classes}" for row in range(count)])


def write_config(folder: Path, output: str, **changes: object) -> RunConfig:
    """A run of three branches, with names and labels that a page must not trip over."""
    if not (folder / "encoder").is_dir():
        made = make_encoder()
        made.model.save_pretrained(folder / "encoder")  # type: ignore[operator]
        made.tokenizer.save_pretrained(folder / "encoder")
        texts, labels = make_rows("тема", 90).of("тема")
        renamed = {"money": PRICES, "weather": "погода", "animals": EVIL}
        write_rows(folder / "тема.jsonl", texts, [renamed[label] for label in labels])
        write_rows(folder / "_plain.jsonl", *make_rows("_plain", 60, seed=3).of("_plain"))
        write_rows(folder / "many.jsonl", *many_rows("many", 14, 140).of("many"))
    training = {
        "epochs": 4, "batch_size": 24, "precision": "float32", "device": "cpu", "lr_head": 1e-2, "lr_moe": 3e-3,
        "monitors": [], "checkpoint_every_steps": 5, "ridge": None,
    }  # fmt: skip
    names = ("тема", "_plain", "many")
    return RunConfig.from_mapping(
        {
            "output": str(folder / output),
            "system": {
                "base_model_name": str(folder / "encoder"),
                "num_experts": 4,
                "max_seq_len": 32,
                "d_ff": 32,
                "wide_terms": 0,
            },
            "data": {
                "branches": [{"name": n, "path": str(folder / f"{n}.jsonl")} for n in names],
                "test_fraction": 0.3,
            },
            "training": training,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    train_run(write_config(folder, "run"))
    return folder


@pytest.fixture(scope="module")
def report(world: Path) -> RunReport:
    return gather_report(world / "run", usd_per_hour=3.6)


@pytest.fixture(scope="module")
def html(world: Path, report: RunReport) -> str:
    write_report(world / "run", world / "page.html", picture=world / "page.png", language="ru", usd_per_hour=3.6)
    write_report(world / "run", world / "run" / "report.html", usd_per_hour=3.6)
    return (world / "run" / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    """A run of one's own, to spoil."""
    shutil.copytree(world / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "features"))
    return tmp_path / "run"


class Page(HTMLParser):
    """Tags with their attributes, ids, and the words between the tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attributes:
            if name == "id":
                self.ids[str(value)] += 1
            if name in ("src", "href", "xlink:href", "data", "action", "poster"):
                self.links.append(str(value))
            assert not name.startswith("on")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(" ".join(data.split()))


def drawings(page: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)


# What is gathered


def test_what_is_measured_again_is_what_the_run_recorded(world: Path, report: RunReport) -> None:
    recorded = json.loads((world / "run" / "results.json").read_text(encoding="utf-8"))["test"]
    assert [found.name for found in report.answers] == ["тема", "_plain", "many"]
    for found in report.answers:
        then = recorded[found.name]
        assert found.metrics.accuracy == pytest.approx(then["accuracy"])
        assert found.metrics.calibration_error == pytest.approx(then["calibration_error"], abs=1e-6)
        assert found.confusion.sum() == found.metrics.num_rows
        assert np.trace(found.confusion) / found.confusion.sum() == pytest.approx(then["accuracy"])
    assert report.finished
    assert report.missing == ()


def test_calibration_is_shown_before_and_after_the_branchs_temperature(report: RunReport) -> None:
    for found in report.answers:
        assert found.card.temperature != 1.0
        assert found.before != found.after
        assert found.after.calibration_error == pytest.approx(found.metrics.calibration_error)
        for side in (found.before, found.after):
            shares = sum(b.num_rows * abs(b.confidence - b.accuracy) for b in side.bins) / found.metrics.num_rows
            assert shares == pytest.approx(side.calibration_error)


def test_reliability_puts_rows_into_the_bins_of_the_calibration_error() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(200, 3, generator=generator).softmax(dim=-1)
    targets = torch.randint(3, (200,), generator=generator)
    found = reliability(table, targets)
    confidence, predicted = table.max(dim=-1)
    assert sum(b.num_rows for b in found.bins) == 200
    assert found.calibration_error == expected_calibration_error(confidence, predicted == targets)
    bins = [int(b.confidence * 15) for b in found.bins]
    assert bins == sorted(set(bins))
    sure = reliability(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert [(b.confidence, b.accuracy, b.num_rows) for b in sure.bins] == [(1.0, 1.0, 1)]


def test_the_use_of_the_experts_is_that_of_the_log(world: Path, report: RunReport) -> None:
    lines = [json.loads(line) for line in (world / "run" / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "routing/layer1/expert2" in line]
    assert [use.layer for use in report.experts] == [0, 1]
    use = report.experts[1]
    assert use.shares.shape == (4, len(logged))
    assert use.steps == tuple(line["step"] for line in logged)
    assert use.shares[2].tolist() == [line["routing/layer1/expert2"] for line in logged]
    assert use.shares.sum(axis=0) == pytest.approx(np.ones(len(logged)), abs=1e-5)


def test_the_cost_is_what_was_measured_times_the_price(world: Path, report: RunReport) -> None:
    fit = json.loads((world / "run" / "results.json").read_text(encoding="utf-8"))["fit"]
    assert report.cost.seconds == fit["train_seconds"] + fit["cache_seconds"]
    assert report.cost.usd == pytest.approx(report.cost.seconds * 0.001)
    assert (report.cost.device, report.cost.precision) == ("cpu", "float32")
    speeds = report.curves["rows_per_second"].values
    assert min(speeds) <= (report.cost.rows_per_second or 0) <= max(speeds)
    assert gather_report(world / "run").cost.usd is None


def test_the_most_confused_pairs_come_first(report: RunReport) -> None:
    found = report.answers[2]
    pairs = found.confused_pairs(100)
    labels = found.card.spec.labels
    assert sum(p.num_rows for p in pairs) == found.confusion.sum() - np.trace(found.confusion) > 0
    assert [p.num_rows for p in pairs] == sorted((p.num_rows for p in pairs), reverse=True)
    for pair in pairs:
        row = found.confusion[labels.index(pair.label)]
        assert row[labels.index(pair.answer)] == pair.num_rows
        assert pair.share == pair.num_rows / row.sum()
        assert pair.label != pair.answer
    assert found.confused_pairs(2) == pairs[:2]


# The page


def test_the_page_needs_nothing_else_and_runs_nothing(html: str) -> None:
    page = Page(html)
    assert page.tags["script"] == page.tags["link"] == page.tags["iframe"] == page.tags["img"] == 0
    assert page.links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    assert max(page.ids.values()) == 1
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids.keys()


def test_labels_are_words_on_the_page_whatever_they_hold(html: str) -> None:
    assert EVIL not in html
    words = Page(html).words
    assert shown(EVIL) not in html
    assert any("<scrip" in word for word in words)
    assert short(PRICES) in words  # with both of its dollars: no formula
    assert {"погода", "тема", "_plain"} <= set(words)


def test_every_drawing_is_whole_and_says_what_it_is(html: str) -> None:
    drawn = drawings(html)
    assert len(drawn) == 8 + 2 + 3 + 3 + 3  # curves, layers, confusion, refusals, reliability
    for svg in drawn:
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert root.get("width") is None


def test_axes_have_units_and_branches_their_names(html: str) -> None:
    words = Page(html).words
    expected = ["optimiser step", "cross-entropy, nats", "accuracy, %", "balance loss (even use = 1)", "rows per second",
                "entropy (even use = 1)", "L2 norm before clipping", "learning rate, × 10⁻³", "share of assignments, %",
                "expert, number", "true class", "answer", "confidence, %"]  # fmt: skip
    assert [word for word in expected if word not in words] == []
    for name in ("тема", "_plain", "many"):
        assert words.count(name) >= 5  # losses, accuracy, confusion, calibration, results


def test_colours_follow_the_page_into_the_dark(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    for svg in drawings(html):
        assert "var(--ink)" in svg
        without_pictures = re.sub(r'"data:image/png;base64,[^"]*"', "", svg)
        colours = set(re.findall(r"#[0-9a-f]{6}\b", without_pictures))
        assert colours <= {"#fcfdfe", "#ffffff"}, colours  # on a heat map's own colours


def test_the_results_on_the_page_are_the_measured_ones(html: str, report: RunReport) -> None:
    words = Page(html).words
    for found in report.answers:
        assert {f"{100 * found.metrics.accuracy:.2f}", f"{100 * found.before.calibration_error:.2f}"} <= set(words)
    assert f"{report.cost.usd:.4f}" in words


def test_the_same_run_gives_the_same_page_whatever_its_reader_has_set(world: Path, html: str, tmp_path: Path) -> None:
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        write_report(world / "run", tmp_path / "again.html", usd_per_hour=3.6)
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_russian_pages_have_russian_words_and_the_same_drawings(world: Path, html: str) -> None:
    page = (world / "page.html").read_text(encoding="utf-8")
    assert '<html lang="ru">' in page
    words = Page(page).words
    assert {
        "Кривые",
        "Загрузка экспертов",
        "шаг оптимизатора",
        "точность, %",
        "Матрица ошибок на тестовых строках",
    } <= set(words)
    assert "Curves" not in words
    assert len(drawings(page)) == len(drawings(html))


SYMBOLS = {"f1_column", "ece_column", "class_f1", "confused_count", "preferred_axis", "adapter_rate_axis"}


def test_every_sentence_stands_in_both_languages_with_the_same_blanks() -> None:
    for key, (english, russian) in _WORDS.items():
        assert english != russian or key in SYMBOLS, key
        assert Counter(re.findall(r"{(\w+)", english)) == Counter(re.findall(r"{(\w+)", russian)), key
    with pytest.raises(UnknownNameError, match="'ru'"):
        Words("rus")
    assert (Words("en").count(12288), Words("ru").count(12288)) == ("12,288", "12\u202f288")


def test_the_picture_holds_the_page_on_white_within_its_margins(world: Path, html: str) -> None:
    with Image.open(io.BytesIO((world / "page.png").read_bytes())) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    assert 1500 < width < 1800
    assert height > 3000
    assert (pixels[:30] == 255).all()
    assert (pixels[:, :30] == 255).all()
    assert (pixels[:, -30:] == 255).all()
    blank = (pixels == 255).all(axis=(1, 2))
    assert 0.05 < blank.mean() < 0.5
    longest = max(len(run) for run in "".join("x" if b else " " for b in blank).split())
    assert longest < 200  # no hole where something should stand


def test_files_are_written_whole_and_nothing_else_is_left(world: Path, html: str) -> None:
    left = {path.name for path in (world / "run").iterdir()}
    assert left == {"run.yaml", "computing.json", "data_report.json", "metrics.jsonl", "rows", "checkpoints", "features",
                    "model", "results.json", "report.html", "origin.json", "answers.json"}  # fmt: skip
    assert {path.name for path in world.glob("*page*")} == {"page.html", "page.png"}
    with pytest.raises(UnknownNameError):
        write_report(world / "run", world / "run" / "report.html", language="de")
    assert (world / "run" / "report.html").read_text(encoding="utf-8") == html


def test_names_are_shown_on_one_line_without_control_characters() -> None:
    assert shown("a\n b\x00\u202ec") == "a bc"
    assert shown("\x00") == "?"
    assert shown("x" * 70, 10) == "x" * 9 + "…"
    assert short("transfer to a card", 11) == "trans… card"
    assert short("card", 11) == "card"


def test_of_many_branches_the_worst_are_named() -> None:
    curves = {f"b{i}": Curve((0, 1), (0.0, (i * 7) % 15 / 15)) for i in range(15)}
    best = [name for name, curve in curves.items() if curve.values[-1] > 11.5 / 15]
    assert len(best) == 3
    assert named(curves, high_is_bad=False) == [name for name in curves if name not in best]
    assert not set(named(curves, high_is_bad=True)) >= set(curves)
    assert set(best) <= set(named(curves, high_is_bad=True))


def test_a_run_of_many_branches_stays_readable(report: RunReport) -> None:
    curves = {f"accuracy/b{i}": Curve((10, 20), (0.1, i / 20)) for i in range(15)}
    mean = {"accuracy/mean": Curve((10, 20), (0.1, 0.35))}
    crowded = replace(report, curves={**curves, **mean}, experts=(), answers=(), recorded={})
    (section,) = (section for section in sections_of(crowded, Words()) if section.heading == "Curves")
    (picture,) = section.blocks
    assert isinstance(picture, Picture)
    assert "Of 15 branches the 12 worst at the end are named." in picture.caption
    words = Page(as_svg(picture, "x")).words
    assert {"b0", "b11", "mean", "3 others"} <= set(words)
    assert "b12" not in words


def test_text_is_wrapped_to_the_width_it_has() -> None:
    assert _wrapped("one two three", 7, len) == ["one two", "three"]
    assert _wrapped("one two", 7, len) == ["one two"]
    lines = _wrapped(f"see {'x' * 50} there", 20, len)
    assert all(len(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == "see" + "x" * 50 + "there"


# What one can act on

LONG = "a_label_" + "without_a_space_" * 12
RTL = "تحويل مصرفي"


def crafted(report: RunReport, num_classes: int, texts: str = "row {row}") -> BranchAnswers:
    """The answers of a branch of so many classes: four rows each, the last of them answered with the next class."""
    labels = [EVIL, LONG, RTL, *(f"intent number {number}" for number in range(num_classes - 3))]
    card = report.answers[0].card.with_changes(spec=BranchSpec.from_mapping({"name": "many", "labels": labels}))
    targets = torch.arange(num_classes).repeat_interleave(4)
    chosen = torch.where(torch.arange(len(targets)) % 4 == 3, (targets + 1) % num_classes, targets)
    logits = 30.0 * torch.nn.functional.one_hot(chosen, num_classes).float()
    found = RowAnswers(card, logits, torch.ones(len(targets)), targets)
    scope = Scope(np.linspace(0.5, 1, 8), np.linspace(0, 0.6, 5), np.linspace(0, 0.3, 26), 0.55)
    return _branch_answers(found, [texts.format(row=row) for row in range(len(targets))], scope)


def page_of(report: RunReport, language: str = "en", **changes: Any) -> str:
    changed, words = replace(report, experts=(), curves={}, **changes), Words(language)
    return to_html(changed, list(sections_of(changed, words)), words)


def test_the_verdict_stands_on_top_with_every_finding_of_the_doctor(world: Path, report: RunReport, html: str) -> None:
    diagnosis = diagnose(world / "run")
    assert report.diagnosis == diagnosis
    assert report.verdict == ("good" if diagnosis.is_healthy else "look")
    ill = Diagnosis(
        world, "finished", (Illness("dead expert", "layer 0: <expert> 3", None, "balance & more", {"a": 1}),), ()
    )
    page = page_of(report, diagnosis=ill)
    assert page.index("Look here: 1 found") < page.index("Test results")
    words = Page(page).words
    assert {"Dead expert", "layer 0: <expert> 3", "What helps: balance & more"} <= set(words)
    assert '<aside class="verdict look">' in page
    assert '<aside class="verdict good">' in page_of(report, diagnosis=replace(ill, illnesses=()))
    assert {"Мёртвый эксперт", "Показания (как их пишет iai doctor): layer 0: <expert> 3"} <= set(
        Page(page_of(report, "ru", diagnosis=ill)).words
    )


def test_a_russian_page_tells_russian_evidence_where_there_is_one(world: Path, report: RunReport) -> None:
    told = Illness("labels look wrong", "3 rows", None, "read them", {}, "строк: 3")
    page = page_of(report, "ru", diagnosis=Diagnosis(world, "finished", (told,), ()))
    assert "Показания: строк: 3" in Page(page).words
    assert "3 rows" not in page
    assert "строк: 3" not in page_of(report, diagnosis=Diagnosis(world, "finished", (told,), ()))


def test_every_illness_of_the_doctor_has_russian_words() -> None:
    table = (DOCS / "doctor.md").read_text(encoding="utf-8").split("| illness |")[1].split("\n## ")[0]
    named = re.findall(r"^\| ([a-z][^|]*?) \|", table, re.MULTILINE)
    for name in (name.strip() for name in named):
        title, remedy = finding_in(Illness(name, "", None, "", {}), "ru")
        assert re.search("[а-яё]", title), name
        assert re.search("[а-яё]", remedy), name
    assert len(named) == 21


def test_the_baseline_stands_beside_each_branch_and_its_absence_is_told(report: RunReport) -> None:
    assert set(report.baseline) == {"тема", "_plain", "many"}
    words = Page(page_of(report)).words
    assert "baseline accuracy, %" in words
    assert f"{100 * report.baseline['many'].accuracy:.2f}" in words
    without = page_of(report, baseline={})
    assert "baseline accuracy" not in without
    assert "Baseline: none was measured." in without


def test_where_the_run_came_from_is_told(report: RunReport) -> None:
    origin = Origin("2026-05-03T14:07:00+00:00", "9.8.7", "iai train 'my run.yaml'")
    words = Page(page_of(report, origin=origin)).words
    assert {"2026-05-03 14:07 UTC", "interconnected-ai 9.8.7", "iai train 'my run.yaml'"} <= set(words)
    assert "accuracy on the validation rows" in words
    assert "03.05.2026 14:07 UTC" in Page(page_of(report, "ru", origin=origin)).words
    assert report.origin is not None
    assert report.origin.command is None  # pytest began it
    assert "a program of one's own" in Page(page_of(report)).words


def test_single_classes_are_those_of_the_confusion_the_worst_first(report: RunReport) -> None:
    for found in report.answers:
        classes = {result.label: result for result in found.classes}
        for number, label in enumerate(found.card.spec.labels):
            right, rows, answered = (
                found.confusion[number, number],
                found.confusion[number].sum(),
                found.confusion[:, number].sum(),
            )
            assert classes[label].num_rows == rows
            assert classes[label].recall == pytest.approx(right / rows)
            assert classes[label].precision == (pytest.approx(right / answered) if answered else None)
        scores = [result.f1 or 0.0 for result in found.classes]
        assert scores == sorted(scores)
        assert found.metrics.macro_f1 == pytest.approx(sum(scores) / len(scores))


def test_a_class_that_is_never_answered_has_no_precision(report: RunReport) -> None:
    found = replace(report.answers[0], confusion=np.array([[0, 3, 1], [0, 4, 0], [0, 0, 0]]))
    first, *_, last = found.classes
    assert (first.precision, first.recall, first.f1) == (None, 0.0, 0.0)
    assert first.confused_with == (found.card.spec.labels[1], 3)
    assert (last.num_rows, last.recall, last.f1) == (0, None, None)


def test_the_worst_answers_are_listed_with_what_is_doubtful_about_them(report: RunReport) -> None:
    found = crafted(report, 20, "a text, number {row}, of <b>")
    assert len(found.wrong) == 20
    assert all(wrong.doubtful for wrong in found.wrong)
    page = page_of(report, answers=(found,))
    words = Page(page).words
    assert "many: 20 of 80 rows, 20 with a doubtful label" in words
    assert "a text, number 3, of <b>" in words
    assert "a text, number 4, of <b>" not in words
    confidences = [wrong.confidence for wrong in report.answers[2].wrong]
    assert confidences == sorted(confidences, reverse=True)


def test_a_page_for_others_holds_no_text_of_the_data(world: Path, report: RunReport, tmp_path: Path) -> None:
    text = report.answers[2].wrong[0].text
    write_report(world / "run", tmp_path / "with.html")
    write_report(world / "run", tmp_path / "without.html", texts=False)
    assert text in (tmp_path / "with.html").read_text(encoding="utf-8")
    assert text not in (tmp_path / "without.html").read_text(encoding="utf-8")
    assert text not in json.dumps(report.to_dict(), ensure_ascii=False)


def test_confusion_of_many_classes_is_a_table_with_all_names(report: RunReport) -> None:
    page = page_of(report, answers=(crafted(report, 150),))
    words = Page(page).words
    assert words.count("intent number 146") == 3  # its class, and both sides of the table
    assert "many: all classes" in words
    grid = page[page.index('<div class="scroll tall grid">') :]
    assert grid[: grid.index("</table>")].count("<td") == 150 * 150
    assert len(page) < 1_500_000


def test_words_of_the_data_are_words_on_the_page_whatever_they_hold(report: RunReport) -> None:
    page = page_of(report, answers=(crafted(report, 14, EVIL + " " + RTL + " {row}"),))
    assert EVIL not in page
    parsed = Page(page)
    assert parsed.tags["script"] == 0
    assert f"{EVIL} {RTL} 3" in parsed.words
    assert shown(LONG, 120) in parsed.words
    assert page.count('<td dir="auto"') > 100  # each cell says for itself in which direction it is written


def test_what_would_be_refused_follows_from_the_scores(report: RunReport) -> None:
    for found in report.answers:
        scope = found.scope
        at = scope.to_dict()
        assert at["own"] == pytest.approx(1 - found.metrics.answered)
        assert len(scope.others) > 0
        assert len(scope.strange) == 26
        shares = scope.refused(scope.others, np.array([0.0, scope.threshold, 1.01]))
        assert shares.tolist() == [0.0, at["others"], 1.0]


def test_numbers_are_written_as_the_language_writes_them(world: Path, html: str, report: RunReport) -> None:
    assert Words("ru").number(1234567.5) == "1\u202f234\u202f567,50"
    assert Words("en").number(1234567.5) == "1,234,567.50"
    assert Words("ru")("before", ece=1.5) == "до: ECE 1,50 %"
    page = (world / "page.html").read_text(encoding="utf-8")
    drawn = [word for svg in drawings(page) for word in Page(svg).words]
    assert not [word for word in drawn if re.fullmatch(r"\d+\.\d+", word)]
    assert {"ствол (lr_moe)", "головы (lr_head)"} <= set(drawn)
    for found in report.answers:
        assert f"{100 * found.metrics.accuracy:.2f}".replace(".", ",") in Page(page).words


def test_a_run_by_an_earlier_version_still_gets_its_page(copy: Path) -> None:
    (copy / "origin.json").unlink()
    (copy / "answers.json").unlink()
    report = write_report(copy, copy / "report.html")
    assert report.origin is None
    assert "single answers" in (copy / "report.html").read_text(encoding="utf-8")


# Runs that lack something


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A run that was stopped in its second epoch."""
    passes: list[int] = []

    def stop(module: torch.nn.Module, *_: object) -> None:
        passes.append(isinstance(module, Trunk))
        if sum(passes) == 16:
            raise KeyboardInterrupt

    hook = torch.nn.modules.module.register_module_forward_hook(stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_run(write_config(tmp_path, "stopped"))
    finally:
        hook.remove()
    return tmp_path / "stopped"


def test_an_unfinished_run_gets_its_curves_and_hears_what_is_missing(interrupted: Path) -> None:
    report = write_report(interrupted, interrupted / "report.html", usd_per_hour=1.0)
    assert not report.finished
    assert report.answers == ()
    assert report.cost.usd is None
    assert [missing.kind for missing in report.missing] == ["no_model", "no_usd"]
    page = (interrupted / "report.html").read_text(encoding="utf-8")
    assert f"iai train {interrupted / 'run.yaml'} --resume" in page
    words = Page(page).words
    assert {"unfinished", "Training loss", "Validation accuracy", "Use of the experts"} <= set(words)
    assert "Calibration on the test rows" not in words


def test_a_run_without_any_figure_still_gets_a_page(interrupted: Path) -> None:
    (interrupted / "metrics.jsonl").write_text('{"step": 0, "loss/ta')
    report = write_report(interrupted, interrupted / "report.html", picture=interrupted / "report.png")
    assert [missing.kind for missing in report.missing] == ["no_figures", "no_model"]
    assert drawings((interrupted / "report.html").read_text(encoding="utf-8")) == []


def test_a_dense_run_has_no_experts_to_show(tmp_path: Path) -> None:
    config = write_config(tmp_path, "dense")
    system, training = config.system.with_changes(ffn="dense"), config.training.with_changes(epochs=1)
    data = config.data.with_changes(test_fraction=0.0)
    train_run(config.with_changes(system=system.to_dict(), training=training.to_dict(), data=data.to_dict()))
    report = gather_report(tmp_path / "dense")
    assert report.experts == ()
    assert [missing.kind for missing in report.missing] == ["no_test_rows"]
    headings = [section.heading for section in sections_of(report, Words())]
    assert headings == ["The run", "Curves", "Cost"]


def test_rows_that_cannot_be_read_leave_the_recorded_results(copy: Path) -> None:
    config = RunConfig.from_file(copy / "run.yaml").to_dict()
    config["data"]["branches"][0]["path"] = "moved.jsonl"
    (copy / "run.yaml").write_text(RunConfig.from_mapping(config).to_yaml(), encoding="utf-8")
    report = write_report(copy, copy / "report.html")
    (sentence,) = missing_sentences(report)
    assert "no file at moved.jsonl" in sentence
    assert report.answers == ()
    words = Page((copy / "report.html").read_text(encoding="utf-8")).words
    assert f"{100 * report.recorded['many'].accuracy:.2f}" in words
    assert "As recorded at the end of the training." in words


def test_branches_without_rows_and_results_that_changed_are_told(copy: Path) -> None:
    system = InterconnectedAISystem.from_pretrained(copy / "model")
    rows = make_rows("later", 30, seed=8)
    system.add_branch(BranchSpec.from_mapping({"name": "later", "labels": sorted(set(rows.labels["later"]))}))  # type: ignore[type-var]
    fit_branch(system, "later", *rows.of("later"))
    system.remove_branch("many")
    system.save_pretrained(copy / "model")
    results = json.loads((copy / "results.json").read_text(encoding="utf-8"))
    results["test"]["_plain"]["accuracy"] = 0.0
    (copy / "results.json").write_text(json.dumps(results), encoding="utf-8")
    report = gather_report(copy)
    assert [found.name for found in report.answers] == ["тема", "_plain"]
    told = {missing.kind: missing.detail for missing in report.missing}
    assert told.keys() == {"no_branch_rows", "removed_branch", "other_results"}
    assert (told["no_branch_rows"], told["removed_branch"]) == ("later", "many")
    assert told["other_results"].startswith("_plain ")


def test_a_branch_whose_labels_are_unknown_does_not_hide_the_others(copy: Path) -> None:
    shutil.rmtree(copy / "rows")  # with it, these rows would be none of the run's
    rows = copy.parent / "_plain.jsonl"
    write_rows(rows, ["rain and snow", "a cat", "a dog"], ["weather", "planets", "planets"])
    config = RunConfig.from_file(copy / "run.yaml").to_dict()
    config["data"]["branches"][1]["test"] = str(rows)
    (copy / "run.yaml").write_text(RunConfig.from_mapping(config).to_yaml(), encoding="utf-8")
    report = gather_report(copy)
    assert [found.name for found in report.answers] == ["тема", "many"]
    assert any("'planets'" in sentence for sentence in missing_sentences(report, "ru"))


# Bad input


def test_a_folder_that_is_no_run_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="no folder at"):
        gather_report(tmp_path / "nowhere")
    with pytest.raises(NotAModelError, match=r"a model without its run"):
        write_report(world / "run" / "model", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(world: Path, price: float) -> None:
    with pytest.raises(ConfigError, match="usd_per_hour"):
        gather_report(world / "run", usd_per_hour=price)


def test_files_must_be_named_for_what_they_are(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not end in \.html"):
        write_report(world / "run", tmp_path / "page.pdf")
    with pytest.raises(ConfigError, match=r"does not end in \.png"):
        write_report(world / "run", tmp_path / "page.html", picture=tmp_path / "page.jpg")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"fit": {"steps": 1, "validation": {}}, "test": {}}'])
def test_damaged_results_are_refused(copy: Path, content: str) -> None:
    (copy / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"results\.json"):
        gather_report(copy)
