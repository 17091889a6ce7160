/* What happens on the page: drawing when a figure comes into view, tabs, selecting a row, search, tooltips. */
"use strict";

const byId = (id) => document.getElementById(id);
let model = report.models[0];
let selected = 0;

/* ---- elements ---- */

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
function term(text, tip) {
  return element("span", { class: "term", tabindex: "0", "data-tip": tip }, text);
}
function strip(account, total, thin) {
  const bar = element("div", { class: thin ? "strip thin" : "strip", "aria-hidden": "true" });
  for (const part of PARTS) {
    if (account[part] > 0) bar.append(element("span", { class: part, style: `width:${(100 * account[part]) / total}%` }));
  }
  return bar;
}

/* ---- figures, drawn when they are first seen, and again for another model ---- */

const FIGURES = {
  "icicle": icicleFigure, "layer-bars": layerFigure, "kind-bars": kindFigure, "roofline-plot": rooflineFigure,
};
const drawn = new Map();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) draw(entry.target.id);
}, { rootMargin: "300px" });

async function draw(id) {
  if (drawn.get(id) === model.name) return;
  const first = !drawn.has(id);
  drawn.set(id, model.name);
  if (id === "kind-bars") byId(id).style.height = `${60 + 30 * model.kinds.kind.length}px`;
  const [traces, shape] = FIGURES[id](model);
  await Plotly.react(byId(id), traces, shape, CONFIG);
  if (!first) return;
  if (id === "icicle") byId(id).on("plotly_icicleclick", (event) => showRow(Number(event.points[0].id)));
  if (id === "layer-bars") byId(id).on("plotly_click", (event) => findLayer(event.points[0].x));
  if (id === "roofline-plot") {
    byId(id).on("plotly_click", (event) => {
      if (event.points[0].customdata !== undefined) zoomTo(event.points[0].customdata, true);
    });
  }
}

/* ---- one row: its facts, and zooming to it ---- */

function showRow(index) {
  selected = index;
  const rows = model.rows, share = rows.energy_j[index] / model.energy_j;
  const account = Object.fromEntries(PARTS.map((part) => [part, rows[`${part}_j`][index]]));
  const facts = [
    ["90 % interval", `${quantity(rows.low_j[index], "J")} to ${quantity(rows.high_j[index], "J")}`],
    ["time", quantity(rows.duration_s[index], "s")],
    ["mean power", rows.duration_s[index] > 0 ? quantity(rows.energy_j[index] / rows.duration_s[index], "W") : "–"],
    [term("arithmetic", "Additions and multiplications; one multiply-add counts as two."), quantity(rows.flop[index], "FLOP")],
    [term("data moved", "Bytes read and written, each operand once."), quantity(rows.traffic_bytes[index], "B")],
    ["type", rows.type[index]],
    ["calls", String(rows.calls[index])],
    [term("known from", report.words.provenances[rows.provenance[index]] || ""), rows.provenance[index]],
  ];
  const list = element("dl");
  for (const [name, value] of facts) list.append(element("dt", {}, name), element("dd", {}, value));
  const legend = element("ul", { class: "legend" });
  for (const part of PARTS.filter((name) => account[name] > 0)) {
    legend.append(element("li", {}, element("span", { class: `swatch ${part}` }),
      `${words(part)} ${percent(account[part] / rows.energy_j[index])}`));
  }
  const bound = rows.bound[index];
  byId("detail").replaceChildren(
    element("h3", {}, rows.label[index]),
    element("p", { class: "path" }, rows.path[index] || model.model),
    element("div", { class: "big" }, quantity(rows.energy_j[index], "J"), element("small", {}, ` ${percent(share)} of the whole`)),
    element("div", { class: "account" }, strip(account, rows.energy_j[index] || 1, true)), legend, list,
    element("p", { class: "why" }, bound ? `${words(bound)}. ${report.words.bounds[bound]}` : "Nothing runs here."),
  );
}

/* Zoom the icicle so that the row is in view, with a frame around it. */
async function zoomTo(index, scroll) {
  await draw("icicle");
  showRow(index);
  const rows = model.rows;
  const shown = shownRows(model);
  let level = index;
  while (level > 0 && !(rows.energy_j[level] > 0 && rows.parent.includes(level))) level = rows.parent[level];
  // Only the colour: a list of widths leaves the bar of ancestors without a height (plotly.js 4.1).
  const frame = shown.map((i) => (i === index && index > 0 ? "#000000" : "#ffffff"));
  await Plotly.restyle(byId("icicle"), { "marker.line.color": [frame] });
  // As a click does it: setting `level` directly leaves the bar of ancestors without a place.
  await Plotly.animate(byId("icicle"), { data: [{ level: String(level) }], traces: [0] },
    { frame: { redraw: false, duration: 400 }, transition: { duration: 400 }, mode: "immediate", fromcurrent: true });
  if (scroll) byId("where").scrollIntoView();
}

function findLayer(position) {
  const hits = search(model.layers.label[position].replace(/^\((.*) itself\)$/, "$1"));
  if (hits.length) zoomTo(hits[0], true);
}

/* ---- search: 'layers.7.mlp' finds the row 'layers.0-31.mlp' ---- */

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
  zoomTo(index, false);
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

/* ---- tooltips of terms, by mouse, keyboard and touch ---- */

const tip = byId("tip");
function showTip(target) {
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  const at = target.getBoundingClientRect(), size = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(12, Math.min(at.left, window.innerWidth - size.width - 12))}px`;
  tip.style.top = `${at.top > size.height + 14 ? at.top - size.height - 8 : at.bottom + 8}px`;
}
for (const kind of ["mouseover", "focusin", "click"]) {
  document.addEventListener(kind, (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target) showTip(target);
    else if (kind !== "focusin") tip.hidden = true;
  });
}
document.addEventListener("focusout", () => { tip.hidden = true; });
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

/* ---- start ---- */

function choose(position) {
  model = report.models[position];
  document.querySelectorAll(".hero-card").forEach((card, i) => { card.hidden = i !== position; });
  document.querySelectorAll(".tabs button").forEach((tab, i) => tab.setAttribute("aria-selected", String(i === position)));
  box.value = "";
  showRow(0);
  const share = model.roofline.shown_share;
  byId("roofline-note").textContent = `The points hold ${percent(share)} of the energy; the rest is in operations without arithmetic `
    + "(copies, lookups, views). A point above the slope finds its data in the cache.";
  draw("icicle"); // at once: it is what the page is for
  byId("kind-marks").replaceChildren(...[...new Set(model.roofline.kind)].map((kind) => {
    const [color, , sign] = KIND_MARKS[kind] || OTHER_MARK;
    return element("li", {}, element("span", { style: `color:${color}`, "aria-hidden": "true" }, sign), report.words.kinds[kind]);
  }));
  for (const id of Object.keys(FIGURES)) { watcher.unobserve(byId(id)); watcher.observe(byId(id)); }
}
document.querySelectorAll(".tabs button").forEach((tab, i) => tab.addEventListener("click", () => choose(i)));
for (const part of PARTS) {
  document.querySelectorAll("ul.parts").forEach((list) => list.append(
    element("li", {}, element("span", { class: `swatch ${part}` }), term(words(part), report.words.parts[part]))));
}
if (byId("compare-bars")) {
  byId("compare-bars").style.height = `${60 + 46 * report.models.length}px`;
  const [traces, shape] = compareFigure(report.models);
  Plotly.newPlot(byId("compare-bars"), traces, shape, CONFIG);
}
choose(0);
