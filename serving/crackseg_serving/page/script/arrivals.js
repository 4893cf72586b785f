// The ways in which photographs come: buttons, a drop anywhere on the page, the clipboard. Knows the page's elements for them.

import { chosen, dropped } from "./files.js";

/** Calls `take(entries)` with the files of each arrival: a list of `{name, file}`, or a promise of one. */
export function arrivals(take) {
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"]]) {
    const [opener, field] = [button, input].map((id) => document.getElementById(id));
    opener.addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      take(chosen(field));
      field.value = "";
    });
    opener.hidden = input === "folder" && !("webkitdirectory" in field);
  }
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) take(dropped(event.clipboardData));
  });
  drops(take);
}

function drops(take) {
  const veil = document.getElementById("veil");
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  let inside = 0; // elements that the pointer is in: it enters one before it leaves the other
  const move = (steps) => {
    inside = Math.max(0, inside + steps);
    veil.hidden = inside === 0;
  };
  document.addEventListener("dragenter", (event) => carries(event) && move(1));
  document.addEventListener("dragleave", (event) => carries(event) && move(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    move(-inside);
    if (carries(event)) take(dropped(event.dataTransfer));
  });
}
