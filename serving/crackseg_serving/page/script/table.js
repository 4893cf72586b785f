// The table of cracks: one a row, sorted by any column, one of them selected. Knows figures and its element.

import { columns, text } from "./figures.js";

/** The table in `element`; `selected(number)` hears of the crack that a person chooses, 0 for none. */
export class Table {
  #columns = [];
  #rows = [];
  #by = "number";
  #down = false;

  constructor(element, selected) {
    this.head = element.querySelector("thead tr");
    this.body = element.querySelector("tbody");
    this.selected = selected;
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) selected(row.classList.contains("selected") ? 0 : Number(row.dataset.number));
    });
  }

  /** Shows the cracks of a photograph, sorted as the table was. */
  show(measurements) {
    this.#columns = columns(measurements);
    if (!this.#columns.some((column) => column.name === this.#by)) [this.#by, this.#down] = ["number", false];
    this.#rows = measurements.cracks.map((crack, place) => ({ number: place + 1, ...crack }));
    this.head.replaceChildren(...this.#columns.map((column) => this.#header(column)));
    this.#fill();
  }

  /** Marks the row of a crack and brings it into view. */
  select(number) {
    for (const row of this.body.rows) {
      const chosen = Number(row.dataset.number) === number;
      row.classList.toggle("selected", chosen);
      row.querySelector("button").setAttribute("aria-pressed", chosen);
      if (chosen) row.scrollIntoView({ block: "nearest" });
    }
  }

  #header(column) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.dataset.column = column.name;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.head;
    button.addEventListener("click", () => {
      this.#down = this.#by === column.name ? !this.#down : column.name !== "number";
      this.#by = column.name;
      this.#fill();
    });
    cell.append(button);
    return cell;
  }

  #fill() {
    for (const cell of this.head.cells) {
      if (cell.dataset.column === this.#by) cell.setAttribute("aria-sort", this.#down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    const chosen = Number(this.body.querySelector(".selected")?.dataset.number ?? 0);
    const order = [...this.#rows].sort((a, b) => this.#compare(a[this.#by], b[this.#by]));
    this.body.replaceChildren(...order.map((row) => this.#row(row)));
    if (chosen) this.select(chosen);
  }

  /** What is not known comes last, whichever way. */
  #compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    const ranks = ["Low", "Moderate", "High"];
    const [left, right] = [a, b].map((value) => (typeof value === "string" ? ranks.indexOf(value) : value));
    return this.#down ? right - left : left - right;
  }

  #row(crack) {
    const row = document.createElement("tr");
    row.dataset.number = crack.number;
    row.append(
      ...this.#columns.map(({ name, error, digits }) => {
        const cell = document.createElement(name === "number" ? "th" : "td");
        if (name !== "number") {
          cell.textContent = text(crack[name], digits);
          if (error) cell.append(off(text(crack[error], digits)));
          return cell;
        }
        cell.scope = "row";
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = crack.number;
        button.setAttribute("aria-label", `Show crack ${crack.number}`);
        button.setAttribute("aria-pressed", "false");
        cell.append(button);
        return cell;
      }),
    );
    return row;
  }
}

/** By how much a figure may be off, small behind it. */
function off(words) {
  const small = document.createElement("small");
  small.textContent = ` ± ${words}`;
  return small;
}
