// A photograph with its cracks on a canvas: how opaque, how large, which part; by mouse, fingers and keys.
// Knows its elements and the server's polygons; no server, no other part of the page.

const CRACK = "#ff3878"; // the server's own (imaging/render.py): no road has this colour
const CHOSEN = "#00e0ff";
const LARGEST = 40; // times the photograph's own size
const STEP = 1.25;
const MOVE = 60; // screen pixels for an arrow key

/** The picture in `stage`; `selected(number)` hears of a crack that is clicked, `zoomed(percent)` of the size. */
export class Picture {
  #size = [1, 1];
  #image = null;
  #paths = [];
  #all = new Path2D();
  #view = { scale: 1, x: 0, y: 0, room: { width: 1, height: 1 } };
  #fitted = true;
  #chosen = 0;
  #mode = "overlay";
  #opacity = 0.6;
  #frame = 0;
  #pointers = new Map();
  #moved = 0;

  constructor(stage, selected, zoomed) {
    this.stage = stage;
    this.canvas = stage.querySelector("canvas");
    this.selected = selected;
    this.zoomed = zoomed;
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.#key(event));
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => this.#up(event));
    new ResizeObserver(() => this.#resize()).observe(stage);
  }

  /** Shows the cracks of a photograph of `width` x `height` pixels; the photograph itself (or null) comes with `background`. */
  show(width, height, cracks) {
    this.#size = [width, height];
    this.stage.style.setProperty("--shape", `${width} / ${height}`);
    this.#image?.close(); // a hundred megabytes that need not wait to be found
    this.#image = null;
    this.#chosen = 0;
    this.#all = new Path2D();
    this.#paths = cracks.map(({ polygon }) => {
      const path = new Path2D();
      for (const ring of [polygon.outer, ...polygon.holes]) {
        ring.forEach(([x, y], place) => (place ? path.lineTo(x, y) : path.moveTo(x, y)));
        path.closePath();
      }
      this.#all.addPath(path);
      return path;
    });
    this.fit();
  }

  background(image) {
    this.#image = image;
    this.#draw();
  }

  set mode(mode) {
    this.#mode = mode;
    this.#draw();
  }

  set opacity(opacity) {
    this.#opacity = opacity;
    this.#draw();
  }

  /** Highlights a crack (0: none) and brings its `box` into view. */
  select(number, box) {
    this.#chosen = number;
    if (box) {
      const { scale, x, y } = this.#view;
      const [middle, centre] = [box.x + box.width / 2, box.y + box.height / 2];
      const { width, height } = this.#room();
      const [left, top] = [box.x * scale + x, box.y * scale + y];
      const inside = left >= 0 && top >= 0 && left + box.width * scale <= width && top + box.height * scale <= height;
      if (!inside) this.#place(scale, width / 2 - middle * scale, height / 2 - centre * scale);
    }
    this.#draw();
  }

  /** All of the photograph, as large as there is room. */
  fit() {
    const { width, height } = this.#room();
    const scale = this.#smallest();
    this.#place(scale, (width - this.#size[0] * scale) / 2, (height - this.#size[1] * scale) / 2);
  }

  /** Larger (or smaller) around a point of the stage, else around its middle. */
  zoom(factor, point) {
    const { width, height } = this.#room();
    const [px, py] = point ?? [width / 2, height / 2];
    const { scale, x, y } = this.#view;
    const next = Math.min(Math.max(scale * factor, this.#smallest()), Math.max(LARGEST, this.#smallest()));
    this.#place(next, px - ((px - x) * next) / scale, py - ((py - y) * next) / scale);
  }

  in() {
    this.zoom(STEP);
  }

  out() {
    this.zoom(1 / STEP);
  }

  /** The stage has another size, as on a phone that is turned: what was in its middle stays there. */
  #resize() {
    if (this.#fitted) return this.fit();
    const { width, height } = this.#room();
    const { scale, x, y, room } = this.#view;
    const [across, down] = [(width - room.width) / 2, (height - room.height) / 2];
    this.#place(scale, x + across, y + down);
    this.zoom(1); // not smaller than what fits
  }

  #smallest() {
    const { width, height } = this.#room();
    return Math.min(width / this.#size[0], height / this.#size[1]);
  }

  #room() {
    return { width: this.stage.clientWidth || 1, height: this.stage.clientHeight || 1 };
  }

  /** Never so that the photograph leaves the stage, or leaves it empty where it could fill it. */
  #place(scale, x, y) {
    const room = this.#room();
    const within = (offset, size, space) =>
      size <= space ? (space - size) / 2 : Math.min(0, Math.max(space - size, offset));
    this.#view = {
      scale,
      x: within(x, this.#size[0] * scale, room.width),
      y: within(y, this.#size[1] * scale, room.height),
      room,
    };
    this.#fitted = scale <= this.#smallest() * 1.001;
    this.stage.classList.toggle("zoomed", !this.#fitted);
    this.zoomed(Math.round(scale * 100));
    this.#draw();
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    const { width, height } = this.#room();
    const { scale, x, y } = this.#view;
    const sharp = devicePixelRatio;
    this.canvas.width = width * sharp;
    this.canvas.height = height * sharp;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(sharp * scale, 0, 0, sharp * scale, sharp * x, sharp * y);
    pen.imageSmoothingEnabled = scale < 4;
    if (this.#mode === "mask" || !this.#image) {
      pen.fillStyle = this.#mode === "mask" ? "#000000" : "#767d84";
      pen.fillRect(0, 0, ...this.#size);
    }
    if (this.#mode !== "mask" && this.#image) pen.drawImage(this.#image, 0, 0, ...this.#size);
    if (this.#mode !== "photograph") this.#paintCracks(pen, scale);
    if (this.#chosen) this.#paintChosen(pen, scale);
  }

  #paintCracks(pen, scale) {
    const mask = this.#mode === "mask";
    pen.globalAlpha = mask ? 1 : this.#opacity;
    pen.fillStyle = pen.strokeStyle = mask ? "#ffffff" : CRACK;
    pen.fill(this.#all, "evenodd");
    pen.lineWidth = 1 / scale; // so that hairlines are seen where a large photograph is shown small
    if (!mask) pen.stroke(this.#all);
    pen.globalAlpha = 1;
  }

  #paintChosen(pen, scale) {
    const path = this.#paths[this.#chosen - 1];
    pen.lineJoin = "round";
    for (const [colour, width] of [["#000000", 5], [CHOSEN, 2.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width / scale;
      pen.stroke(path);
    }
  }

  /** The number of the crack at a point of the stage, 0 where there is none; a finger need not hit a hairline. */
  #hit([px, py]) {
    const pen = this.canvas.getContext("2d");
    const { scale, x, y } = this.#view;
    const [column, row] = [(px - x) / scale, (py - y) / scale];
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.lineWidth = 16 / scale;
    const at = this.#paths.findIndex((path) => pen.isPointInPath(path, column, row, "evenodd"));
    return 1 + (at >= 0 ? at : this.#paths.findIndex((path) => pen.isPointInStroke(path, column, row)));
  }

  #point(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : event.ctrlKey ? 0.01 : 0.0015)), this.#point(event));
  }

  #key(event) {
    const { scale, x, y } = this.#view;
    const moves = { ArrowLeft: [MOVE, 0], ArrowRight: [-MOVE, 0], ArrowUp: [0, MOVE], ArrowDown: [0, -MOVE] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) this.#place(scale, x + moves[event.key][0], y + moves[event.key][1]);
    else if (event.key === "+" || event.key === "=") this.in();
    else if (event.key === "-") this.out();
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") this.selected(0);
    else return;
    event.preventDefault();
  }

  #down(event) {
    this.#pointers.set(event.pointerId, this.#point(event));
    this.stage.setPointerCapture(event.pointerId);
    if (this.#pointers.size === 1) this.#moved = 0;
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    const now = this.#point(event);
    if (!before) {
      this.stage.classList.toggle("over", this.#hit(now) > 0);
      return;
    }
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    this.#moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    this.stage.classList.add("dragging");
    if (other) {
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    }
    const share = other ? 2 : 1; // each of two fingers moves the middle by half
    const { scale, x, y } = this.#view;
    this.#place(scale, x + (now[0] - before[0]) / share, y + (now[1] - before[1]) / share);
  }

  #up(event) {
    const single = this.#pointers.size === 1;
    this.#pointers.delete(event.pointerId);
    this.stage.classList.remove("dragging");
    if (event.type === "pointerup" && single && this.#moved < 5) this.selected(this.#hit(this.#point(event)));
  }
}
