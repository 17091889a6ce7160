/* Search: 'layers.7.mlp' finds the row 'layers.0-31.mlp'. Tooltips of words and figures, by mouse, keyboard and touch. */
"use strict";

/* The path with each range replaced by a number that was asked for, where the range holds it. */
function spellings(path, numbers) {
  let texts = [path];
  for (const [range, first, last] of path.matchAll(/(\d+)-(\d+)/g)) {
    const inside = numbers.filter((n) => n >= Number(first) && n <= Number(last)).slice(0, 3);
    texts = inside.flatMap((n) => texts.map((text) => text.replace(range, n))).concat(texts);
  }
  return texts;
}
function search(query) {
  const wanted = query.trim().toLowerCase();
  if (!wanted) return [];
  const numbers = [...new Set((wanted.match(/\d+/g) || []).map(Number))];
  const rank = (index) => {
    const row = model.rows;
    let best = 99;
    for (const text of spellings(row.path[index].toLowerCase(), numbers)) {
      if (text === wanted) return 0;
      if (text.endsWith(wanted)) best = Math.min(best, 1);
      else if (text.includes(wanted)) best = Math.min(best, 2);
    }
    if (row.type[index].toLowerCase().includes(wanted)) best = Math.min(best, 3);
    // A module before what it calls: shorter paths first.
    return best === 99 ? 99 : best + row.path[index].length / 10000;
  };
  const ranked = model.rows.path.map((_, index) => [rank(index), index]).filter(([value]) => value < 99);
  return ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, 12).map(([, index]) => index);
}

const box = byId("search"), hits = byId("hits");
let choice = 0;
function showHits() {
  const found = search(box.value);
  choice = 0;
  hits.hidden = !box.value.trim();
  box.setAttribute("aria-expanded", String(!hits.hidden));
  hits.replaceChildren(...found.map((index, position) => {
    const much = `${quantity(model.rows.energy_j[index], "J")}, ${percent(model.rows.energy_j[index] / model.energy_j)}`;
    const item = element("li", { role: "option", "data-row": index, "aria-selected": String(position === 0) },
      element("span", { class: "path" }, model.rows.path[index] || model.rows.label[index]), element("span", { class: "much" }, much));
    item.addEventListener("mousedown", (event) => { event.preventDefault(); take(index); });
    return item;
  }));
  if (!found.length) hits.append(element("li", { class: "none" }, "Nothing by that name."));
}
function take(index) {
  hits.hidden = true;
  box.setAttribute("aria-expanded", "false");
  box.value = model.rows.path[index] || model.rows.label[index];
  zoomTo(index);
}
box.addEventListener("input", showHits);
box.addEventListener("blur", () => { hits.hidden = true; });
box.addEventListener("keydown", (event) => {
  const items = [...hits.querySelectorAll("[data-row]")];
  if (event.key === "Escape") hits.hidden = true;
  if (event.key === "Enter" && items.length && !hits.hidden) take(Number(items[choice].dataset.row));
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choice = Math.max(0, Math.min(items.length - 1, choice + (event.key === "ArrowDown" ? 1 : -1)));
    items.forEach((item, position) => item.setAttribute("aria-selected", String(position === choice)));
    items[choice]?.scrollIntoView({ block: "nearest" });
  }
});

const tip = byId("tip");
function showTip(target, event) {
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  const size = tip.getBoundingClientRect(), edges = target.getBoundingClientRect();
  // A box may be as tall as the screen: beside the pointer then.
  const at = event.type === "mousemove" || event.type === "click" ? { left: event.clientX + 12, top: event.clientY, bottom: event.clientY + 12 } : edges;
  tip.style.left = `${Math.max(12, Math.min(at.left, window.innerWidth - size.width - 12))}px`;
  tip.style.top = `${at.top > size.height + 14 ? at.top - size.height - 8 : at.bottom + 8}px`;
}
for (const kind of ["mousemove", "focusin", "click"]) {
  document.addEventListener(kind, (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target) showTip(target, event);
    else if (kind !== "focusin") tip.hidden = true;
  });
}
document.addEventListener("focusout", () => { tip.hidden = true; });
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
