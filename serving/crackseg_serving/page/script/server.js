// What the server is asked, and what its refusals say. Used by the page and its downloads; knows no element of the page.

const MOST_TRIES = 30; // of a request that is told to come back later
const LONGEST_PAUSE = 60; // seconds, whatever Retry-After says

/** A request without a result: a sentence for the person, and after how many seconds it may be tried again (0: never). */
export class Refusal extends Error {
  constructor(sentence, retryAfter = 0) {
    super(sentence);
    this.retryAfter = retryAfter;
  }
}

/** What is served: name, version, digest, limits. Raises Refusal. */
export async function modelInfo() {
  return (await ask("model/info", { headers: { Accept: "application/json" } })).json();
}

/** The answer to a photograph in the form `output`, as a Response. Raises Refusal, and AbortError where `signal` says so. */
export function segment(photograph, output, signal) {
  const query = new URLSearchParams({ output });
  if (photograph.scale) query.set("millimetresPerPixel", photograph.scale);
  if (photograph.worldFile) query.set("worldFile", photograph.worldFile);
  const headers = { "Content-Type": photograph.file.type || "application/octet-stream" };
  return ask(`v1/segment?${query}`, { method: "POST", body: photograph.file, headers, signal });
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server could not be reached, or the file has changed since it was chosen.", 2);
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const sentence = problem.detail || `The server answered ${answer.status} ${answer.statusText}`.trim();
  throw new Refusal(sentence, retryAfter(answer));
}

/** The seconds of Retry-After, which also may be a date; 0 where there is none. */
function retryAfter(answer) {
  const text = answer.headers.get("Retry-After");
  if (!text) return answer.status === 429 ? 1 : 0;
  const seconds = Number(text);
  const later = Number.isFinite(seconds) ? seconds : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(later) ? Math.max(later, 0.1) : 1;
}

/** Who asks patiently: what one request is told to wait, all wait. */
export class Patience {
  #until = 0;

  /** The result of `request()`, tried again as often as the server names a time to come back; `waiting(seconds)` hears of it. */
  async ask(request, signal, waiting) {
    for (let attempt = 1; ; attempt++) {
      await this.#pause(signal);
      try {
        return await request();
      } catch (error) {
        if (!error.retryAfter || attempt === MOST_TRIES) throw error;
        const seconds = Math.min(error.retryAfter, LONGEST_PAUSE);
        this.#until = Math.max(this.#until, Date.now() + seconds * 1000);
        waiting(Math.ceil(seconds), error.message);
      }
    }
  }

  async #pause(signal) {
    while (!signal.aborted && Date.now() < this.#until) {
      await new Promise((resume) => {
        const timer = setTimeout(resume, this.#until - Date.now());
        signal.addEventListener("abort", () => { clearTimeout(timer); resume(); }, { once: true });
      });
    }
    signal.throwIfAborted();
  }
}
