// A citation under the pointer, or with the focus, lights up in the guideline, and the other way round.
// Heard at the document: the page may be renewed meanwhile (frame.js).
"use strict";

const BOUND = "mark[data-by], [data-cites]";
let lit = null;

const idsOf = (each) => (each.dataset.by ?? each.dataset.cites).trim().split(" ");

function light(chosen, into) {
  const wanted = new Set(idsOf(chosen));
  let first = null;
  for (const each of document.querySelectorAll(BOUND)) {
    const belongs = idsOf(each).some((id) => wanted.has(id));
    each.classList.toggle("lit", belongs);
    if (belongs && each.tagName === "MARK") first ??= each;
  }
  if (into && first) first.scrollIntoView({ block: "center", behavior: "auto" });
}

function chosen(event) {
  const each = event.target.closest?.(BOUND);
  if (!each || each === lit) return;
  lit = each;
  light(each, each.tagName === "A");
}

document.addEventListener("mouseover", chosen);
document.addEventListener("focusin", chosen);
