// Questions without a kernel: under an exercise that quiz-data.js knows, a button for each answer, and what the check says of it.
"use strict";

addEventListener("DOMContentLoaded", () => {
  for (const [id, answers] of Object.entries(globalThis.PANET_QUIZ ?? {})) {
    const exercise = document.getElementById(id);
    if (!exercise?.matches(".exercise")) continue;
    const make = (name, className, text) =>
      Object.assign(document.createElement(name), { className, textContent: text });
    const box = make("div", "quiz", "");
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Answer here, without a notebook");
    const said = make("p", "quiz-says", "");
    said.setAttribute("role", "status");
    const buttons = answers.map(([label, says, right]) => {
      const button = make("button", "", label);
      button.type = "button";
      button.setAttribute("aria-label", `Answer ${label}`);
      button.setAttribute("aria-pressed", "false");
      button.onclick = () => {
        for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
        box.dataset.right = right;
        said.textContent = `${right ? "✓" : "✗"} ${says}`;
      };
      return button;
    });
    box.append(make("span", "", "Your answer:"), ...buttons, said);
    exercise.append(box);
  }
});
