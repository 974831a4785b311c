"use strict";
// Sorting is an extra: without scripts the table stands in the order of the suite.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    // Browsers paint a button only once, so headings repeated on later pages would stay empty.
    addEventListener("beforeprint", () => head.replaceChildren(...button.childNodes));
    addEventListener("afterprint", () => {
      button.append(...head.childNodes);
      head.append(button);
    });
    button.addEventListener("click", () => {
      const order = { none: "descending", descending: "ascending", ascending: "none" }[head.ariaSort || "none"];
      for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      if (order !== "none") head.ariaSort = order;
      const sign = order === "ascending" ? 1 : -1;
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
      };
      const rows = [...original];
      if (order !== "none") rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null && y === null) return sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent);
        // What was not measured stays last in either order.
        if (x === null || y === null) return x === null ? 1 : -1;
        return sign * (x - y);
      });
      body.append(...rows);
    });
  });
}
