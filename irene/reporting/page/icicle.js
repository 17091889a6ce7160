/* The icicle: each box a part of the model as tall as its energy, its parts to its right. */
"use strict";

const ICICLE = { height: 540, line: 15, leastText: 15, leastBox: 0.7 };

/* Children with energy, by row: views of a captured graph have none. */
function childrenOf(model) {
  if (!model.children) {
    model.children = model.rows.parent.map(() => []);
    model.rows.parent.forEach((above, i) => { if (above >= 0 && model.rows.energy_j[i] > 0) model.children[above].push(i); });
  }
  return model.children;
}
function ancestorsOf(model, row) {
  const line = [];
  for (let at = row; at >= 0; at = model.rows.parent[at]) line.unshift(at);
  return line;
}
/* The box that is zoomed to for a row: its own, or its parent's if nothing is below it. */
function zoomRow(model, row) {
  let at = row;
  while (at > 0 && !(model.rows.energy_j[at] > 0 && childrenOf(model)[at].length)) at = model.rows.parent[at];
  return at;
}

function drawIcicle(place, model, root, chosen, take) {
  const rows = model.rows, children = childrenOf(model), most = isNarrow() ? 4 : 5;
  const size = isNarrow() ? 11 : 13;
  const depth = (row, limit) => (limit === 1 ? 1 : 1 + Math.max(0, ...children[row].map((child) => depth(child, limit - 1))));
  const levels = depth(root, most);
  const [drawing, width] = newDrawing(place, ICICLE.height, "Where the energy goes");
  const column = width / levels;

  function box(row, level, top, height) {
    const x = level * column, part = largestPart(rows, row), share = rows.energy_j[row] / model.energy_j;
    const dominance = rows.energy_j[row] > 0 ? rows[`${part}_j`][row] / rows.energy_j[row] : 0;
    const group = svg("g", { class: `box${row === chosen && row > 0 ? " chosen" : ""}`, "data-row": row,
      "data-tip": `${rows.label[row]}\n${quantity(rows.energy_j[row], "J")}, ${percent(share)} of the whole\n${accountText(rows, row)}` });
    // At most half as strong as the part's own colour: dark text reads well on it, and light text in the dark.
    group.append(
      svg("rect", { class: part, x, y: top, width: column, height, "fill-opacity": (0.12 + 0.38 * dominance).toFixed(3) }),
      svg("rect", { class: part, x: x + 1, y: top + 0.5, width: 4, height: Math.max(0.2, height - 1) }),
      svg("rect", { class: "frame", x: x + 0.5, y: top, width: column - 1, height }),
    );
    if (height >= ICICLE.leastText) {
      const room = column - 18, lines = [shorten(rows.label[row], room, size)];
      if (height >= 2.2 * ICICLE.line) lines.push(shorten(quantity(rows.energy_j[row], "J"), room, size));
      const first = top + height / 2 + size * 0.36 - ((lines.length - 1) * ICICLE.line) / 2;
      lines.forEach((text, i) => group.append(label(x + 11, first + i * ICICLE.line, text, { "font-size": size, class: i ? "soft" : "" })));
      pressable(group, `${rows.label[row]}, ${quantity(rows.energy_j[row], "J")}`, () => take(row));
    } else {
      group.addEventListener("click", () => take(row));
    }
    drawing.append(group);
    if (level + 1 >= levels) return;
    let y = top;
    for (const child of children[row]) {
      const tall = (height * rows.energy_j[child]) / rows.energy_j[row];
      if (tall >= ICICLE.leastBox) box(child, level + 1, y, tall);
      y += tall;
    }
  }
  box(root, 0, 0, ICICLE.height);
  const framed = drawing.querySelector(".chosen");
  if (framed) drawing.append(framed); // on top of its neighbours
}

/* The way up from the box that is zoomed to. */
function drawPathBar(place, model, root, take) {
  place.replaceChildren(...ancestorsOf(model, root).map((row) => {
    const step = element("button", { type: "button" }, model.rows.label[row]);
    step.addEventListener("click", () => take(row));
    return element("li", row === root ? { "aria-current": "true" } : {}, step);
  }));
}
