// What is wider than the page scrolls by itself: custom.css fades it out where it goes on and says "swipe",
// and the keyboard reaches it.
"use strict";

{
  // What may be too wide, and what inside it scrolls.
  const scroller = (box) => box.querySelector(":scope > mjx-container, :scope > pre") ?? box;

  function mark(box) {
    const inner = scroller(box);
    const most = inner.scrollWidth - inner.clientWidth;
    box.classList.toggle("swipes", most > 1);
    if (most <= 1) return inner.removeAttribute("data-swipe");
    inner.tabIndex = 0;
    inner.dataset.swipe = inner.scrollLeft < 1 ? "start" : inner.scrollLeft > most - 1 ? "end" : "middle";
  }

  addEventListener("load", () => {
    const sizes = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
    const boxes = "div.math, .pst-scrollable-table-container, .bd-article .highlight, .output.text_html";
    for (const box of document.querySelectorAll(boxes)) {
      sizes.observe(box); // also when its formula is drawn, or its fold opened
      box.addEventListener("scroll", () => mark(box), { capture: true, passive: true });
    }
  });
}
