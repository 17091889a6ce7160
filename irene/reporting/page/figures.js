/* The figures: plain functions from one model's data to Plotly traces and layouts. Numbers are SI. */
"use strict";

const report = JSON.parse(document.getElementById("report-data").textContent);
const PARTS = ["compute", "memory", "static", "launch_gap"];
const PART_COLORS = { compute: "#004488", memory: "#ddaa33", static: "#bbbbbb", launch_gap: "#bb5566" };
const KIND_MARKS = { // Okabe and Ito's colours; the symbol says the same again, in the plot and in its legend
  gemm: ["#0072b2", "circle", "●"], attention: ["#d55e00", "diamond", "◆"], grouped_gemm: ["#56b4e9", "hexagon", "⬢"],
  convolution: ["#cc79a7", "star", "★"], norm: ["#009e73", "square", "■"], softmax: ["#f0e442", "pentagon", "⬟"],
  activation: ["#e69f00", "triangle-up", "▲"], elementwise: ["#000000", "cross", "✚"], reduction: ["#999999", "x", "✖"],
};
const OTHER_MARK = ["#777777", "circle-open", "○"];
const FONT = { family: 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif', size: 13, color: "#1c2330" };
const CONFIG = {
  responsive: true, displaylogo: false, modeBarButtons: [["toImage"]], toImageButtonOptions: { format: "svg" },
};
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
const escapeText = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const largestPart = (table, i) => PARTS.reduce((a, b) => (table[`${b}_j`][i] > table[`${a}_j`][i] ? b : a));

/* The colour of the largest part of a row's account, the paler the less it dominates: [red, green, blue]. */
function rowColor(table, i) {
  if (!(table.energy_j[i] > 0)) return [236, 238, 242];
  const part = largestPart(table, i);
  const weight = 0.25 + 0.75 * (table[`${part}_j`][i] / table.energy_j[i]);
  return [1, 3, 5].map((at) => parseInt(PART_COLORS[part].slice(at, at + 2), 16))
    .map((channel) => Math.round(255 + (channel - 255) * weight));
}
/* White text reads better than dark text below this relative luminance (WCAG 2). */
const isDark = (rgb) => rgb.map((channel) => (channel / 255) ** 2.2).reduce((sum, light, i) => sum + light * [0.2126, 0.7152, 0.0722][i], 0) < 0.2;
/* Narrow screens have room for two short lines where wide ones have one long. */
const wrap = (text) => (isNarrow() ? escapeText(text).replace(/(.{7,}?[ /\-_])/g, "$1<br>") : escapeText(text));

function accountText(table, i) {
  const parts = PARTS.map((part) => [part, table[`${part}_j`][i]]).filter(([, joules]) => joules > 0);
  return parts.map(([part, joules]) => `${words(part)} ${percent(joules / table.energy_j[i])}`).join(", ");
}

function layout(changes) {
  return { font: FONT, paper_bgcolor: "#fff", plot_bgcolor: "#fff", margin: { l: 8, r: 8, t: 8, b: 8 }, dragmode: false,
    hoverlabel: { bgcolor: "#1c2330", bordercolor: "#1c2330", font: { ...FONT, color: "#fff" }, align: "left" }, ...changes };
}

/* Rows that the icicle shows: those with energy. Views of a captured graph have none. */
const shownRows = (model) => model.rows.energy_j.map((_, i) => i).filter((i) => i === 0 || model.rows.energy_j[i] > 0);

function icicleFigure(model) {
  const rows = model.rows, shown = shownRows(model), at = (column) => shown.map((i) => column[i]);
  // What a row has beside its children: the library sums values upwards itself, so rounding cannot contradict it.
  const own = rows.energy_j.slice(), isParent = new Set(at(rows.parent));
  for (const i of shown) if (i > 0) own[rows.parent[i]] -= rows.energy_j[i];
  const colors = shown.map((i) => rowColor(rows, i));
  const trace = {
    type: "icicle", branchvalues: "remainder", sort: false, maxdepth: isNarrow() ? 4 : 5,
    ids: shown.map(String), labels: at(rows.label).map(escapeText),
    parents: at(rows.parent).map((above) => (above < 0 ? "" : String(above))),
    values: shown.map((i) => (isParent.has(i) ? Math.max(own[i], 0) : rows.energy_j[i])),
    text: at(rows.energy_j).map((joules) => quantity(joules, "J")),
    customdata: shown.map((i) => [percent(rows.energy_j[i] / model.energy_j), accountText(rows, i)]),
    texttemplate: "%{label}<br>%{text}", textposition: "middle left",
    textfont: { size: isNarrow() ? 11 : 13, color: colors.map((color) => (isDark(color) ? "#ffffff" : "#1c2330")) },
    hovertemplate: "<b>%{label}</b><br>%{text}, %{customdata[0]} of the whole<br>%{customdata[1]}<extra></extra>",
    marker: { colors: colors.map((color) => `rgb(${color.join(",")})`), line: { width: 1.5, color: "#ffffff" } },
    tiling: { orientation: "h", pad: 0 }, pathbar: { thickness: 26, edgeshape: "/", textfont: { size: 13 } },
  };
  return [[trace], layout({ margin: { l: 0, r: 0, t: 30, b: 0 }, uniformtext: { minsize: isNarrow() ? 10 : 12, mode: "hide" } })];
}

const JOULE_AXIS = { tickformat: "~s", ticksuffix: "J", rangemode: "tozero", gridcolor: "#e9ebf0", zerolinecolor: "#c4cad4", fixedrange: true };

function layerFigure(model) {
  const layers = model.layers;
  const places = layers.label.map((_, i) => i);
  const step = Math.ceil(layers.label.length / (isNarrow() ? 8 : 24));
  const ticks = places.filter((i) => i % step === 0);
  const short = (i) => layers.label[i].split(".").slice(-2).join(".");
  const isCrowded = ticks.length * Math.max(...ticks.map((i) => short(i).length)) > (isNarrow() ? 36 : 120);
  const hover = layers.label.map((label, i) =>
    `<b>${escapeText(label)}</b><br>${quantity(layers.energy_j[i], "J")}, ${percent(layers.energy_j[i] / model.energy_j)} of the whole`
    + `<br>90 % interval ${quantity(layers.low_j[i], "J")} to ${quantity(layers.high_j[i], "J")}`
    + `<br>${quantity(layers.duration_s[i], "s")}${layers.duration_s[i] > 0 ? `, ${quantity(layers.energy_j[i] / layers.duration_s[i], "W")}` : ""}`);
  const traces = PARTS.map((part) => ({
    type: "bar", name: words(part), x: places, y: layers[`${part}_j`], marker: { color: PART_COLORS[part] },
    hovertext: hover, hovertemplate: `%{hovertext}<br>${words(part)}: %{y:.3s}J<extra></extra>`,
  }));
  return [traces, layout({
    barmode: "stack", bargap: layers.label.length > 40 ? 0.05 : 0.18, margin: { l: 64, r: 8, t: 12, b: 30 }, showlegend: false,
    xaxis: { tickvals: ticks, ticktext: ticks.map((i) => escapeText(short(i))), tickangle: isCrowded ? -45 : 0, fixedrange: true, automargin: true },
    yaxis: { ...JOULE_AXIS, title: { text: "energy of one call" } },
  })];
}

function stackedBars(names, table, totals, title) {
  const traces = PARTS.map((part) => ({
    type: "bar", orientation: "h", name: words(part), y: names, x: table[part], marker: { color: PART_COLORS[part] },
    hovertemplate: `<b>%{y}</b><br>${words(part)}: %{x:.3s}J<extra></extra>`,
  }));
  traces.push({
    type: "scatter", mode: "text", y: names, x: totals.map((total) => total.end), text: totals.map((total) => ` ${total.text}`),
    textposition: "middle right", hoverinfo: "skip", showlegend: false, cliponaxis: false,
  });
  return [traces, layout({
    barmode: "stack", bargap: 0.3, margin: { l: 8, r: 76, t: 8, b: 44 }, showlegend: false,
    yaxis: { autorange: "reversed", automargin: true, fixedrange: true, ticksuffix: " " },
    xaxis: { ...JOULE_AXIS, title: { text: title }, nticks: isNarrow() ? 3 : 8, tickangle: 0 },
  })];
}

function kindFigure(model) {
  const kinds = model.kinds;
  const table = Object.fromEntries(PARTS.map((part) => [part, kinds[`${part}_j`]]));
  const totals = kinds.energy_j.map((joules) => ({ end: joules, text: percent(joules / model.energy_j) }));
  return stackedBars(kinds.kind.map((kind) => wrap(report.words.kinds[kind])), table, totals, "energy of one call");
}

function compareFigure(models) {
  const table = Object.fromEntries(PARTS.map((part) => [part, models.map((model) => model.breakdown_j[part])]));
  const totals = models.map((model) => ({ end: model.interval_j[1], text: quantity(model.energy_j, "J") }));
  const names = models.map((model) => wrap(model.name));
  const [traces, shape] = stackedBars(names, table, totals, isNarrow() ? "energy of one call" : "energy of one call, 90 % interval");
  traces.push({
    type: "scatter", mode: "markers", y: names, x: models.map((model) => model.energy_j),
    marker: { color: "#1c2330", size: 7 }, showlegend: false, hoverinfo: "skip",
    error_x: { type: "data", symmetric: false, color: "#1c2330", thickness: 1.6, width: 6,
      array: models.map((model) => model.interval_j[1] - model.energy_j),
      arrayminus: models.map((model) => model.energy_j - model.interval_j[0]) },
  });
  return [traces, shape];
}

function rooflineFigure(model) {
  const roof = model.roofline, rows = model.rows;
  const low = Math.min(0.1, ...roof.intensity) / 2, high = Math.max(2000, ...roof.intensity) * 2;
  const line = (name, flop_per_s, dash) => ({
    type: "scatter", mode: "lines", name, x: [low, flop_per_s / roof.bytes_per_s, high],
    y: [low * roof.bytes_per_s, flop_per_s, flop_per_s], line: { color: "#5a6474", width: 1.6, dash }, hoverinfo: "skip", showlegend: false,
  });
  // In float32 all arithmetic has one roof.
  const roofs = roof.peak_flop_per_s === roof.vector_flop_per_s ? [["all arithmetic", roof.peak_flop_per_s, "solid"]]
    : [[`${isNarrow() ? "" : "matrix products in "}${roof.dtype}`, roof.peak_flop_per_s, "solid"], ["other arithmetic", roof.vector_flop_per_s, "dot"]];
  const traces = roofs.map(([name, flop_per_s, dash]) => line(name, flop_per_s, dash));
  for (const kind of [...new Set(roof.kind)]) {
    const at = roof.kind.map((other, i) => (other === kind ? i : -1)).filter((i) => i >= 0);
    const [color, symbol] = KIND_MARKS[kind] || OTHER_MARK;
    traces.push({
      type: "scatter", mode: "markers", name: report.words.kinds[kind],
      x: at.map((i) => roof.intensity[i]), y: at.map((i) => roof.flop_per_s[i]), customdata: at.map((i) => roof.row[i]),
      marker: { color, symbol, opacity: 0.8, line: { width: 1, color: "#fff" },
        size: at.map((i) => 7 + 34 * Math.sqrt(rows.energy_j[roof.row[i]] / model.energy_j)) },
      text: at.map((i) => `<b>${escapeText(rows.path[roof.row[i]])}</b><br>${quantity(rows.energy_j[roof.row[i]], "J")}, `
        + `${percent(rows.energy_j[roof.row[i]] / model.energy_j)} of the whole`),
      hovertemplate: "%{text}<br>%{x:.3s} FLOP per byte, %{y:.3s}FLOP/s<extra></extra>",
    });
  }
  const label = (x, y, text, changes) => ({ x: Math.log10(x), y: Math.log10(y), text, showarrow: false, font: { size: 12, color: "#5a6474" }, ...changes });
  const log = { type: "log", gridcolor: "#e9ebf0", fixedrange: true, zeroline: false };
  const powers = (from, to) => Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => 10 ** (from + i));
  const bottom = Math.min(low * roof.bytes_per_s, ...roof.flop_per_s) / 2, top = roof.peak_flop_per_s * 3;
  const speeds = powers(Math.ceil(Math.log10(bottom)), Math.floor(Math.log10(top)));
  return [traces, layout({
    margin: { l: 8, r: 8, t: 16, b: 52 }, showlegend: false,
    xaxis: { ...log, range: [Math.log10(low), Math.log10(high)], tickvals: powers(-3, 6), ticktext: powers(-3, 6).map(String),
      title: { text: isNarrow() ? "FLOP per byte moved" : "arithmetic intensity (FLOP per byte moved)" } },
    yaxis: { ...log, range: [Math.log10(bottom), Math.log10(top)], automargin: true, tickvals: speeds, ticksuffix: " ",
      ticktext: speeds.map((speed) => quantity(speed, isNarrow() ? "" : "FLOP/s")),
      title: { text: isNarrow() ? "" : "speed while running", standoff: 12 } },
    annotations: [
      ...roofs.map(([name, flop_per_s]) => label(high, flop_per_s, `${name}: ${quantity(flop_per_s, "FLOP/s")}`, { xanchor: "right", yanchor: "bottom" })),
      label(4, 4 * roof.bytes_per_s, `memory: ${quantity(roof.bytes_per_s, "B/s")}`, { xanchor: "right", yanchor: "bottom", xshift: -4 }),
    ],
  })];
}
