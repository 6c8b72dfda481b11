// A click on a heading sorts its table: figures as numbers, the rest as text.
"use strict";
(() => {
  const text = (row, column) => (row.cells[column]?.textContent ?? "").trim();
  const figure = (value) => parseFloat(value.replaceAll(",", "").replace("−", "-"));
  const compare = (a, b) => {
    const [x, y] = [figure(a), figure(b)];
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return Number.isNaN(x) ? a.localeCompare(b) : x - y;
  };
  const sort = (heading) => {
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const isUp = heading.getAttribute("aria-sort") !== "ascending";
    const rows = [...body.rows].filter((row) => text(row, column) !== "");
    const empty = [...body.rows].filter((row) => text(row, column) === "");
    rows.sort((a, b) => compare(text(a, column), text(b, column)));
    body.append(...(isUp ? rows : rows.reverse()), ...empty); // empty cells last
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
  };
  const prepare = () => {
    for (const heading of document.querySelectorAll("article table thead th")) {
      if (heading.textContent.trim() === "" || heading.tabIndex === 0) continue;
      heading.tabIndex = 0;
      heading.title = "Sort";
      heading.addEventListener("click", () => sort(heading));
      heading.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort(heading);
      });
    }
  };
  document.addEventListener("DOMContentLoaded", prepare);
})();
