// Times in the reader's zone, and pages that keep themselves fresh.
"use strict";

const zone = new Intl.DateTimeFormat("sv-SE", { // year, month, day: for every reader the same
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  timeZoneName: "short",
});

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-keep])")) {
    time.textContent = zone.format(new Date(time.dateTime));
  }
}

// <section id="x" data-refresh="5">: asked for again every so many seconds, while somebody looks.
// What has the focus, or is being selected, stays as it is until the next time.
async function refresh(id) {
  const old = document.getElementById(id);
  if (!old || document.hidden || old.contains(document.activeElement)) return;
  if (!getSelection().isCollapsed && old.contains(getSelection().anchorNode)) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer || answer.redirected || !answer.ok) {
    old.setAttribute("data-stale", "");
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(id);
  if (!fresh) return;
  localTimes(fresh);
  for (const open of old.querySelectorAll("details[id][open]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  old.replaceWith(fresh);
  schedule(fresh);
}

function schedule(part) {
  const seconds = Number(part.dataset.refresh);
  if (!seconds) return; // it has come to an end
  const again = () => setTimeout(async () => {
    await refresh(part.id);
    if (part.isConnected) again();
  }, seconds * 1000);
  again();
}

// A second click would be answered in place of the first, whose page may show a secret. For some
// seconds alone: what has come to nothing can be sent again.
const PATIENCE = 5000; // milliseconds
const sent = new WeakMap();

function once(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (event.timeStamp - (sent.get(form) ?? -PATIENCE) < PATIENCE) event.preventDefault();
  else sent.set(form, event.timeStamp);
}

// Django's lists stand in a column on a telephone, as ours do: each value says what it is.
function stack(table) {
  const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
  for (const row of table.tBodies[0]?.rows ?? []) {
    [...row.cells].forEach((cell, place) => {
      if (cell.tagName === "TD") cell.dataset.label = names[place];
      cell.classList.toggle("is-empty", cell.textContent.trim() === "-");
    });
  }
  table.classList.add("stack");
}

localTimes(document);
document.addEventListener("submit", once);
document.querySelectorAll("#result_list").forEach(stack);
document.querySelectorAll("[data-refresh]").forEach(schedule);
if (matchMedia("(min-width: 60rem)").matches) document.querySelector(".menu")?.setAttribute("open", "");
