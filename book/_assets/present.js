// A page as slides: the key p, or the button at its top. Headings, figures, widgets, formulas and exercises come
// one after the other, nothing is moved or copied, so that widgets go on living; n opens a second window with what the
// page says about the slide. PAGE.html#present=3 opens the third. Printed meanwhile, each slide is a sheet.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const root = document.documentElement;
  const article = document.querySelector(".bd-article");
  const bar = document.querySelector(".article-header-buttons");
  if (!article?.querySelector("h1") || !bar) return;

  // What is worth a slide of its own, beside the headings.
  const SHOWN = ".cell:has(.cell_output :is(img, .widget-box)), figure, div.math, .exercise, .pst-scrollable-table-container";
  const blocks = [...article.querySelectorAll("section:not(.admonition section, .panet) > :not(section)")];
  let slides, at, before, beside;

  // A slide: a heading, and what stands under it. A heading alone has its first paragraph with it.
  function divide() {
    const found = [];
    let heading;
    for (const block of blocks) {
      if (/^h[1-3]$/.test(block.localName)) found.push((heading = [block]));
      else if (block.matches(SHOWN)) found.push([heading[0], block]);
      else if (block.localName === "p" && heading?.length === 1 && found.at(-1) === heading) heading.push(block);
    }
    return found;
  }

  const tools = document.createElement("div");
  tools.className = "present-tools";
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Slides");
  const place = document.createElement("span");
  place.setAttribute("role", "status");
  const make = (text, label, act) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: act });
    button.setAttribute("aria-label", label);
    return button;
  };
  tools.append(
    make("‹", "The slide before", () => show(at - 1)), place, make("›", "The next slide", () => show(at + 1)),
    make("Notes", "Notes in a second window", notes), make("Leave", "Leave the slides", leave),
  );

  function show(number) {
    at = Math.max(0, Math.min(number, slides.length - 1));
    for (const block of blocks) block.classList.toggle("slide-now", slides[at].includes(block));
    place.textContent = `${at + 1} of ${slides.length}`;
    history.replaceState(null, "", `#present=${at + 1}`);
    scrollTo(0, 0);
    note();
  }

  function start(number = 0) {
    if (root.classList.contains("presenting")) return;
    before = scrollY;
    slides = divide();
    for (const slide of slides) {
      const [first, more] = slide[1]?.localName === "p" ? slide : slide.slice(-1);
      first.classList.add("slide");
      more?.classList.add("slide-too");
    }
    root.classList.add("presenting");
    document.body.append(tools);
    show(number);
  }

  // Back to the page, where the slide stands in it.
  function leave() {
    const [last] = slides[at].slice(-1);
    root.classList.remove("presenting");
    for (const block of blocks) block.classList.remove("slide", "slide-too", "slide-now");
    tools.remove();
    beside?.close();
    history.replaceState(null, "", location.pathname + location.search);
    at ? last.scrollIntoView() : scrollTo(0, before);
  }

  // The second window: the page's own words from this slide on to the next, and what comes then.
  function notes() {
    beside = open("", `notes-${location.pathname}`, "width=640,height=800");
    if (beside) note();
  }

  function note() {
    if (!beside || beside.closed) return;
    const page = beside.document;
    const [here, next] = [slides[at].at(-1), slides[at + 1]?.at(-1)];
    const from = blocks.indexOf(slides[at].length > 1 && slides[at][1].localName === "p" ? slides[at][0] : here);
    const to = next ? blocks.indexOf(next) : blocks.length;
    const words = blocks.slice(from, to).filter((one) => one.matches("p, ul, ol, dl, .admonition"));
    page.title = `Notes: ${place.textContent}`;
    page.documentElement.lang = root.lang;
    const style = page.createElement("style");
    style.textContent = "body { font: 1.2rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 1rem auto; padding: 0 1rem } .toggle-button, .headerlink, button { display: none } img, svg { max-width: 100% }";
    const title = page.createElement("h1");
    title.textContent = `${place.textContent}: ${slides[at][0].textContent.replace("#", "").trim()}`;
    const then = page.createElement("p");
    then.append(page.createElement("hr"), next ? `Next: ${next.querySelector("figcaption, .admonition-title, h4")?.textContent ?? next.textContent.trim().slice(0, 80)}` : "This was the last slide.");
    page.head.replaceChildren(style);
    page.body.replaceChildren(title, ...words.map((one) => page.importNode(one, true)), then);
  }

  const KEYS = {
    ArrowRight: () => show(at + 1), PageDown: () => show(at + 1), " ": () => show(at + 1),
    ArrowLeft: () => show(at - 1), PageUp: () => show(at - 1),
    Home: () => show(0), End: () => show(slides.length - 1), n: notes, Escape: leave,
  };
  addEventListener("keydown", (event) => {
    const busy = event.target.closest?.("input, textarea, select, dialog, .widget-host, [contenteditable], button, summary, a");
    if (event.ctrlKey || event.altKey || event.metaKey || (busy && event.key !== "Escape")) return;
    const act = root.classList.contains("presenting") ? KEYS[event.key] : event.key === "p" && (() => start());
    if (!act) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    act();
  }, true);

  const enter = make("", "Show this page as slides (key p)", () => start());
  enter.className = "btn btn-sm present-enter";
  enter.title = "Show this page as slides (p)";
  const icon = document.createElement("span");
  icon.className = "fa-solid fa-chalkboard";
  enter.append(icon);
  bar.prepend(enter);

  const asked = /^#present(?:=(\d+))?$/.exec(location.hash);
  if (asked) start((asked[1] ?? 1) - 1);
});
