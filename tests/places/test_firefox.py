"""The first page in Firefox, from a folder: a photo is brought, marked, and found in another."""

import base64
import io

import numpy as np
import pytest
from browser import BOOK, missing
from firefox import firefox, program
from PIL import Image

from panet_lite.datasets import Tabletop

# Brings the photos as if they had been chosen, paints in the middle of the first, and gives the sentence and the pixels.
LABORATORY = """
  const [root] = [...document.querySelectorAll(".panet")].filter((one) => one.getAttribute("aria-label") === "Your own photos");
  const wait = (ready) => new Promise((go, stop) => {
    const began = Date.now();
    const look = () => (ready() ? go() : Date.now() - began > 100000 ? stop(new Error(root.textContent)) : setTimeout(look, 100));
    look();
  });
  const bag = new DataTransfer();
  values.forEach((text, i) => bag.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], `photo ${i}.png`, { type: "image/png" })));
  const input = root.querySelector("input[type=file]");
  input.files = bag.files;
  input.dispatchEvent(new Event("change"));
  await wait(() => root.querySelectorAll(".panet-stage canvas").length === values.length && !root.hasAttribute("data-busy"));
  const [first, second] = root.querySelectorAll(".panet-stage canvas");
  const before = second.toDataURL();
  first.focus();
  first.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true, cancelable: true }));
  await wait(() => root.querySelector(".panet-line").textContent.includes("photo 2"));
  return [root.querySelector(".panet-line").textContent, second.toDataURL() !== before];
"""


def test_photos_in_firefox_from_a_folder(tmp_path):
    if not (BOOK / "index.html").is_file():
        missing("there is no built book: make book")
    if program() is None:
        missing("there is no Firefox: on Debian, apt install firefox-esr")
    data, photos = Tabletop("val"), []
    for index in (3, 5):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(data.image(index).permute(1, 2, 0))).save(buffer, "PNG")
        photos.append(base64.b64encode(buffer.getvalue()).decode())
    with firefox(tmp_path) as browser:
        browser.open((BOOK / "index.html").as_uri())
        said, drawn = browser.script(LABORATORY, *photos)
    assert drawn and "photo 2: thing 1" in said, said


@pytest.mark.parametrize("name", ["03_prototypes.html", "09_interactive.html"])
def test_widgets_are_alive_in_firefox(tmp_path, name):
    if program() is None or not (BOOK / name).is_file():
        missing("there is no Firefox, or no built book")
    with firefox(tmp_path) as browser:
        browser.open((BOOK / name).as_uri())
        text = "for (let i = 0; i < 300 && document.querySelectorAll('.widget-host:not([data-ready])').length; i++) await new Promise((go) => setTimeout(go, 100)); return [document.querySelectorAll('.panet').length, document.querySelectorAll('.widget-failed, [data-failed]').length];"
        alive, failed = browser.script(text)
    assert alive > 0 and failed == 0
