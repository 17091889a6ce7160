/* What happens on the page: choosing a model and a part of it, links to parts, data to take away, paper. */
"use strict";

let model = report.models[0];
let selected = 0, root = 0;

/* ---- one row: its facts, and zooming to it ---- */

function showRow(index) {
  selected = index;
  const rows = model.rows, share = rows.energy_j[index] / model.energy_j;
  const account = Object.fromEntries(PARTS.map((part) => [part, rows[`${part}_j`][index]]));
  const facts = [
    ["90 % interval", `${quantity(rows.low_j[index], "J")} to ${quantity(rows.high_j[index], "J")}`],
    ["time", quantity(rows.duration_s[index], "s")],
    ["mean power", meanPower(model, rows.energy_j[index], rows.duration_s[index])],
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
    element("p", { class: "path" }, rows.path[index] || model.model, " ", element("a", { href: linkTo(index) }, "link")),
    element("div", { class: "big" }, quantity(rows.energy_j[index], "J"), element("small", {}, ` ${percent(share)} of the whole`)),
    element("div", { class: "account" }, strip(account, rows.energy_j[index] || 1, true)), legend, list,
    element("p", { class: "why" }, bound ? `Its time is ${words(bound)}. ${report.words.bounds[bound]}` : "Nothing runs here."),
  );
}

/* Zoom the icicle so that the row is in view, with a frame around it. */
function zoomTo(index, { scroll = false, remember = true } = {}) {
  root = zoomRow(model, index);
  showRow(index);
  drawTree();
  if (remember) history.replaceState(null, "", linkTo(index));
  if (scroll) byId("where").scrollIntoView();
}
function drawTree() {
  // A click on the box that fills the height leads back up.
  const pressed = (row) => zoomTo(row === root && row === selected && row > 0 ? model.rows.parent[row] : row);
  drawPathBar(byId("path-bar"), model, root, zoomTo);
  drawIcicle(byId("icicle"), model, root, selected, pressed);
}
function findLayer(position) {
  const found = search(model.layers.label[position].replace(/^\((.*) itself\)$/, "$1"));
  if (found.length) zoomTo(found[0], { scroll: true });
}

/* ---- links: '#part=encoder.layer.0-11.attention&model=eager'; any spelling that search finds will do ---- */

function linkTo(index) {
  const named = { part: model.rows.path[index], ...(report.models.length > 1 ? { model: model.name } : {}) };
  return `#${new URLSearchParams(named)}`;
}
function followLink() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (!asked.has("part")) return;
  const position = report.models.findIndex((one) => one.name === asked.get("model"));
  if (position >= 0 && report.models[position] !== model) choose(position);
  const path = asked.get("part"), exact = path ? model.rows.path.indexOf(path) : 0;
  const index = exact >= 0 ? exact : search(path)[0];
  if (index !== undefined) zoomTo(index, { scroll: true, remember: false });
}

/* ---- data to take away ---- */

/* A spreadsheet runs a cell that begins so as a formula, and names come from files of others. */
function csvCell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}
function dataAsCsv() {
  const columns = Object.keys(model.rows).filter((name) => name !== "parent");
  const lines = report.models.flatMap((one) =>
    one.rows.path.map((_, i) => [one.name, ...columns.map((column) => one.rows[column][i])].map(csvCell).join(",")));
  return [["model", ...columns].join(","), ...lines, ""].join("\n");
}
function save(name, type, content) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
byId("save-csv").addEventListener("click", () => save("irene.csv", "text/csv", dataAsCsv()));
byId("save-json").addEventListener("click", () => save("irene.json", "application/json", byId("report-data").textContent));

/* ---- start ---- */

function drawAll() {
  drawTree();
  drawLayers(byId("layer-bars"), model, findLayer);
  drawKinds(byId("kind-bars"), model);
  drawRoofline(byId("roofline-plot"), model, (row) => zoomTo(row, { scroll: true }));
  if (byId("compare-bars")) drawComparison(byId("compare-bars"), report.models);
}
function choose(position) {
  model = report.models[position];
  document.querySelectorAll(".hero-card").forEach((card, i) => { card.hidden = i !== position; });
  document.querySelectorAll(".tabs button").forEach((tab, i) => tab.setAttribute("aria-selected", String(i === position)));
  document.querySelectorAll(".whose").forEach((place) => { place.textContent = report.models.length > 1 ? ` of ${model.name}` : ""; });
  box.value = "";
  root = 0;
  showRow(0);
  byId("roofline-note").textContent = `The points hold ${percent(model.roofline.shown_share)} of the energy; the rest is in operations without arithmetic `
    + "(copies, lookups, views). A point above the slope finds its data in the cache.";
  drawMarks(byId("kind-marks"), model);
  drawAll();
}
document.querySelectorAll(".tabs button").forEach((tab, i) => tab.addEventListener("click", () => choose(i)));
for (const part of PARTS) {
  document.querySelectorAll("ul.parts").forEach((list) => list.append(
    element("li", {}, element("span", { class: `swatch ${part}` }), term(words(part), report.words.parts[part]))));
}
let drawnWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === drawnWidth) return; // a phone's address bar comes and goes
  drawnWidth = window.innerWidth;
  requestAnimationFrame(drawAll);
});
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
window.addEventListener("hashchange", followLink);
choose(0);
followLink();
