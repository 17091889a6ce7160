/* The other figures: layers and roofline as drawings, kinds and the comparison as rows of bars. */
"use strict";

function drawLayers(place, model, take) {
  const layers = model.layers, count = layers.label.length, size = 12;
  const short = (i) => layers.label[i].split(".").slice(-2).join(".");
  const step = Math.ceil(count / (isNarrow() ? 8 : 24));
  const named = layers.label.map((_, i) => i).filter((i) => i % step === 0);
  const most = Math.max(...layers.energy_j) * 1.04 || 1, marks = ticks(most, 5);
  const left = 10 + Math.max(...marks.map((joules) => textWidth(quantity(joules, "J"), size)));
  const widest = Math.max(...named.map((i) => textWidth(short(i), size)));
  const slant = widest > ((Math.max(240, place.clientWidth) - left) / named.length) - 6;
  const bottom = slant ? Math.min(120, 14 + widest * 0.72) : 24, high = isNarrow() ? 300 : 340;
  const [drawing, width] = newDrawing(place, high + bottom, "Energy of each layer");
  const y = (joules) => 8 + (high - 8) * (1 - joules / most), slot = (width - left - 4) / count;
  for (const joules of marks) {
    drawing.append(svg("line", { class: "grid", x1: left, x2: width, y1: y(joules), y2: y(joules) }),
      label(left - 6, y(joules) + 4, quantity(joules, "J"), { "text-anchor": "end", "font-size": size, class: "soft" }));
  }
  for (let i = 0; i < count; i += 1) {
    const x = left + i * slot, gap = count > 40 ? 0.05 * slot : 0.14 * slot;
    const bar = svg("g", { class: "bar", "data-layer": i, "data-tip": `${layers.label[i]}\n${quantity(layers.energy_j[i], "J")}, `
      + `${percent(layers.energy_j[i] / model.energy_j)} of the whole\n90 % interval ${quantity(layers.low_j[i], "J")} to ${quantity(layers.high_j[i], "J")}`
      + `\n${quantity(layers.duration_s[i], "s")}, ${meanPower(model, layers.energy_j[i], layers.duration_s[i])}\n${accountText(layers, i)}` });
    let base = 0;
    for (const part of PARTS) {
      const joules = layers[`${part}_j`][i];
      if (joules > 0) bar.append(svg("rect", { class: part, x: x + gap, y: y(base + joules), width: slot - 2 * gap, height: y(base) - y(base + joules) }));
      base += Math.max(0, joules);
    }
    bar.append(svg("rect", { class: "catch", x, y: 8, width: slot, height: high - 8 }));
    drawing.append(pressable(bar, `${layers.label[i]}, ${quantity(layers.energy_j[i], "J")}`, () => take(i)));
  }
  for (const i of named) {
    const x = left + (i + 0.5) * slot, at = slant ? { "text-anchor": "end", transform: `rotate(-45 ${x} ${high + 14})` } : { "text-anchor": "middle" };
    drawing.append(label(x, high + 16, short(i), { ...at, "font-size": size, class: "soft" }));
  }
}

/* ---- rows of bars: name, account, number ---- */

function barRow(name, account, total, most, number, whisker) {
  const bar = element("div", { class: "bar-of" }, strip(account, total || 1, false));
  bar.firstChild.style.width = `${(100 * total) / most}%`;
  const track = element("div", { class: "track-of" }, bar);
  if (whisker) {
    const [low, high] = whisker.map((joules) => (100 * joules) / most);
    bar.append(element("span", { class: "whisker", style: `left:${low}%;width:${high - low}%` }));
  }
  const tip = `${name}\n${PARTS.filter((part) => account[part] > 0).map((part) => `${words(part)} ${quantity(account[part], "J")}`).join(", ")}`;
  return element("div", { class: "bar-row", "data-tip": tip }, element("div", { class: "name" }, name), track, element("div", { class: "number" }, number));
}

function drawKinds(place, model) {
  const kinds = model.kinds, most = Math.max(...kinds.energy_j) || 1;
  place.replaceChildren(...kinds.kind.map((kind, i) => {
    const account = Object.fromEntries(PARTS.map((part) => [part, kinds[`${part}_j`][i]]));
    return barRow(report.words.kinds[kind], account, kinds.energy_j[i], most,
      `${quantity(kinds.energy_j[i], "J")}, ${percent(kinds.energy_j[i] / model.energy_j)}`);
  }));
}

function drawComparison(place, models) {
  const most = Math.max(...models.map((model) => model.interval_j[1])) || 1;
  place.replaceChildren(...models.map((model) =>
    barRow(model.name, model.breakdown_j, model.energy_j, most, quantity(model.energy_j, "J"), model.interval_j)));
}

/* ---- the roofline ---- */

const KIND_MARKS = { // Okabe and Ito's colours; the shape says the same again
  gemm: ["#0072b2", "circle"], attention: ["#d55e00", "diamond"], grouped_gemm: ["#56b4e9", "hexagon"],
  convolution: ["#cc79a7", "star"], norm: ["#009e73", "square"], softmax: ["#d8c400", "pentagon"],
  activation: ["#e69f00", "triangle"], elementwise: ["var(--ink)", "plus"], reduction: ["#999999", "cross"],
};
const OTHER_MARK = ["#777777", "ring"];
const CORNERS = { diamond: [4, 0], square: [4, 45], pentagon: [5, 0], hexagon: [6, 0], triangle: [3, 0], star: [10, 0], plus: [12, 0], cross: [12, 45] };

