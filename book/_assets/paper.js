// Paper is white: a page read in the dark prints in the light.
"use strict";

{
  const page = document.documentElement;
  const paper = matchMedia("print");
  let shown;

  paper.addEventListener("change", () => {
    if (paper.matches) shown = page.dataset.theme;
    if (shown) page.dataset.theme = paper.matches ? "light" : shown;
  });
}
