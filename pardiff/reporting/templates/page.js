"use strict";
// Sorting and filtering of tables; the page says everything without it.
(function () {
  function value(cell) {
    const text = cell.textContent.trim();
    if (text === "" || text === "-" || text === "not certified") return [1, Infinity, text];
    const number = Number(text.replace(/,/g, ""));
    return Number.isNaN(number) ? [2, 0, text] : [0, number, text];
  }
  function compare(a, b) {
    return a[0] - b[0] || a[1] - b[1] || a[2].localeCompare(b[2], "en", { numeric: true });
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    const body = table.tBodies[0];
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = Array.from(body.rows).map(function (row) { return [value(row.cells[column]), row]; });
        rows.sort(function (a, b) { return (down ? -1 : 1) * compare(a[0], b[0]); });
        rows.forEach(function (item) { body.appendChild(item[1]); });
      });
    });
  });
  document.querySelectorAll("input[data-filters]").forEach(function (input) {
    const table = document.getElementById(input.dataset.filters);
    const told = document.getElementById(input.dataset.filters + "-count");
    input.closest(".filter").hidden = false;
    input.addEventListener("input", function () {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      Array.from(table.tBodies[0].rows).forEach(function (row) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
        shown += row.hidden ? 0 : 1;
      });
      told.textContent = shown + " of " + table.tBodies[0].rows.length;
    });
  });
}());
