// A figure that the page shows smaller than it is opens large: by a click, a tap or Enter. It scrolls both ways,
// fingers zoom it as any page; Escape, the button or a click beside it closes. Without JavaScript it is a link.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const dialog = document.createElement("dialog");
  dialog.className = "lightbox";
  dialog.setAttribute("aria-label", "The figure, enlarged");
  dialog.innerHTML = '<form method="dialog"><button>Close</button></form><div tabindex="0"></div>';
  document.body.append(dialog);
  const [bar, frame] = dialog.children;
  let opener;

  dialog.addEventListener("close", () => opener.focus());
  dialog.addEventListener("click", (event) => event.target.closest("img, form") ?? dialog.close());

  // At least as large as its labels are meant to be; larger where the window has room and the picture pixels.
  function show(link, image) {
    const large = image.cloneNode();
    const meant = parseFloat(image.style.width) || image.naturalWidth;
    const room = Math.min(innerWidth - 32, ((innerHeight - 96) * image.naturalWidth) / image.naturalHeight);
    large.removeAttribute("style");
    large.width = Math.max(meant, Math.min(room, image.naturalWidth));
    frame.replaceChildren(large);
    opener = link;
    dialog.showModal();
    frame.scrollTo(0, 0);
  }

  function prepare(image) {
    let link = image.closest("a");
    if (!link) {
      link = document.createElement("a");
      link.className = "image-reference";
      image.replaceWith(link);
      link.append(image);
    }
    const update = () => {
      const smaller = image.naturalWidth > image.clientWidth + 1;
      link.title = smaller ? "Enlarge" : "";
      smaller ? (link.href = image.src) : link.removeAttribute("href");
    };
    link.addEventListener("click", (event) => {
      if (!link.href || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show(link, image);
    });
    image.addEventListener("load", update);
    new ResizeObserver(update).observe(image);
  }

  for (const image of document.querySelectorAll(".bd-article :is(figure, .cell_output) img")) {
    if (!image.matches(".widget-still, .widget-host *")) prepare(image);
  }
});
