// A citation under the pointer, or with the focus, lights up in the guideline, and the other way round.
"use strict";

const marks = [...document.querySelectorAll("mark[data-by]")];
const citing = [...document.querySelectorAll("[data-cites]")];

const cited = (each) => each.dataset.cites.trim().split(" ");

function light(ids, into) {
  const wanted = new Set(ids);
  let first = null;
  for (const mark of marks) {
    const lit = mark.dataset.by.split(" ").some((id) => wanted.has(id));
    mark.classList.toggle("lit", lit);
    if (lit) first ??= mark;
  }
  for (const each of citing) each.classList.toggle("lit", cited(each).some((id) => wanted.has(id)));
  if (into && first) first.scrollIntoView({ block: "center", behavior: "auto" });
}

for (const each of citing) {
  each.addEventListener("mouseenter", () => light(cited(each), each.tagName === "A"));
  each.addEventListener("focusin", () => light(cited(each), each.tagName === "A"));
}
for (const mark of marks) mark.addEventListener("mouseenter", () => light(mark.dataset.by.split(" "), false));
