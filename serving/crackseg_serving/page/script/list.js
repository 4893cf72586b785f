// The list of photographs, and how far the work on them is. Knows its elements and the photographs' states.

import { counted, cracks, percent } from "./figures.js";

/** What a photograph's line says of it. */
function line(photograph) {
  const { state, answer, sentence } = photograph;
  if (state === "done") return `${cracks(answer.measurements.crackCount)}, ${percent(answer.measurements)} of the picture`;
  return { waiting: "waiting", working: "looking for cracks …", cancelled: "cancelled" }[state] ?? sentence;
}

/** A list in `element`; `chosen(photograph)` hears of a click. */
export class List {
  #lines = new Map();

  constructor(element, chosen) {
    this.element = element;
    this.chosen = chosen;
  }

  add(photographs) {
    for (const photograph of photographs) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const [file, state] = ["file", "state"].map((name) => {
        const part = document.createElement("span");
        part.className = name;
        return part;
      });
      button.type = "button";
      file.textContent = photograph.name;
      button.append(file, state);
      button.addEventListener("click", () => this.chosen(photograph));
      item.append(button);
      this.element.append(item);
      this.#lines.set(photograph, { item, button, state });
      this.update(photograph);
    }
  }

  update(photograph) {
    const { item, button, state } = this.#lines.get(photograph);
    item.className = photograph.state;
    state.textContent = line(photograph);
    button.disabled = photograph.state !== "done";
  }

  show(photograph) {
    for (const [one, { button }] of this.#lines) {
      if (one === photograph) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  clear() {
    this.#lines.clear();
    this.element.replaceChildren();
  }
}

/** How many are done: on the bar, and in words. */
export function tell(photographs, bar, label) {
  const count = (state) => photographs.filter((one) => one.state === state).length;
  const [done, failed, cancelled] = ["done", "failed", "cancelled"].map(count);
  const ended = done + failed + cancelled;
  bar.max = photographs.length || 1;
  bar.value = ended;
  const rest = [failed ? `${failed} failed` : "", cancelled ? `${cancelled} cancelled` : ""].filter(Boolean);
  const words = [`${done} of ${counted(photographs.length)} done`, ...rest].join(", ");
  label.textContent = words;
  return words;
}
