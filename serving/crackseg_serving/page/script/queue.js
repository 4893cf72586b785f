// Work on many photographs: a few at once, the rest in order, until all are done or a person cancels. Knows no server, no page.

const AT_ONCE = 2; // one is on its way while the other is worked on

/** Runs `work(item, signal)` for each item; `changed()` hears when one begins or ends. Work must not throw. */
export class Queue {
  #waiting = [];
  #running = 0;
  #control = new AbortController();

  constructor(work, changed) {
    this.work = work;
    this.changed = changed;
  }

  get busy() {
    return this.#running + this.#waiting.length > 0;
  }

  add(items) {
    this.#waiting.push(...items);
    while (this.#running < AT_ONCE && this.#waiting.length) this.#next();
  }

  /** Calls off what runs, and returns what will not be begun. */
  cancel() {
    this.#control.abort();
    this.#control = new AbortController();
    return this.#waiting.splice(0);
  }

  async #next() {
    const item = this.#waiting.shift();
    this.#running++;
    this.changed();
    await this.work(item, this.#control.signal);
    this.#running--;
    if (this.#waiting.length) this.#next();
    this.changed();
  }
}