/* A mark as a path around (x, y): a star has every other corner near, a plus its arms. */
function mark(kind, x, y, radius) {
  const [color, shape] = KIND_MARKS[kind] || OTHER_MARK;
  const style = shape === "ring" ? `fill:none;stroke:${color}` : `fill:${color}`;
  if (!(shape in CORNERS)) return svg("circle", { class: "mark", cx: x, cy: y, r: radius, style });
  const [count, turn] = CORNERS[shape];
  const points = Array.from({ length: count }, (_, i) => {
    const isArm = shape === "plus" || shape === "cross";
    const reach = shape === "star" && i % 2 ? 0.45 * radius : isArm && i % 3 === 2 ? 0.5 * radius : radius * (isArm ? 1 : 1.1);
    const angle = isArm ? (Math.floor(i / 3) * 90 + [-20, 20, 45][i % 3] + turn) : (360 * i) / count + turn;
    const at = ((angle - 90) * Math.PI) / 180;
    return `${(x + reach * Math.cos(at)).toFixed(2)},${(y + reach * Math.sin(at)).toFixed(2)}`;
  });
  return svg("polygon", { class: "mark", points: points.join(" "), style });
}

function drawRoofline(place, model, take) {
  const roof = model.roofline, rows = model.rows, size = 12, high = isNarrow() ? 320 : 400, bottom = 46;
  const low = Math.min(0.1, ...roof.intensity) / 2, far = Math.max(2000, ...roof.intensity) * 2;
  const least = Math.min(low * roof.bytes_per_s, ...roof.flop_per_s) / 2, top = roof.peak_flop_per_s * 3;
  const speeds = powersOfTen(Math.log10(least), Math.log10(top)), unit = isNarrow() ? "" : "FLOP/s";
  const left = 10 + Math.max(...speeds.map((speed) => textWidth(quantity(speed, unit), size)));
  const [drawing, width] = newDrawing(place, high + bottom, "Speed of each operation against the hardware's limits");
  const x = (value) => left + ((width - left - 8) * Math.log10(value / low)) / Math.log10(far / low);
  const y = (value) => 6 + (high - 6) * (1 - Math.log10(value / least) / Math.log10(top / least));
  for (const speed of speeds) {
    drawing.append(svg("line", { class: "grid", x1: left, x2: width, y1: y(speed), y2: y(speed) }),
      label(left - 6, y(speed) + 4, quantity(speed, unit).trim(), { "text-anchor": "end", "font-size": size, class: "soft" }));
  }
  for (const value of powersOfTen(Math.log10(low), Math.log10(far))) {
    drawing.append(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: 6, y2: high }),
      label(x(value), high + 16, String(value), { "text-anchor": "middle", "font-size": size, class: "soft" }));
  }
  drawing.append(label((left + width) / 2, high + 38, isNarrow() ? "FLOP per byte moved" : "arithmetic intensity (FLOP per byte moved)",
    { "text-anchor": "middle", "font-size": 13, class: "soft" }));
  // In float32 all arithmetic has one roof.
  const roofs = roof.peak_flop_per_s === roof.vector_flop_per_s ? [["all arithmetic", roof.peak_flop_per_s, ""]]
    : [[`${isNarrow() ? "" : "matrix products in "}${roof.dtype}`, roof.peak_flop_per_s, ""], ["other arithmetic", roof.vector_flop_per_s, "2 4"]];
  for (const [name, flop_per_s, dash] of roofs) {
    const line = [[low, low * roof.bytes_per_s], [flop_per_s / roof.bytes_per_s, flop_per_s], [far, flop_per_s]];
    drawing.append(svg("polyline", { class: "roof", "stroke-dasharray": dash, points: line.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }),
      label(width - 8, y(flop_per_s) - 6, `${name}: ${quantity(flop_per_s, "FLOP/s")}`, { "text-anchor": "end", "font-size": size, class: "soft" }));
  }
  drawing.append(label(x(4) - 6, y(4 * roof.bytes_per_s) - 6, `memory: ${quantity(roof.bytes_per_s, "B/s")}`, { "text-anchor": "end", "font-size": size, class: "soft" }));
  roof.row.forEach((row, i) => {
    const share = rows.energy_j[row] / model.energy_j;
    const point = svg("g", { class: "point", "data-tip": `${rows.path[row]}\n${report.words.kinds[roof.kind[i]]}\n${quantity(rows.energy_j[row], "J")}, ${percent(share)} of the whole`
      + `\n${Number(roof.intensity[i].toPrecision(3))} FLOP per byte, ${quantity(roof.flop_per_s[i], "FLOP/s")}` },
    mark(roof.kind[i], x(roof.intensity[i]), y(roof.flop_per_s[i]), 4 + 16 * Math.sqrt(share)));
    drawing.append(pressable(point, `${rows.path[row]}, ${quantity(roof.flop_per_s[i], "FLOP/s")}`, () => take(row)));
  });
}

function drawMarks(place, model) {
  place.replaceChildren(...[...new Set(model.roofline.kind)].map((kind) =>
    element("li", {}, svg("svg", { class: "sign", viewBox: "0 0 16 16", "aria-hidden": "true" }, mark(kind, 8, 8, 6)), report.words.kinds[kind])));
}
