/* Drawing by hand: elements, widths of text, ticks, and numbers in words. Colours are classes of the style, so that dark
   mode and paper need no second drawing. */
"use strict";

const report = JSON.parse(document.getElementById("report-data").textContent);
const PARTS = Object.keys(report.words.parts);
const byId = (id) => document.getElementById(id);
const isNarrow = () => window.innerWidth < 700;

/* 0.00153, "J" -> "1.53 mJ" */
function quantity(value, unit) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return `0 ${unit}`;
  const prefixes = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
  const [scale, prefix] = prefixes.find(([size]) => Math.abs(value) >= size * 0.9995) || prefixes[prefixes.length - 1];
  return `${Number((value / scale).toPrecision(3))} ${prefix}${unit}`;
}
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
const words = (name) => name.replace(/_/g, " ");
const largestPart = (table, i) => PARTS.reduce((a, b) => (table[`${b}_j`][i] > table[`${a}_j`][i] ? b : a));

function accountText(table, i) {
  const parts = PARTS.map((part) => [part, table[`${part}_j`][i]]).filter(([, joules]) => joules > 0);
  return parts.map(([part, joules]) => `${words(part)} ${percent(joules / table.energy_j[i])}`).join(", ");
}
/* Watts of a part, never above what the boards allow: parts overlap in time. */
const meanPower = (model, joules, seconds) => (seconds > 0 ? quantity(Math.min(model.power_cap_w, joules / seconds), "W") : "–");

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const term = (text, tip) => element("span", { class: "term", tabindex: "0", "data-tip": tip }, text);

/* A drawing in the place of the last one: as wide as its place, and scaled with it on paper. */
function newDrawing(place, height, label) {
  const width = Math.max(240, Math.floor(place.clientWidth));
  const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  place.replaceChildren(made);
  return [made, width];
}

const pen = document.createElement("canvas").getContext("2d");
function textWidth(text, size) {
  pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}
function shorten(text, room, size) {
  if (textWidth(text, size) <= room) return text;
  let kept = text;
  while (kept.length > 1 && textWidth(`${kept}…`, size) > room) kept = kept.slice(0, -1);
  return kept.length > 2 ? `${kept}…` : "";
}

/* Round numbers from 0 to `most`. */
function ticks(most, count) {
  if (!(most > 0)) return [0];
  const rough = most / count, scale = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((round) => round * scale >= rough) * scale;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}
const powersOfTen = (from, to) => Array.from({ length: Math.max(0, Math.floor(to) - Math.ceil(from) + 1) }, (_, i) => 10 ** (Math.ceil(from) + i));

function label(x, y, text, attributes = {}) {
  return svg("text", { x, y, ...attributes }, text);
}

/* The strip of an account: the parts of one whole beside each other. */
function strip(account, total, thin) {
  const bar = element("div", { class: thin ? "strip thin" : "strip", "aria-hidden": "true" });
  for (const part of PARTS) {
    if (account[part] > 0) bar.append(element("span", { class: part, style: `width:${(100 * account[part]) / total}%` }));
  }
  return bar;
}

/* What can be pressed: by mouse, by finger, and by Enter. */
function pressable(made, name, action) {
  fill(made, { tabindex: "0", role: "button", "aria-label": name }, []);
  made.addEventListener("click", action);
  made.addEventListener("keydown", (event) => { if (event.key === "Enter") action(event); });
  return made;
}
