/* The gallery's table: sorted by a click on a head, filtered by words and workload; the address keeps both. */
"use strict";

const body = document.querySelector("#gallery tbody"), heads = [...document.querySelectorAll("#gallery th")];
const rows = [...body.querySelectorAll("tr[data-asked]")];
const find = document.getElementById("find"), asked = document.getElementById("asked");
const state = { sort: "", down: false };

const valueOf = (row, column, isNumber) => {
  const value = row.children[column].dataset.value;
  return isNumber && value !== "" ? Number(value) : value;
};
function compare(one, other) { // what has no value comes last, whichever way
  if (one === "" || other === "") return (one === "") - (other === "") || 0;
  const order = typeof one === "number" ? one - other : one.localeCompare(other);
  return state.down ? -order : order;
}
function show() {
  const column = heads.findIndex((head) => head.textContent === state.sort);
  if (column >= 0) {
    const isNumber = heads[column].dataset.sort === "number";
    const keyed = rows.map((row) => [valueOf(row, column, isNumber), row]);
    keyed.sort((a, b) => compare(a[0], b[0]));
    body.append(...keyed.map(([, row]) => row));
  }
  heads.forEach((head, i) => head.setAttribute("aria-sort", i !== column ? "none" : state.down ? "descending" : "ascending"));
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !(words.every((word) => text.includes(word)) && (!asked.value || row.dataset.asked === asked.value));
    count += row.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = `${count} of ${rows.length} rows`;
}
function remember() {
  const kept = Object.entries({ find: find.value, workload: asked.value, sort: state.sort, down: state.down ? "1" : "" });
  history.replaceState(null, "", `#${new URLSearchParams(kept.filter(([, value]) => value))}`);
  show();
}
heads.forEach((head) => head.querySelector("button").addEventListener("click", () => {
  const name = head.textContent;
  // Numbers are first shown with the most on top.
  state.down = state.sort === name ? !state.down : head.dataset.sort === "number";
  state.sort = name;
  remember();
}));
for (const input of [find, asked]) input.addEventListener("input", remember);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  find.value = kept.get("find") || "";
  asked.value = kept.get("workload") || "";
  state.sort = kept.get("sort") || "";
  state.down = kept.has("down");
  show();
}
window.addEventListener("hashchange", recall);
recall();
