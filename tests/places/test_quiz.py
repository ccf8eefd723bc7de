"""Questions in the page: a button for each answer, the check's own sentence, no kernel and no other machine."""

import json

import pytest
import quiz

from panet_lite.check.grading import catalogue

QUESTIONS = list(quiz.questions())
CHAPTERS = sorted({e.chapter for e, _ in QUESTIONS})
STATUS = ".quiz [role=status]"


def test_the_data_is_the_checks():
    assert quiz.OUT.read_text(encoding="utf-8") == quiz.text()
    assert len(QUESTIONS) > 20 and {e.id for e, _ in QUESTIONS} <= set(catalogue())
    for e, options in QUESTIONS:
        assert sum(one.right for one in options) == 1 and 3 <= len(options) <= 5, e.id
        assert len({one.label for one in options}) == len(options) and all(one.says for one in options)


@pytest.mark.parametrize(
    "number, text", [(232560, "232,560"), (0.648785, "0.649"), (2.0, "2"), (1257.08, "1,257")]
)
def test_numbers_as_one_writes_them(number, text):
    assert quiz.shown(number) == text


@pytest.mark.parametrize("from_folder", [False, True])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_answer_has_its_sentence(chapter, from_folder, open_page, site, book):
    where = (book / f"{chapter}.html").as_uri() if from_folder else f"{site}/{chapter}.html"
    page = open_page(where, viewport={"width": 1280, "height": 900})
    wanted = {e.id: options for e, options in QUESTIONS if e.chapter == chapter}
    assert page.locator(".quiz").count() == len(wanted)
    for name, options in wanted.items():
        box = page.locator(f"#{name} .quiz")
        assert box.locator("button").all_text_contents() == [one.label for one in options]
        assert not box.locator("[role=status]").is_visible()
        for one in options:
            box.get_by_role("button", name=f"Answer {one.label}", exact=True).click()
            assert box.locator("[role=status]").text_content() == f"{'✓' if one.right else '✗'} {one.says}"
            assert box.locator("[aria-pressed=true]").all_text_contents() == [one.label]
    assert page.troubles == []


def test_by_keyboard_in_the_page_and_on_slides(open_page, site):
    page = open_page(f"{site}/04_matching.html", viewport={"width": 1280, "height": 720})
    for _ in range(2):
        page.locator("#ex-04-scaled .quiz button").nth(1).focus()
        page.keyboard.press("Tab")
        page.keyboard.press(" ")
        assert page.locator(f"#ex-04-scaled {STATUS}").text_content().startswith("✓")
        page.locator("#ex-04-scaled .quiz button").first.focus()
        page.keyboard.press("Enter")
        assert page.locator(f"#ex-04-scaled {STATUS}").text_content().startswith("✗")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("p")
        while not page.locator("#ex-04-scaled").is_visible():
            page.keyboard.press("ArrowRight")
    assert page.troubles == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_question_is_for_everybody(theme, open_page, site, axe):
    page = open_page(f"{site}/01_episodes.html", viewport={"width": 320, "height": 700}, color_scheme=theme)
    for button in page.locator(".quiz button").all():
        size = button.bounding_box()
        assert (
            size["width"] >= 24
            and size["height"] >= 24
            and size["x"] >= 0
            and size["x"] + size["width"] <= 320
        )
        button.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.troubles == [] and axe(page) == []


def test_paper_has_no_buttons(open_page, site):
    page = open_page(f"{site}/01_episodes.html")
    page.emulate_media(media="print")
    assert page.locator(".quiz:visible").count() == 0


def test_what_is_data_is_never_markup(book):
    assert "innerHTML" not in (quiz.BOOK / "_assets" / "quiz.js").read_text(encoding="utf-8")
    assert json.loads("[" + quiz.text().split("{", 1)[1].rsplit("}", 1)[0].join(("{", "}")) + "]")
